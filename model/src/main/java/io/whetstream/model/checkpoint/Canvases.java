package io.whetstream.model.checkpoint;

import java.util.List;

/**
 * Any-resolution pictures (LLaVA-NeXT, LLaVA-OneVision): the canvases a picture may be fitted into,
 * and what becomes of the features of its pieces.
 *
 * @param sizes height and width of each canvas in pixels, multiples of the tower's image size
 * @param maxSquares a grid of features is reduced where it is larger than that of this many squares
 *     (OneVision's {@code anyres_max_N}); 0: never
 */
public record Canvases(List<List<Integer>> sizes, int maxSquares) {
  public Canvases {
    sizes = sizes.stream().map(List::copyOf).toList();
  }
}
