package io.whetstream.model.image;

import java.util.Arrays;
import java.util.List;

/**
 * A picture as a model takes it: what an {@link ImageProcessor} returns. Immutable by agreement:
 * whoever gave or got the array does not change it. Compared by identity of the array.
 *
 * @param geometry its shape
 * @param pixels values [inputs, 3, height, width], one input after another; how a tower cuts them
 *     into patches is the tower's affair
 */
@SuppressWarnings("ArrayRecordComponent") // Handed over, never compared.
public record ModelImage(ImageGeometry geometry, float[] pixels) {
  public ModelImage {
    if (pixels.length != geometry.values()) {
      throw new IllegalArgumentException(
          geometry + " needs " + geometry.values() + " values, not " + pixels.length);
    }
  }

  /** Image tokens that stand for the picture in a row. */
  public int tokens() {
    return geometry.tokens();
  }

  /**
   * One of its inputs as a picture of its own.
   *
   * @param tokens that stand for it
   */
  public ModelImage input(int which, int tokens) {
    if (geometry.inputs() == 1) {
      return this;
    }
    ImageGeometry one = ImageGeometry.whole(geometry.height(), geometry.width(), tokens);
    int from = which * one.values();
    return new ModelImage(one, Arrays.copyOfRange(pixels, from, from + one.values()));
  }

  /**
   * From 8-bit pictures of one size.
   *
   * @param values what each sample of each channel becomes
   */
  static ModelImage of(ImageGeometry geometry, List<RgbImage> inputs, float[][] values) {
    int plane = geometry.height() * geometry.width();
    float[] pixels = new float[geometry.values()];
    for (int input = 0; input < inputs.size(); input++) {
      byte[] rgb = inputs.get(input).rgb();
      int base = 3 * plane * input;
      for (int c = 0; c < 3; c++) {
        for (int i = 0; i < plane; i++) {
          pixels[base + c * plane + i] = values[c][rgb[3 * i + c] & 0xff];
        }
      }
    }
    return new ModelImage(geometry, pixels);
  }
}
