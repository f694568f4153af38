package io.whetstream.model.checkpoint;

import java.util.List;

/**
 * Rotary positions of three axes (time, height, width), as the Qwen-VL families have them: each
 * pair of a head's dimensions turns by the position of one axis.
 *
 * @param sections pairs of dimensions that belong to each axis; together half a head
 * @param interleaved false (Qwen2-VL, Qwen2.5-VL): axis after axis; true (Qwen3-VL): height and
 *     width take turns with time as long as they have any left
 */
public record MultimodalRope(List<Integer> sections, boolean interleaved) {
  public MultimodalRope {
    sections = List.copyOf(sections);
  }

  /** The axis of each pair of dimensions: 0 time, 1 height, 2 width. */
  public int[] axes() {
    int half = sections.stream().mapToInt(Integer::intValue).sum();
    int[] axes = new int[half];
    for (int j = 0; j < half; j++) {
      if (interleaved) {
        int axis = j % 3;
        axes[j] = j < 3 * sections.get(axis) ? axis : 0;
      } else {
        int first = sections.get(0);
        axes[j] = j < first ? 0 : j < first + sections.get(1) ? 1 : 2;
      }
    }
    return axes;
  }
}
