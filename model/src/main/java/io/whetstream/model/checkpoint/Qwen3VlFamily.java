package io.whetstream.model.checkpoint;

import java.util.List;

/** Qwen3-VL: learned positions resampled to the picture, and deepstack features. */
final class Qwen3VlFamily extends QwenVlFamily {
  private static final TowerKeys.Dynamic TOWER =
      new TowerKeys.Dynamic("qwen3_vl", "hidden_size", 1152, 27, 16, 16, "gelu_pytorch_tanh");

  @Override
  public String architecture() {
    return "Qwen3VLForConditionalGeneration";
  }

  @Override
  public String modelType() {
    return "qwen3_vl";
  }

  @Override
  VisionConfig vision(ConfigKeys keys) {
    int positions = keys.positive("num_position_embeddings", 2304);
    int side = (int) Math.sqrt(positions);
    if (side * side != positions) {
      throw keys.bad("num_position_embeddings", positions + " is no square number");
    }
    return TowerKeys.dynamic(
        keys,
        TOWER,
        keys.positive("intermediate_size", 4304),
        new DynamicVision(
            keys.positive("spatial_merge_size", 2),
            0,
            List.of(),
            keys.integers("deepstack_visual_indexes", List.of(8, 16, 24)),
            side));
  }
}
