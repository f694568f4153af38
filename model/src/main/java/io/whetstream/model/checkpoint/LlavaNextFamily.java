package io.whetstream.model.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;

/** LLaVA-NeXT (1.6): LLaVA with any-resolution pictures. */
class LlavaNextFamily extends LlavaFamily {
  @Override
  public String architecture() {
    return "LlavaNextForConditionalGeneration";
  }

  @Override
  public String modelType() {
    return "llava_next";
  }

  @Override
  List<String> decoders() {
    return List.of("llama", "mistral");
  }

  @Override
  public boolean tied(ConfigKeys root, boolean head) {
    return ModelFamily.tiedAtTop(root, head);
  }

  List<List<Integer>> standardCanvases() {
    return List.of(
        List.of(336, 672),
        List.of(672, 336),
        List.of(672, 672),
        List.of(1008, 336),
        List.of(336, 1008));
  }

  int maxSquares(ConfigKeys root) {
    return 0;
  }

  @Override
  Canvases canvases(ConfigKeys root, VisionConfig vision) {
    List<List<Integer>> sizes = new ArrayList<>();
    for (JsonNode pair : root.present("image_grid_pinpoints")) {
      sizes.add(List.of(pair.path(0).asInt(), pair.path(1).asInt()));
    }
    if (sizes.isEmpty()) {
      sizes = standardCanvases();
    }
    for (List<Integer> size : sizes) {
      for (int length : size) {
        if (length < 1 || length % vision.imageSize() != 0) {
          throw root.bad(
              "image_grid_pinpoints",
              size + " is no multiple of the vision tower's " + vision.imageSize() + " pixels");
        }
      }
    }
    return new Canvases(sizes, maxSquares(root));
  }
}
