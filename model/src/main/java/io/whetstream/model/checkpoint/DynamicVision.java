package io.whetstream.model.checkpoint;

import java.util.List;

/**
 * What a vision tower has that takes pictures of any size (the Qwen-VL families): rotary positions,
 * attention within one picture, and square blocks of patches that become one feature.
 *
 * @param merge patches along a side of a block
 * @param windowSize side in pixels of the windows that attention stays in; 0: none
 * @param fullAttentionLayers layers that see the whole picture in spite of windows
 * @param deepstackLayers layers whose output also reaches the decoder, feature k the output of
 *     decoder layer k
 * @param positionSide side of the square table of learned positions that is resampled to the
 *     picture's grid; 0: none
 */
public record DynamicVision(
    int merge,
    int windowSize,
    List<Integer> fullAttentionLayers,
    List<Integer> deepstackLayers,
    int positionSide) {
  public DynamicVision {
    fullAttentionLayers = List.copyOf(fullAttentionLayers);
    deepstackLayers = List.copyOf(deepstackLayers);
  }

  /** Whether the tower is Qwen2.5-VL's: windows, RMS norms and gated layers came together. */
  public boolean gated() {
    return windowSize > 0;
  }
}
