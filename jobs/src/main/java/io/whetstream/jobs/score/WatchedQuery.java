package io.whetstream.jobs.score;

import io.whetstream.jobs.score.MatchKind.Side;
import io.whetstream.jobs.score.WatchlistTable.Content;
import io.whetstream.model.BadInputException;
import java.nio.charset.StandardCharsets;
import java.util.Set;

/**
 * A query as the matcher uses it: validated, with its contents digested.
 *
 * @param id the query's id
 * @param revision grows with each change; the offset of the record that made it
 * @param topic where it was read, with {@code partition} and {@code offset}
 * @param text text to watch for, or null
 * @param image encoded image to watch for, or null
 * @param kinds the comparisons to make; never empty
 * @param minScore cosine from which an item matches, or null
 * @param maxFalsePositiveRate asked rate among non-matching comparisons, or null; exactly one of
 *     the two is given
 * @param coolDownMillis the query's own cool-down, or null for the job's
 */
record WatchedQuery(
    String id,
    long revision,
    String topic,
    int partition,
    long offset,
    String text,
    byte[] image,
    Set<MatchKind> kinds,
    Double minScore,
    Double maxFalsePositiveRate,
    Long coolDownMillis) {

  WatchedQuery {
    if (text != null && text.isBlank()) {
      text = null;
    }
    if (text == null && image == null) {
      throw new BadInputException("a query needs a text, an image or both");
    }
    if (kinds.isEmpty()) {
      throw new BadInputException("a query needs at least one kind of comparison");
    }
    kinds = Set.copyOf(kinds);
    for (MatchKind kind : kinds) {
      if ((kind.querySide() == Side.TEXT ? text : image) == null) {
        throw new BadInputException(
            "kind "
                + kind.label()
                + " compares the query's "
                + (kind.querySide() == Side.TEXT ? "text" : "image")
                + ", which this query does not have");
      }
    }
    if ((minScore == null) == (maxFalsePositiveRate == null)) {
      throw new BadInputException("give exactly one of minScore and maxFalsePositiveRate");
    }
    if (minScore != null && !(minScore >= -1 && minScore <= 1)) {
      throw new BadInputException("minScore must be a cosine from -1 to 1, not " + minScore);
    }
    if (maxFalsePositiveRate != null
        && !(maxFalsePositiveRate > 0 && maxFalsePositiveRate <= 0.5)) {
      throw new BadInputException(
          "maxFalsePositiveRate must be above 0 and at most 0.5, not " + maxFalsePositiveRate);
    }
    if (coolDownMillis != null && coolDownMillis < 0) {
      throw new BadInputException("the cool-down must not be negative: " + coolDownMillis + " ms");
    }
  }

  /** The text as a row of the watchlist, or null. */
  Content textContent() {
    return text == null
        ? null
        : new Content(Side.TEXT, Digests.sha256(text.getBytes(StandardCharsets.UTF_8)), text, null);
  }

  /** The image as a row of the watchlist, or null. */
  Content imageContent() {
    return image == null ? null : new Content(Side.IMAGE, Digests.sha256(image), null, image);
  }

  /** Digest over both contents, as it stands in alerts. */
  String contentDigest() {
    Content left = textContent();
    Content right = imageContent();
    if (left == null || right == null) {
      return left == null ? right.digest() : left.digest();
    }
    return Digests.sha256(
        (left.digest() + ' ' + right.digest()).getBytes(StandardCharsets.US_ASCII));
  }
}
