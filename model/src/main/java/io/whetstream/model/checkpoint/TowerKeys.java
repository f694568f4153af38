package io.whetstream.model.checkpoint;

import java.util.List;

/** Reads the vision tower's part of a {@code config.json}. */
final class TowerKeys {
  private static final int LARGEST_IMAGE = 1 << 14;

  private TowerKeys() {}

  /** A tower of CLIP or SigLIP. */
  static VisionConfig square(ConfigKeys keys, String supported) {
    String type = keys.string("model_type", "clip_vision_model");
    if (!List.of("clip_vision_model", "siglip_vision_model").contains(type)) {
      throw keys.unsupported("model_type", type, supported);
    }
    boolean clip = type.equals("clip_vision_model");
    return square(
        keys,
        clip
            ? new VisionConfig("clip", 768, 3072, 12, 12, 224, 32, 1e-5, "quick_gelu")
            : new VisionConfig("siglip", 768, 3072, 12, 12, 224, 16, 1e-6, "gelu_pytorch_tanh"));
  }

  /** A tower of square inputs; what is not said is as in {@code otherwise}. */
  static VisionConfig square(ConfigKeys keys, VisionConfig otherwise) {
    rgb(keys, "num_channels");
    VisionConfig vision =
        new VisionConfig(
            otherwise.type(),
            keys.positive("hidden_size", otherwise.hiddenSize()),
            keys.positive("intermediate_size", otherwise.intermediateSize()),
            keys.positive("num_hidden_layers", otherwise.layers()),
            keys.positive("num_attention_heads", otherwise.heads()),
            keys.positive("image_size", otherwise.imageSize()),
            keys.positive("patch_size", otherwise.patchSize()),
            keys.epsilon("layer_norm_eps", otherwise.layerNormEps()),
            keys.activation("hidden_act", otherwise.activation()));
    keys.divides("num_attention_heads", vision.heads(), vision.hiddenSize());
    if (vision.patchSize() > vision.imageSize() || vision.imageSize() > LARGEST_IMAGE) {
      throw keys.bad(
          "image_size", vision.imageSize() + " with patches of " + vision.patchSize() + " pixels");
    }
    return vision;
  }

  /** Class defaults of one kind of Qwen tower. */
  record Dynamic(
      String type, String width, int hidden, int layers, int heads, int patch, String activation) {}

  /**
   * A tower of a Qwen-VL model.
   *
   * @param intermediate inner width of the MLP
   */
  static VisionConfig dynamic(
      ConfigKeys keys, Dynamic otherwise, int intermediate, DynamicVision dynamic) {
    rgb(keys, keys.has("in_chans") ? "in_chans" : "in_channels");
    if (keys.integer("temporal_patch_size", 2) != 2) {
      throw keys.bad("temporal_patch_size", "only 2 is supported: a picture stands for two frames");
    }
    int patch = keys.positive("patch_size", otherwise.patch());
    VisionConfig vision =
        new VisionConfig(
            otherwise.type(),
            keys.positive(otherwise.width(), otherwise.hidden()),
            intermediate,
            keys.positive("depth", otherwise.layers()),
            keys.positive("num_heads", otherwise.heads()),
            0,
            patch,
            1e-6,
            keys.activation("hidden_act", otherwise.activation()),
            dynamic);
    keys.divides("num_heads", vision.heads(), vision.hiddenSize());
    if (vision.hiddenSize() / vision.heads() % 4 != 0) {
      throw keys.bad(
          "num_heads",
          "heads of "
              + vision.hiddenSize() / vision.heads()
              + " dimensions; rows and columns turn pairs of them, so it must be divisible by 4");
    }
    if (dynamic.windowSize() > 0 && dynamic.windowSize() % (patch * dynamic.merge()) != 0) {
      throw keys.bad(
          "window_size",
          dynamic.windowSize() + " is no multiple of patch_size x spatial_merge_size");
    }
    layers(keys, "fullatt_block_indexes", dynamic.fullAttentionLayers(), vision.layers());
    layers(keys, "deepstack_visual_indexes", dynamic.deepstackLayers(), vision.layers());
    return vision;
  }

  private static void rgb(ConfigKeys keys, String key) {
    if (keys.integer(key, 3) != 3) {
      throw keys.bad(key, "only 3 (RGB) is supported");
    }
  }

  private static void layers(ConfigKeys keys, String key, List<Integer> listed, int layers) {
    for (int layer : listed) {
      if (layer < 0 || layer >= layers) {
        throw keys.bad(key, layer + " is not among " + layers + " layers");
      }
    }
  }
}
