package io.whetstream.model.image;

/**
 * The rule of Idefics3 and SmolVLM: a picture is resized to a longest edge, stretched to multiples
 * of the vision tower's side in both directions, and cut into squares of that side; the whole
 * picture, squeezed into one more square, comes last. Each resize works on the 8-bit result of the
 * one before.
 *
 * @param side of a square, in pixels
 * @param longestEdge the longer side after the first resize, smaller pictures are enlarged to it
 * @param split whether pictures are cut at all; otherwise they are only squeezed into one square
 */
record Splitting(int side, int longestEdge, boolean split) {
  /** Where {@code Idefics3ImageProcessor} stops whatever is configured. */
  private static final int LARGEST_EDGE = 4096;

  /** Squares a picture is cut into; 0 x 0 if it stays whole. */
  Size grid(Size picture) {
    if (!split) {
      return new Size(0, 0);
    }
    Size multiple = multiples(first(picture));
    return multiple.height() > side || multiple.width() > side
        ? new Size(multiple.height() / side, multiple.width() / side)
        : new Size(0, 0);
  }

  /** After the first resize. */
  Size first(Size picture) {
    // Python's arithmetic step by step: the quotient is a double, and int() cuts.
    double aspect = (double) picture.width() / picture.height();
    int height = longestEdge;
    int width = longestEdge;
    if (picture.width() >= picture.height()) {
      height = Math.max(1, even((int) (width / aspect)));
    } else {
      width = Math.max(1, even((int) (height * aspect)));
    }
    aspect = (double) width / height;
    if (width >= height && width > LARGEST_EDGE) {
      width = LARGEST_EDGE;
      height = Math.max(1, (int) (width / aspect));
    } else if (height > width && height > LARGEST_EDGE) {
      height = LARGEST_EDGE;
      width = Math.max(1, (int) (height * aspect));
    }
    return new Size(height, width);
  }

  private static int even(int length) {
    return length + length % 2;
  }

  /** After the second resize, of a picture that is cut. */
  Size multiples(Size picture) {
    double aspect = (double) picture.width() / picture.height();
    int height;
    int width;
    if (picture.width() >= picture.height()) {
      width = up(picture.width());
      height = up((int) (width / aspect));
    } else {
      height = up(picture.height());
      width = up((int) (height * aspect));
    }
    return new Size(height, width);
  }

  private int up(int length) {
    return Math.max(1, (length + side - 1) / side) * side;
  }
}
