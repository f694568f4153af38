package io.whetstream.model.lvlm;

import ai.djl.ndarray.NDArray;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ModelImage;
import java.util.List;

/**
 * Projected features of some images, in native memory: what takes the places of image tokens.
 *
 * @param values [tokens of all images, d], in the type of the weights; with deepstack features
 *     beside them [., d * (1 + layers)]
 * @param begins per image, its first row in {@code values}
 * @param counts per image, its number of rows
 * @param geometries per image, its geometry
 */
@SuppressWarnings("ArrayRecordComponent") // Handed over, never compared.
public record ImageFeatures(
    NDArray values, int[] begins, int[] counts, List<ImageGeometry> geometries) {
  static int[] counts(List<ModelImage> images) {
    return images.stream().mapToInt(ModelImage::tokens).toArray();
  }

  /** Rows of several images together. */
  int total(int[] images) {
    int total = 0;
    for (int image : images) {
      total += counts[image];
    }
    return total;
  }
}
