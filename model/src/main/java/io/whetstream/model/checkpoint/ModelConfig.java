package io.whetstream.model.checkpoint;

import java.nio.file.Path;

/**
 * What {@code config.json} says about a model, with the class defaults of transformers where a key
 * is missing.
 *
 * @param family {@code llava}
 * @param vision the vision tower
 * @param text the decoder
 * @param imageTokenId the token that stands for one image feature
 * @param imageTokens image features, so image tokens, of one image
 * @param padTokenId what fills rows on the right
 * @param visionFeatureLayer index into the tower's hidden states (0: encoder input, k: output of
 *     layer k; negative counts from the end)
 * @param visionFeatureSelectStrategy {@code default} drops the first feature (CLIP's class
 *     position; of SigLIP, as transformers does, the first patch), {@code full} keeps all
 * @param projectorActivation Hugging Face's name of the projector's activation
 * @param projectorBias whether the projector's layers have biases
 * @param tiedEmbeddings whether the output head is the embedding matrix
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
    boolean tiedEmbeddings) {

  /**
   * Reads a {@code config.json}.
   *
   * @throws io.whetstream.model.BadInputException if it is missing, damaged, contradictory or of a
   *     model that is not supported; the message names the key
   */
  public static ModelConfig read(Path file) {
    return new ConfigReader(file).read();
  }

  /** Encoder layers that are run: later ones do not reach the projector. */
  public int visionLayersUsed() {
    return visionFeatureLayer >= 0 ? visionFeatureLayer : vision.layers() + 1 + visionFeatureLayer;
  }

  ModelConfig untied() {
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
        false);
  }
}
