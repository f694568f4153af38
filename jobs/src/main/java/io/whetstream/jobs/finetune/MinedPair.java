package io.whetstream.jobs.finetune;

import java.nio.charset.StandardCharsets;

/**
 * A checked pair on its way through mining to the trainer.
 *
 * @param id of the pair
 * @param image as it was encoded; never pixels
 * @param shortCaption for the contrastive loss, or null
 * @param longCaption for the next-token loss, or null
 * @param imageDigest of the encoded image
 * @param captionDigest of the short caption, or of the long one where there is no short one
 * @param vector mining embedding, int8, see {@link Sketch}
 * @param bucket the pair's home
 * @param eventTime milliseconds
 * @param partition of the pairs topic
 * @param offset in that partition
 */
@SuppressWarnings("ArrayRecordComponent") // millions of them: no copies
record MinedPair(
    String id,
    byte[] image,
    String shortCaption,
    String longCaption,
    String imageDigest,
    String captionDigest,
    byte[] vector,
    int bucket,
    long eventTime,
    int partition,
    long offset) {

  /** What the pair takes in state, in bytes, about. */
  int bytes() {
    return 64 + id.length() + image.length + vector.length + utf8(shortCaption) + utf8(longCaption);
  }

  private static int utf8(String text) {
    return text == null ? 0 : text.getBytes(StandardCharsets.UTF_8).length;
  }

  /** The same pair with its mining embedding and home. */
  MinedPair mined(byte[] embedding, int home) {
    return new MinedPair(
        id,
        image,
        shortCaption,
        longCaption,
        imageDigest,
        captionDigest,
        embedding,
        home,
        eventTime,
        partition,
        offset);
  }
}
