package io.whetstream.jobs.score;

import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.MatchKind.Side;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.jobs.score.WatchlistTable.Content;
import io.whetstream.model.BadInputException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Stream;

/**
 * A query as the matcher uses it: validated, with its contents digested.
 *
 * @param id the query's id
 * @param revision grows with each change; the offset of the record that made it
 * @param at where it was read
 * @param text text to watch for, or null
 * @param image encoded image to watch for, or null; the watchlist keeps it elsewhere
 * @param kinds the comparisons to make; never empty
 * @param unlike texts that an item must score less with than with {@code text}, in kinds that
 *     compare it
 * @param minScore cosine from which an item matches, or null
 * @param maxFalsePositiveRate asked rate among non-matching comparisons, or null
 * @param maxAlertsPerDay as {@link SimilarityQuery#maxAlertsPerDay}, or null; exactly one of the
 *     three is given
 * @param coolDownMillis the query's own cool-down, or null for the job's
 */
public record WatchedQuery(
    String id,
    long revision,
    Coordinates at,
    String text,
    byte[] image,
    Set<MatchKind> kinds,
    List<String> unlike,
    Double minScore,
    Double maxFalsePositiveRate,
    Double maxAlertsPerDay,
    Long coolDownMillis) {

  /** One without a budget. */
  public WatchedQuery(
      String id,
      long revision,
      Coordinates at,
      String text,
      byte[] image,
      Set<MatchKind> kinds,
      List<String> unlike,
      Double minScore,
      Double maxFalsePositiveRate,
      Long coolDownMillis) {
    this(
        id,
        revision,
        at,
        text,
        image,
        kinds,
        unlike,
        minScore,
        maxFalsePositiveRate,
        null,
        coolDownMillis);
  }

  /**
   * Takes over a query whose image, if it has one, is at hand.
   *
   * @throws BadInputException if its image is only a URI
   */
  static WatchedQuery of(SimilarityQuery query) {
    if (query.image() == null && query.imageUri() != null) {
      throw new BadInputException(
          "query '" + query.id() + "': the image at " + query.imageUri() + " is not at hand");
    }
    return new WatchedQuery(
        query.id(),
        query.at().offset(),
        query.at(),
        query.text(),
        query.image(),
        Set.copyOf(query.kinds()),
        query.unlike(),
        query.minScore(),
        query.maxFalsePositiveRate(),
        query.maxAlertsPerDay(),
        query.coolDownMillis());
  }

  /** The same query without the bytes of its image, if it has one. */
  WatchedQuery withoutImage() {
    return image == null
        ? this
        : new WatchedQuery(
            id,
            revision,
            at,
            text,
            null,
            kinds,
            unlike,
            minScore,
            maxFalsePositiveRate,
            maxAlertsPerDay,
            coolDownMillis);
  }

  /** The text as a row of the watchlist, or null. */
  Content textContent() {
    return text == null ? null : content(text);
  }

  private static Content content(String text) {
    return new Content(
        Side.TEXT, Digests.sha256(text.getBytes(StandardCharsets.UTF_8)), text, null);
  }

  /** The texts of {@code unlike} as rows of the watchlist. */
  List<Content> unlikeContents() {
    return unlike.stream().map(WatchedQuery::content).toList();
  }

  /** The image as a row of the watchlist, or null. */
  Content imageContent() {
    return image == null ? null : new Content(Side.IMAGE, Digests.sha256(image), null, image);
  }

  /** Digest over all contents, as it stands in alerts: that of the only one if there is one. */
  String contentDigest() {
    List<String> digests =
        Stream.concat(Stream.of(textContent(), imageContent()), unlikeContents().stream())
            .filter(Objects::nonNull)
            .map(Content::digest)
            .toList();
    return digests.size() == 1
        ? digests.get(0)
        : Digests.sha256(String.join(" ", digests).getBytes(StandardCharsets.US_ASCII));
  }
}
