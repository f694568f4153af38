package io.whetstream.model.image;

import io.whetstream.model.BadInputException;

/**
 * The Qwen-VL families' rule: a picture keeps its shape, its sides become multiples of a factor,
 * and its number of pixels is held between two bounds ({@code smart_resize} of transformers).
 *
 * @param factor pixels a side is a multiple of: patch times merge
 * @param minPixels smaller pictures are enlarged to at least this
 * @param maxPixels larger ones are reduced to at most this
 */
record DynamicResolution(int factor, long minPixels, long maxPixels) {
  private static final int MAX_ASPECT = 200;

  /** Squares of {@code factor} pixels that a picture comes out with at most. */
  int mostBlocks() {
    // A strip of which one side would be less than a square keeps one of them.
    long strip = (long) Math.sqrt((double) MAX_ASPECT * maxPixels) / factor;
    return Math.toIntExact(Math.max(maxPixels / ((long) factor * factor), strip));
  }

  /**
   * The size a picture is resized to.
   *
   * @throws BadInputException if it is more than 200 times as long as it is wide
   */
  Size target(Size picture) {
    double height = picture.height();
    double width = picture.width();
    if (Math.max(height, width) / Math.min(height, width) > MAX_ASPECT) {
      throw new BadInputException(
          "a picture of "
              + picture
              + " pixels is more than "
              + MAX_ASPECT
              + " times as long as it is wide; this model's processor takes none");
    }
    double high = Math.rint(height / factor);
    double wide = Math.rint(width / factor);
    double pixels = high * factor * wide * factor;
    if (pixels > maxPixels) {
      double shrink = Math.sqrt(height * width / maxPixels);
      high = Math.max(1, Math.floor(height / shrink / factor));
      wide = Math.max(1, Math.floor(width / shrink / factor));
    } else if (pixels < minPixels) {
      double stretch = Math.sqrt(minPixels / (height * width));
      high = Math.ceil(height * stretch / factor);
      wide = Math.ceil(width * stretch / factor);
    }
    return new Size((int) high, (int) wide).times(factor);
  }
}
