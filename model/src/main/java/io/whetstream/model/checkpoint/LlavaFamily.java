package io.whetstream.model.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import io.whetstream.model.checkpoint.Architecture.Linear;
import io.whetstream.model.checkpoint.Architecture.Role;
import java.util.List;

/**
 * LLaVA-1.5, and what its successors share with it: a tower of square inputs of which one hidden
 * layer is taken, a projector of two layers, and a decoder. Defaults are those of transformers'
 * LlavaConfig.
 */
class LlavaFamily implements ModelFamily {
  private static final VisionConfig CLIP_336 =
      new VisionConfig("clip", 1024, 4096, 24, 16, 336, 14, 1e-5, "quick_gelu");

  @Override
  public String architecture() {
    return "LlavaForConditionalGeneration";
  }

  @Override
  public String modelType() {
    return "llava";
  }

  @Override
  public String supports() {
    return "a CLIP or SigLIP vision tower (clip_vision_model, siglip_vision_model) and a "
        + String.join(" or ", decoders())
        + " decoder";
  }

  /** The {@code model_type}s of decoders; the first is the default. */
  List<String> decoders() {
    return List.of("llama");
  }

  /** The tower where the configuration has none at all. */
  VisionConfig standardTower() {
    return CLIP_336;
  }

  int standardImageToken() {
    return 32000;
  }

  int standardLayer() {
    return -2;
  }

  String standardStrategy() {
    return "default";
  }

  Canvases canvases(ConfigKeys root, VisionConfig vision) {
    return null;
  }

  /**
   * Where tying is said only at the top level, releases of transformers differ in whether it
   * counts: a file that has an output head decides.
   */
  @Override
  public boolean tied(ConfigKeys root, boolean head) {
    ConfigKeys text = root.object("text_config");
    return text.has("tie_word_embeddings")
        ? text.bool("tie_word_embeddings", false)
        : root.bool("tie_word_embeddings", false) && !head;
  }

  @Override
  public ModelConfig config(ConfigKeys root) {
    VisionConfig vision =
        root.has("vision_config")
            ? TowerKeys.square(root.object("vision_config"), supports())
            : standardTower();
    ConfigKeys textKeys = root.object("text_config");
    String decoder = textKeys.string("model_type", decoders().get(0));
    if (!decoders().contains(decoder)) {
      throw textKeys.unsupported("model_type", decoder, supports());
    }
    TextConfig text = DecoderKeys.read(textKeys, decoder);
    String strategy = root.string("vision_feature_select_strategy", standardStrategy());
    if (!strategy.equals("default") && !strategy.equals("full")) {
      throw root.bad(
          "vision_feature_select_strategy", "'" + strategy + "' is neither default nor full");
    }
    int layer = featureLayer(root);
    int used = layer >= 0 ? layer : vision.layers() + 1 + layer;
    if (used < 0 || used > vision.layers()) {
      throw root.bad(
          "vision_feature_layer",
          layer + " is not among the hidden states of " + vision.layers() + " layers");
    }
    return new ModelConfig(
        modelType(),
        vision,
        text,
        imageToken(root, text, standardImageToken()),
        vision.positions() - (strategy.equals("default") ? 1 : 0),
        padding(root, text),
        layer,
        strategy,
        root.activation("projector_hidden_act", "gelu"),
        root.bool("multimodal_projector_bias", true),
        tied(root, false),
        0,
        canvases(root, vision));
  }

  @Override
  public Architecture network(ModelConfig config) {
    int dropped = config.visionFeatureSelectStrategy().equals("default") ? 1 : 0;
    int width = config.text().hiddenSize();
    String connector = "multi_modal_projector.linear_";
    boolean bias = config.projectorBias();
    return new Architecture(
        SquareTowerModules.of(config.vision(), config.visionLayersUsed(), dropped),
        new Architecture.Connector(
            "perceptron",
            List.of(
                new Linear(
                    connector + 1, Role.CONNECTOR, width, config.vision().hiddenSize(), bias),
                new Linear(connector + 2, Role.CONNECTOR, width, width, bias)),
            Activation.of(config.projectorActivation()),
            1,
            config.imageTokens(),
            config.canvases() == null
                ? null
                : new Architecture.Packing(
                    new Architecture.Table("image_newline", 0, width),
                    config.canvases().maxSquares())),
        DecoderModules.of(config.text(), config.tiedEmbeddings()));
  }

  /** The id of the token that stands for an image feature. */
  static int imageToken(ConfigKeys root, TextConfig text, int otherwise) {
    String key = root.has("image_token_index") ? "image_token_index" : "image_token_id";
    int token = root.integer(key, otherwise);
    if (token < 0 || token >= text.vocabSize()) {
      throw root.bad(key, token + " is not in a vocabulary of " + text.vocabSize() + " tokens");
    }
    return token;
  }

  static int padding(ConfigKeys root, TextConfig text) {
    int pad = root.integer("pad_token_id", root.object("text_config").integer("pad_token_id", -1));
    return pad < 0 || pad >= text.vocabSize() ? Math.max(0, text.eosTokenId()) : pad;
  }

  private int featureLayer(ConfigKeys root) {
    JsonNode node = root.present("vision_feature_layer");
    if (node.isArray()) {
      if (node.size() != 1 || !node.get(0).canConvertToInt()) {
        throw root.bad("vision_feature_layer", "several layers at once are not supported: " + node);
      }
      return node.get(0).asInt();
    }
    return root.integer("vision_feature_layer", standardLayer());
  }

  @Override
  public String canonical(String name) {
    return TensorNames.llava(name);
  }
}
