package io.whetstream.model.image;

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
}
