package io.whetstream.model.train;

import io.whetstream.model.image.ModelImage;
import java.util.List;

/**
 * An image-text pair ready for training; it may have several images with one text.
 *
 * @param id the pair's id; all randomness of its rows is derived from it
 * @param images the processed images of the pair, in order; what {@code
 *     ImageProcessor.process(List)} makes of them
 * @param shortCaption token ids without special tokens, for the contrastive loss; null if none
 * @param longCaption token ids without special tokens, for the next-token loss; null if none
 * @param imageDigest digest of the images' content; pairs that share it are never each other's
 *     negatives; null if unknown
 * @param captionDigest digest of the short caption; the same; null if none
 */
public record PreparedPair(
    String id,
    List<ModelImage> images,
    long[] shortCaption,
    long[] longCaption,
    String imageDigest,
    String captionDigest) {

  public PreparedPair {
    images = List.copyOf(images);
    if (images.isEmpty()) {
      throw new io.whetstream.model.BadInputException("pair '" + id + "' has no image");
    }
    if (shortCaption == null && longCaption == null) {
      throw new io.whetstream.model.BadInputException(
          "pair '" + id + "' has neither a short nor a long caption");
    }
  }

  /** A pair of one image. */
  public PreparedPair(
      String id,
      ModelImage image,
      long[] shortCaption,
      long[] longCaption,
      String imageDigest,
      String captionDigest) {
    this(id, List.of(image), shortCaption, longCaption, imageDigest, captionDigest);
  }

  /** The image of a pair of one. */
  public ModelImage image() {
    if (images.size() != 1) {
      throw new IllegalStateException("pair '" + id + "' has " + images.size() + " images");
    }
    return images.get(0);
  }
}
