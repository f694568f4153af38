package io.whetstream.model.checkpoint;

import java.util.List;

/** Qwen2.5-VL: attention in windows, RMS norms and gated layers in the vision tower. */
final class Qwen25VlFamily extends QwenVlFamily {
  private static final TowerKeys.Dynamic TOWER =
      new TowerKeys.Dynamic("qwen2_5_vl", "hidden_size", 3584, 32, 16, 14, "silu");

  @Override
  public String architecture() {
    return "Qwen2_5_VLForConditionalGeneration";
  }

  @Override
  public String modelType() {
    return "qwen2_5_vl";
  }

  @Override
  VisionConfig vision(ConfigKeys keys) {
    return TowerKeys.dynamic(
        keys,
        TOWER,
        keys.positive("intermediate_size", 3420),
        new DynamicVision(
            keys.positive("spatial_merge_size", 2),
            keys.positive("window_size", 112),
            keys.integers("fullatt_block_indexes", List.of(7, 15, 23, 31)),
            List.of(),
            0));
  }
}
