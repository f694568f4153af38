package io.whetstream.model.image;

import java.util.ArrayList;
import java.util.List;

/**
 * A decoded picture: 8 bits a channel, rows top to bottom, pixels left to right, channels R, G, B
 * ({@code rgb[(y * width + x) * 3 + c]}). The array is shared, not copied: treat it as read-only.
 *
 * @param width pixels a row
 * @param height rows
 * @param rgb {@code width * height * 3} bytes, unsigned
 */
@SuppressWarnings("ArrayRecordComponent") // A picture is a buffer; identity equality is intended.
public record RgbImage(int width, int height, byte[] rgb) {
  public RgbImage {
    if (width <= 0 || height <= 0 || rgb.length != 3L * width * height) {
      throw new IllegalArgumentException(
          "an RGB image of " + width + "x" + height + " needs " + 3L * width * height + " bytes");
    }
  }

  /** A rectangle of it. */
  RgbImage cut(int left, int top, int columns, int rows) {
    byte[] part = new byte[3 * columns * rows];
    for (int y = 0; y < rows; y++) {
      System.arraycopy(rgb, 3 * ((top + y) * width + left), part, 3 * y * columns, 3 * columns);
    }
    return new RgbImage(columns, rows, part);
  }

  /** Squares of it, row by row; its sides are multiples of {@code side}. */
  List<RgbImage> squares(int side) {
    List<RgbImage> squares = new ArrayList<>();
    for (int top = 0; top < height; top += side) {
      for (int left = 0; left < width; left += side) {
        squares.add(cut(left, top, side, side));
      }
    }
    return squares;
  }

  /** This picture in the middle of a larger one of one colour; half a pixel goes right or down. */
  RgbImage centred(int columns, int rows, byte[] colour) {
    byte[] larger = new byte[3 * columns * rows];
    for (int i = 0; i < larger.length; i++) {
      larger[i] = colour[i % 3];
    }
    int left = (columns - width) / 2;
    int top = (rows - height) / 2;
    for (int y = 0; y < height; y++) {
      System.arraycopy(rgb, 3 * y * width, larger, 3 * ((top + y) * columns + left), 3 * width);
    }
    return new RgbImage(columns, rows, larger);
  }
}
