package io.whetstream.model.train;

import io.whetstream.model.image.ModelImage;

/**
 * An image-text pair ready for training.
 *
 * @param id the pair's id; all randomness of its rows is derived from it
 * @param image the processed image
 * @param shortCaption token ids without special tokens, for the contrastive loss; null if none
 * @param longCaption token ids without special tokens, for the next-token loss; null if none
 * @param imageDigest digest of the image's content; pairs that share it are never each other's
 *     negatives; null if unknown
 * @param captionDigest digest of the short caption; the same; null if none
 */
public record PreparedPair(
    String id,
    ModelImage image,
    long[] shortCaption,
    long[] longCaption,
    String imageDigest,
    String captionDigest) {

  public PreparedPair {
    if (shortCaption == null && longCaption == null) {
      throw new io.whetstream.model.BadInputException(
          "pair '" + id + "' has neither a short nor a long caption");
    }
  }
}
