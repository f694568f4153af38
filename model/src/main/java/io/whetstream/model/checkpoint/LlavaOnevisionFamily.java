package io.whetstream.model.checkpoint;

import java.util.ArrayList;
import java.util.List;

/** LLaVA-OneVision: any-resolution pictures before SigLIP, bounded, and a Qwen2 decoder. */
final class LlavaOnevisionFamily extends LlavaNextFamily {
  private static final String BOUNDED = "anyres_max_";

  @Override
  public String architecture() {
    return "LlavaOnevisionForConditionalGeneration";
  }

  @Override
  public String modelType() {
    return "llava_onevision";
  }

  @Override
  List<String> decoders() {
    return List.of("qwen2");
  }

  @Override
  VisionConfig standardTower() {
    return new VisionConfig("siglip", 1152, 4304, 26, 16, 384, 14, 1e-6, "gelu_pytorch_tanh");
  }

  @Override
  int standardImageToken() {
    return 151646;
  }

  @Override
  int standardLayer() {
    return -1;
  }

  @Override
  String standardStrategy() {
    return "full";
  }

  @Override
  List<List<Integer>> standardCanvases() {
    List<List<Integer>> sizes = new ArrayList<>();
    for (int height = 1; height <= 6; height++) {
      for (int width = 1; width <= 6; width++) {
        sizes.add(List.of(384 * height, 384 * width));
      }
    }
    return sizes;
  }

  @Override
  int maxSquares(ConfigKeys root) {
    String ratio = root.string("vision_aspect_ratio", "anyres_max_9");
    if (!ratio.matches(BOUNDED + "[1-9]\\d{0,3}")) {
      throw root.unsupported("vision_aspect_ratio", ratio, "anyres_max_N");
    }
    return Integer.parseInt(ratio.substring(BOUNDED.length()));
  }
}
