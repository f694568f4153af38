package io.whetstream.model.checkpoint;

import java.nio.file.Path;

/**
 * What {@code config.json} says about a model, with the class defaults of transformers where a key
 * is missing.
 *
 * @param family Hugging Face's {@code model_type}
 * @param vision the vision tower
 * @param text the decoder
 * @param imageTokenId the token that stands for one image feature
 * @param imageTokens image features of one square input of the tower; 0 where pictures of any size
 *     are taken
 * @param padTokenId what fills rows on the right
 * @param visionFeatureLayer index into the tower's hidden states (0: encoder input, k: output of
 *     layer k; negative counts from the end)
 * @param visionFeatureSelectStrategy {@code default} drops the first feature (CLIP's class
 *     position; of SigLIP, as transformers does, the first patch), {@code full} keeps all
 * @param projectorActivation Hugging Face's name of the projector's activation
 * @param projectorBias whether the projector's layers have biases
 * @param tiedEmbeddings whether the output head is the embedding matrix
 * @param shuffle patches along a side of the square that Idefics3's connector makes one feature of;
 *     0 in other families
 * @param canvases of any-resolution pictures; null in other families
 */
public record ModelConfig(
    String family,
    VisionConfig vision,
    TextConfig text,
    int imageTokenId,
    int imageTokens,
    int padTokenId,
    int visionFeatureLayer,
    String visionFeatureSelectStrategy,
    String projectorActivation,
    boolean projectorBias,
    boolean tiedEmbeddings,
    int shuffle,
    Canvases canvases) {

  /** A model of LLaVA-1.5's kind: one square input is one image. */
  public ModelConfig(
      String family,
      VisionConfig vision,
      TextConfig text,
      int imageTokenId,
      int imageTokens,
      int padTokenId,
      int visionFeatureLayer,
      String visionFeatureSelectStrategy,
      String projectorActivation,
      boolean projectorBias,
      boolean tiedEmbeddings) {
    this(
        family,
        vision,
        text,
        imageTokenId,
        imageTokens,
        padTokenId,
        visionFeatureLayer,
        visionFeatureSelectStrategy,
        projectorActivation,
        projectorBias,
        tiedEmbeddings,
        0,
        null);
  }

  /**
   * Reads a {@code config.json}.
   *
   * @throws io.whetstream.model.BadInputException if it is missing, damaged, contradictory or of a
   *     model that is not supported; the message names the key
   */
  public static ModelConfig read(Path file) {
    return ModelFamily.read(ConfigKeys.of(file));
  }

  /** The network it describes. */
  public Architecture architecture() {
    return ModelFamily.of(this).network(this);
  }

  /** What stands in a text for a picture. */
  public ImageMarkup markup() {
    return ModelFamily.of(this).markup();
  }

  /** What transformers calls the decoder, by which PEFT names LoRA on it. */
  public String decoderModule() {
    return ModelFamily.of(this).decoderModule();
  }

  /** Encoder layers that are run: later ones do not reach the projector. */
  public int visionLayersUsed() {
    return visionFeatureLayer >= 0 ? visionFeatureLayer : vision.layers() + 1 + visionFeatureLayer;
  }

  ModelConfig tied(boolean tied) {
    return new ModelConfig(
        family,
        vision,
        text,
        imageTokenId,
        imageTokens,
        padTokenId,
        visionFeatureLayer,
        visionFeatureSelectStrategy,
        projectorActivation,
        projectorBias,
        tied,
        shuffle,
        canvases);
  }
}
