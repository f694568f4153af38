package io.whetstream.model.checkpoint;

import java.util.List;

/**
 * Idefics3 and SmolVLM: a SigLIP tower over the crops of a picture, squares of whose patches become
 * one feature each, one linear layer, and a Llama decoder.
 */
final class Idefics3Family implements ModelFamily {
  private static final VisionConfig TOWER =
      new VisionConfig("idefics3", 1152, 3072, 12, 16, 224, 32, 1e-6, "gelu_pytorch_tanh");

  private final String architecture;
  private final String modelType;

  Idefics3Family(String architecture, String modelType) {
    this.architecture = architecture;
    this.modelType = modelType;
  }

  @Override
  public String architecture() {
    return architecture;
  }

  @Override
  public String modelType() {
    return modelType;
  }

  @Override
  public String supports() {
    return "its own vision tower and a llama decoder";
  }

  @Override
  public ModelConfig config(ConfigKeys root) {
    VisionConfig vision = TowerKeys.square(root.object("vision_config"), TOWER);
    ConfigKeys textKeys = root.object("text_config");
    String decoder = textKeys.string("model_type", "llama");
    if (!decoder.equals("llama")) {
      throw textKeys.unsupported("model_type", decoder, supports());
    }
    TextConfig text = DecoderKeys.read(textKeys, decoder);
    int shuffle = root.positive("scale_factor", 2);
    int side = vision.imageSize() / vision.patchSize();
    root.divides("scale_factor", shuffle, side);
    return new ModelConfig(
        modelType,
        vision,
        text,
        LlavaFamily.imageToken(root, text, 128257),
        side / shuffle * (side / shuffle),
        LlavaFamily.padding(root, text),
        -1,
        "full",
        "gelu",
        false,
        tied(root, false),
        shuffle,
        null);
  }

  @Override
  public Architecture network(ModelConfig config) {
    int square = config.shuffle() * config.shuffle();
    return new Architecture(
        SquareTowerModules.idefics3(config.vision()),
        new Architecture.Connector(
            "shuffle",
            List.of(
                new Architecture.Linear(
                    "connector.modality_projection.proj",
                    Architecture.Role.CONNECTOR,
                    config.text().hiddenSize(),
                    config.vision().hiddenSize() * square,
                    false)),
            null,
            config.shuffle(),
            config.imageTokens(),
            null),
        DecoderModules.of(config.text(), config.tiedEmbeddings()));
  }

  /** Crop by crop with its place, a line end after each row, then the whole picture. */
  @Override
  public ImageMarkup markup() {
    String fake = "<fake_token_around_image>";
    return new ImageMarkup(fake + "<row_%d_col_%d>", "\n", "\n", fake + "<global-img>", fake);
  }

  @Override
  public String decoderModule() {
    return "model.text_model";
  }

  @Override
  public String canonical(String name) {
    return TensorNames.renamed(
        name,
        List.of(
            "model.text_model.", "language_model.model.",
            "lm_head.", "language_model.lm_head.",
            "model.vision_model.", "vision_tower.vision_model.",
            "model.connector.", "connector."));
  }
}
