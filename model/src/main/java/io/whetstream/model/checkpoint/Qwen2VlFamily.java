package io.whetstream.model.checkpoint;

import java.util.List;

/** Qwen2-VL. */
final class Qwen2VlFamily extends QwenVlFamily {
  private static final TowerKeys.Dynamic TOWER =
      new TowerKeys.Dynamic("qwen2_vl", "embed_dim", 1280, 32, 16, 14, "quick_gelu");

  @Override
  public String architecture() {
    return "Qwen2VLForConditionalGeneration";
  }

  @Override
  public String modelType() {
    return "qwen2_vl";
  }

  @Override
  VisionConfig vision(ConfigKeys keys) {
    int width = keys.positive("embed_dim", TOWER.hidden());
    return TowerKeys.dynamic(
        keys,
        TOWER,
        Math.multiplyExact(width, keys.positive("mlp_ratio", 4)),
        new DynamicVision(keys.positive("spatial_merge_size", 2), 0, List.of(), List.of(), 0));
  }
}
