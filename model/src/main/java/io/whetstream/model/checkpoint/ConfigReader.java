package io.whetstream.model.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.MissingNode;
import io.whetstream.model.BadInputException;
import io.whetstream.model.JsonObjects;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;

/**
 * Reads {@code config.json}. Defaults are those of transformers' LlavaConfig, CLIPVisionConfig,
 * SiglipVisionConfig and LlamaConfig; a {@code null} counts as missing, as it does there for the
 * keys read here.
 */
final class ConfigReader {
  static final String SUPPORTED =
      "supported: LlavaForConditionalGeneration (model_type llava) with a CLIP or SigLIP vision"
          + " tower (clip_vision_model, siglip_vision_model) and a Llama decoder (llama)";

  private static final Set<String> ACTIVATIONS =
      Set.of("quick_gelu", "gelu", "gelu_pytorch_tanh", "gelu_new", "silu", "swish", "relu");
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Path file;

  ConfigReader(Path file) {
    this.file = file;
  }

  ModelConfig read() {
    JsonNode root = parse();
    String family = family(root);
    JsonNode visionNode = present(root, "vision_config");
    JsonNode textNode = present(root, "text_config");
    VisionConfig vision =
        visionNode.isMissingNode() ? llavaVision() : vision(new Keys("vision_config.", visionNode));
    Keys textKeys =
        new Keys("text_config.", textNode.isMissingNode() ? JSON.createObjectNode() : textNode);
    TextConfig text = text(textKeys);

    Keys top = new Keys("", root);
    String strategy = top.string("vision_feature_select_strategy", "default");
    if (!strategy.equals("default") && !strategy.equals("full")) {
      throw bad("vision_feature_select_strategy", "'" + strategy + "' is neither default nor full");
    }
    int layer = featureLayer(top);
    int used = layer >= 0 ? layer : vision.layers() + 1 + layer;
    if (used < 0 || used > vision.layers()) {
      throw bad(
          "vision_feature_layer",
          layer + " is not among the hidden states of " + vision.layers() + " layers");
    }
    int imageToken = top.integer("image_token_index", top.integer("image_token_id", 32000));
    if (imageToken < 0 || imageToken >= text.vocabSize()) {
      throw bad(
          "image_token_index",
          imageToken + " is not in a vocabulary of " + text.vocabSize() + " tokens");
    }
    int pad = top.integer("pad_token_id", textKeys.integer("pad_token_id", -1));
    if (pad < 0 || pad >= text.vocabSize()) {
      pad = Math.max(0, text.eosTokenId());
    }
    boolean tied = textKeys.bool("tie_word_embeddings", top.bool("tie_word_embeddings", false));
    return new ModelConfig(
        family,
        vision,
        text,
        imageToken,
        vision.positions() - (strategy.equals("default") ? 1 : 0),
        pad,
        layer,
        strategy,
        top.activation("projector_hidden_act", "gelu"),
        top.bool("multimodal_projector_bias", true),
        tied);
  }

  /**
   * Whether tying is said only at the top level, where releases of transformers differ in whether
   * it counts: a file that has an output head decides.
   */
  boolean tiedOnlyAtTop() {
    JsonNode root = parse();
    return present(present(root, "text_config"), "tie_word_embeddings").isMissingNode();
  }

  private JsonNode parse() {
    if (!Files.isRegularFile(file)) {
      throw new BadInputException(
          file + ": no such file; a model is a Hugging Face directory with config.json");
    }
    return JsonObjects.read(file);
  }

  private String family(JsonNode root) {
    String architecture = root.path("architectures").path(0).asText("");
    String type = root.path("model_type").asText("");
    boolean named = !architecture.isEmpty() || !type.isEmpty();
    boolean llava =
        (architecture.isEmpty() || architecture.equals("LlavaForConditionalGeneration"))
            && (type.isEmpty() || type.equals("llava"));
    if (!named || !llava) {
      throw new BadInputException(
          file
              + ": architecture "
              + (architecture.isEmpty() ? "(none)" : architecture)
              + ", model_type "
              + (type.isEmpty() ? "(none)" : type)
              + " is not supported; "
              + SUPPORTED);
    }
    return "llava";
  }

  /** The vision tower LlavaConfig builds when the configuration has none at all. */
  private static VisionConfig llavaVision() {
    return new VisionConfig("clip", 1024, 4096, 24, 16, 336, 14, 1e-5, "quick_gelu");
  }

  private VisionConfig vision(Keys keys) {
    String type = keys.string("model_type", "clip_vision_model");
    if (!List.of("clip_vision_model", "siglip_vision_model").contains(type)) {
      throw new BadInputException(
          file + ": vision_config.model_type " + type + " is not supported; " + SUPPORTED);
    }
    boolean clip = type.equals("clip_vision_model");
    if (keys.integer("num_channels", 3) != 3) {
      throw bad("vision_config.num_channels", "only 3 (RGB) is supported");
    }
    VisionConfig vision =
        new VisionConfig(
            clip ? "clip" : "siglip",
            keys.positive("hidden_size", 768),
            keys.positive("intermediate_size", 3072),
            keys.positive("num_hidden_layers", 12),
            keys.positive("num_attention_heads", 12),
            keys.positive("image_size", 224),
            keys.positive("patch_size", clip ? 32 : 16),
            keys.epsilon("layer_norm_eps", clip ? 1e-5 : 1e-6),
            keys.activation("hidden_act", clip ? "quick_gelu" : "gelu_pytorch_tanh"));
    divides("vision_config.num_attention_heads", vision.heads(), vision.hiddenSize());
    if (vision.patchSize() > vision.imageSize() || vision.imageSize() > 1 << 14) {
      throw bad(
          "vision_config.image_size",
          vision.imageSize() + " with patches of " + vision.patchSize() + " pixels");
    }
    return vision;
  }

  private TextConfig text(Keys keys) {
    String type = keys.string("model_type", "llama");
    if (!type.equals("llama")) {
      throw new BadInputException(
          file + ": text_config.model_type " + type + " is not supported; " + SUPPORTED);
    }
    int hidden = keys.positive("hidden_size", 4096);
    int heads = keys.positive("num_attention_heads", 32);
    int keyValueHeads = keys.positive("num_key_value_heads", heads);
    int headDim = keys.positive("head_dim", Math.max(1, hidden / heads));
    divides("text_config.num_key_value_heads", keyValueHeads, heads);
    if (headDim % 2 != 0) {
      throw bad("text_config.head_dim", headDim + " is odd; rotary embeddings need pairs");
    }
    int maxPositions = keys.positive("max_position_embeddings", 2048);
    // rope_parameters: the one object that newer releases write instead of the two older keys.
    JsonNode newer = present(keys.node, "rope_parameters");
    JsonNode scaling = newer.isMissingNode() ? present(keys.node, "rope_scaling") : newer;
    double theta =
        new Keys("text_config.rope_parameters.", newer)
            .epsilon("rope_theta", keys.epsilon("rope_theta", 10000));
    return new TextConfig(
        keys.positive("vocab_size", 32000),
        hidden,
        keys.positive("intermediate_size", 11008),
        keys.positive("num_hidden_layers", 32),
        heads,
        keyValueHeads,
        headDim,
        keys.epsilon("rms_norm_eps", 1e-6),
        theta,
        ropeScaling(scaling, maxPositions),
        maxPositions,
        keys.activation("hidden_act", "silu"),
        keys.bool("attention_bias", false),
        keys.bool("mlp_bias", false),
        keys.firstInteger("bos_token_id", 1),
        keys.firstInteger("eos_token_id", 2));
  }

  private RopeScaling ropeScaling(JsonNode node, int maxPositions) {
    if (node.isMissingNode()) {
      return null;
    }
    Keys keys = new Keys("text_config.rope_scaling.", node);
    String type = keys.string("rope_type", keys.string("type", "default"));
    return switch (type) {
      case "default" -> null;
      case "linear", "dynamic" -> new RopeScaling(type, keys.required("factor"), 0, 0, 0);
      case "llama3" -> {
        double low = keys.required("low_freq_factor");
        double high = keys.required("high_freq_factor");
        if (high <= low) {
          throw bad("text_config.rope_scaling.high_freq_factor", "not above low_freq_factor");
        }
        yield new RopeScaling(
            type,
            keys.required("factor"),
            low,
            high,
            keys.positive("original_max_position_embeddings", maxPositions));
      }
      default ->
          throw bad(
              "text_config.rope_scaling",
              "type '" + type + "' is not supported; supported: default, linear, dynamic, llama3");
    };
  }

  private int featureLayer(Keys top) {
    JsonNode node = present(top.node, "vision_feature_layer");
    if (node.isArray()) {
      if (node.size() != 1 || !node.get(0).canConvertToInt()) {
        throw bad("vision_feature_layer", "several layers at once are not supported: " + node);
      }
      return node.get(0).asInt();
    }
    return top.integer("vision_feature_layer", -2);
  }

  private void divides(String key, int part, int whole) {
    if (whole % part != 0) {
      throw bad(key, part + " does not divide " + whole);
    }
  }

  private BadInputException bad(String key, String reason) {
    return new BadInputException(file + ": " + key + ": " + reason);
  }

  private static JsonNode present(JsonNode node, String key) {
    JsonNode value = node.path(key);
    return value.isNull() ? MissingNode.getInstance() : value;
  }

  /** Typed access to the keys of one object. */
  private final class Keys {
    private final String path;
    private final JsonNode node;

    Keys(String path, JsonNode node) {
      this.path = path;
      this.node = node;
      if (!node.isObject() && !node.isMissingNode()) {
        throw bad(path.substring(0, path.length() - 1), "not a JSON object");
      }
    }

    private BadInputException wrong(String key, String wanted) {
      return bad(path + key, node.path(key) + " is not " + wanted);
    }

    int integer(String key, int otherwise) {
      JsonNode value = present(node, key);
      if (value.isMissingNode()) {
        return otherwise;
      }
      if (!value.isIntegralNumber() || !value.canConvertToInt()) {
        throw wrong(key, "a whole number");
      }
      return value.asInt();
    }

    int firstInteger(String key, int otherwise) {
      JsonNode value = present(node, key);
      if (!value.isArray()) {
        return integer(key, otherwise);
      }
      if (!value.path(0).canConvertToInt()) {
        throw wrong(key, "a list of whole numbers");
      }
      return value.get(0).asInt();
    }

    int positive(String key, int otherwise) {
      int value = integer(key, otherwise);
      if (value <= 0) {
        throw wrong(key, "above zero");
      }
      return value;
    }

    double epsilon(String key, double otherwise) {
      JsonNode value = present(node, key);
      if (value.isMissingNode()) {
        return otherwise;
      }
      if (!value.isNumber() || !(value.asDouble() > 0) || Double.isInfinite(value.asDouble())) {
        throw wrong(key, "a number above zero");
      }
      return value.asDouble();
    }

    double required(String key) {
      if (present(node, key).isMissingNode()) {
        throw bad(path + key, "missing");
      }
      return epsilon(key, 1);
    }

    boolean bool(String key, boolean otherwise) {
      JsonNode value = present(node, key);
      if (value.isMissingNode()) {
        return otherwise;
      }
      if (!value.isBoolean()) {
        throw wrong(key, "true or false");
      }
      return value.asBoolean();
    }

    String string(String key, String otherwise) {
      JsonNode value = present(node, key);
      if (value.isMissingNode()) {
        return otherwise;
      }
      if (!value.isTextual()) {
        throw wrong(key, "text");
      }
      return value.asText();
    }

    String activation(String key, String otherwise) {
      String value = string(key, otherwise);
      if (!ACTIVATIONS.contains(value)) {
        throw bad(
            path + key,
            "activation '"
                + value
                + "' is not supported; supported: "
                + ACTIVATIONS.stream().sorted().toList());
      }
      return value;
    }
  }
}
