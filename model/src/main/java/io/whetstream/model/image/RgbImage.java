package io.whetstream.model.image;

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
}
