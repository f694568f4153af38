package io.whetstream.model.image;

/**
 * Height and width, in whatever is counted: pixels, patches or features. Hugging Face's order.
 *
 * @param height rows
 * @param width columns
 */
public record Size(int height, int width) {
  static Size of(RgbImage image) {
    return new Size(image.height(), image.width());
  }

  public long area() {
    return (long) height * width;
  }

  Size times(int factor) {
    return new Size(Math.multiplyExact(height, factor), Math.multiplyExact(width, factor));
  }

  @Override
  public String toString() {
    return width + "x" + height;
  }
}
