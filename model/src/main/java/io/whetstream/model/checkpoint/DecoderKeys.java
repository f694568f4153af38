package io.whetstream.model.checkpoint;

import java.util.List;
import java.util.Map;

/**
 * Reads the decoder's part of a {@code config.json}. One reader for all kinds: they differ in class
 * defaults, in which projections have biases, and in how positions turn heads.
 */
final class DecoderKeys {
  /** Class defaults of one kind of decoder; a {@code headDim} of 0 is hidden size by heads. */
  private record Kind(
      int vocabulary,
      int hidden,
      int intermediate,
      int layers,
      int heads,
      int keyValueHeads,
      int headDim,
      int positions,
      double epsilon,
      double theta,
      int bos,
      int eos) {}

  private static final Map<String, Kind> KINDS =
      Map.of(
          "llama",
          new Kind(32000, 4096, 11008, 32, 32, 0, 0, 2048, 1e-6, 10000, 1, 2),
          "mistral",
          new Kind(32000, 4096, 14336, 32, 32, 8, 0, 131072, 1e-6, 10000, 1, 2),
          "qwen2",
          new Kind(151936, 4096, 22016, 32, 32, 32, 0, 32768, 1e-6, 10000, -1, -1),
          "qwen2_vl_text",
          new Kind(152064, 8192, 29568, 80, 64, 8, 0, 32768, 1e-5, 1e6, -1, -1),
          "qwen2_5_vl_text",
          new Kind(152064, 8192, 29568, 80, 64, 8, 0, 32768, 1e-5, 1e6, -1, -1),
          "qwen3_vl_text",
          new Kind(151936, 4096, 22016, 32, 32, 32, 128, 128000, 1e-6, 5e6, -1, -1));

  private DecoderKeys() {}

  /**
   * The decoder.
   *
   * @param type its {@code model_type}, one of those above
   */
  static TextConfig read(ConfigKeys keys, String type) {
    Kind kind = KINDS.get(type);
    int hidden = keys.positive("hidden_size", kind.hidden());
    int heads = keys.positive("num_attention_heads", kind.heads());
    int keyValueHeads =
        keys.positive(
            "num_key_value_heads", kind.keyValueHeads() == 0 ? heads : kind.keyValueHeads());
    int headDim =
        keys.positive(
            "head_dim", kind.headDim() == 0 ? Math.max(1, hidden / heads) : kind.headDim());
    keys.divides("num_key_value_heads", keyValueHeads, heads);
    if (headDim % 2 != 0) {
      throw keys.bad("head_dim", headDim + " is odd; rotary embeddings need pairs");
    }
    int positions = keys.positive("max_position_embeddings", kind.positions());
    wholeContext(keys, type, positions);
    // rope_parameters: the one object that newer releases write instead of the two older keys.
    boolean newer = keys.has("rope_parameters");
    ConfigKeys rope = keys.object(newer ? "rope_parameters" : "rope_scaling");
    boolean multimodal = type.endsWith("_vl_text");
    boolean llama = type.equals("llama");
    boolean qwen2 = type.startsWith("qwen2");
    boolean attentionBias =
        qwen2 || (!type.equals("mistral") && keys.bool("attention_bias", false));
    return new TextConfig(
        keys.positive("vocab_size", kind.vocabulary()),
        hidden,
        keys.positive("intermediate_size", kind.intermediate()),
        keys.positive("num_hidden_layers", kind.layers()),
        heads,
        keyValueHeads,
        headDim,
        keys.epsilon("rms_norm_eps", kind.epsilon()),
        newer
            ? rope.epsilon("rope_theta", keys.epsilon("rope_theta", kind.theta()))
            : keys.epsilon("rope_theta", kind.theta()),
        scaling(rope, positions, multimodal),
        positions,
        keys.activation("hidden_act", "silu"),
        attentionBias,
        llama && keys.bool("mlp_bias", false),
        keys.firstInteger("bos_token_id", kind.bos()),
        keys.firstInteger("eos_token_id", kind.eos()),
        attentionBias && !qwen2,
        type.equals("qwen3_vl_text"),
        multimodal ? multimodal(rope, type, headDim / 2) : null);
  }

  /** Refuses attention that does not reach back over the whole context. */
  private static void wholeContext(ConfigKeys keys, String type, int positions) {
    List<String> layers = new java.util.ArrayList<>();
    keys.present("layer_types").forEach(layer -> layers.add(layer.asText()));
    for (String layer : layers) {
      if (!layer.equals("full_attention")) {
        throw keys.unsupported("layer_types", layer, "full_attention in every layer");
      }
    }
    boolean used =
        type.equals("mistral")
            ? !keys.isNull("sliding_window")
            : keys.bool("use_sliding_window", false) && layers.isEmpty();
    int window = keys.integer("sliding_window", 4096);
    if (used && window < positions) {
      throw keys.unsupported(
          "sliding_window",
          window + " below max_position_embeddings " + positions,
          "attention over the whole context (sliding_window null)");
    }
  }

  private static MultimodalRope multimodal(ConfigKeys rope, String type, int half) {
    boolean qwen3 = type.equals("qwen3_vl_text");
    List<Integer> sections = rope.integers("mrope_section", qwen3 ? List.of(24, 20, 20) : null);
    if (sections == null
        || sections.size() != 3
        || sections.stream().mapToInt(Integer::intValue).sum() != half) {
      throw rope.bad(
          "mrope_section", sections + " are not three numbers that make half a head, " + half);
    }
    return new MultimodalRope(sections, qwen3);
  }

  private static RopeScaling scaling(ConfigKeys keys, int positions, boolean multimodal) {
    String type = keys.string("rope_type", keys.string("type", "default"));
    if (multimodal && type.equals("mrope")) {
      type = "default";
    }
    return switch (type) {
      case "default" -> null;
      case "linear", "dynamic" -> new RopeScaling(type, keys.required("factor"), 0, 0, 0);
      case "llama3" -> {
        double low = keys.required("low_freq_factor");
        double high = keys.required("high_freq_factor");
        if (high <= low) {
          throw keys.bad("high_freq_factor", "not above low_freq_factor");
        }
        yield new RopeScaling(
            type,
            keys.required("factor"),
            low,
            high,
            keys.positive("original_max_position_embeddings", positions));
      }
      default ->
          throw keys.bad(
              "rope_type",
              "type '" + type + "' is not supported; supported: default, linear, dynamic, llama3");
    };
  }
}
