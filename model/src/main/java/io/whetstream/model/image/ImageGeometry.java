package io.whetstream.model.image;

import io.whetstream.model.BadInputException;

/**
 * The shape of a processed picture: all that decides how a model computes it and how many positions
 * of a row it takes. Pictures of equal geometry go through the vision tower in one call.
 *
 * @param inputs inputs of the vision tower: 1, or the crops of a picture that was cut
 * @param height of one input in pixels
 * @param width of one input in pixels
 * @param rows rows of crops of a picture that was cut into a grid; 0 where it was not
 * @param columns columns of that grid
 * @param unpaddedHeight height in features of what the picture covers of the grid's features, equal
 *     margins cut at both sides; it may be none
 * @param unpaddedWidth the same across
 * @param tokens image tokens that stand for the picture in a row
 */
public record ImageGeometry(
    int inputs,
    int height,
    int width,
    int rows,
    int columns,
    int unpaddedHeight,
    int unpaddedWidth,
    int tokens) {
  public ImageGeometry {
    if (inputs < 1 || height < 1 || width < 1 || tokens < 1) {
      throw new IllegalArgumentException(
          "a picture needs inputs, sides and tokens above zero, not "
              + inputs
              + " of "
              + height
              + "x"
              + width
              + " and "
              + tokens);
    }
    if (rows < 0 || columns < 0 || unpaddedHeight < 0 || unpaddedWidth < 0) {
      throw new IllegalArgumentException("a negative number of rows, columns or features");
    }
  }

  /** A picture that is one input as a whole. */
  public static ImageGeometry whole(int height, int width, int tokens) {
    return new ImageGeometry(1, height, width, 0, 0, 0, 0, tokens);
  }

  /**
   * Refuses a picture for a model of square inputs of another size.
   *
   * @param side in pixels; 0 where a model takes any size
   */
  public void requireSide(int side) {
    if (side > 0 && (height != side || width != side)) {
      throw new BadInputException(
          "an image has "
              + height
              + " x "
              + width
              + " pixels; this model takes "
              + side
              + " x "
              + side);
    }
  }

  /** Pixel values of the picture: {@code inputs * 3 * height * width}. */
  public int values() {
    return Math.multiplyExact(Math.multiplyExact(3 * inputs, height), width);
  }
}
