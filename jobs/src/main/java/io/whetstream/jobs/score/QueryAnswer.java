package io.whetstream.jobs.score;

import java.util.List;

/**
 * What becomes of a query, for {@code queries.status}.
 *
 * @param queryId the query
 * @param revision its revision
 * @param state {@code ACCEPTED}, {@code REFUSED}, {@code REMOVED}, {@code QUARANTINED} or {@code
 *     RELEASED}
 * @param reason why, or an empty text
 * @param thresholds effective thresholds when accepted
 * @param adapterDigest under which they hold, or null
 * @param matches matches counted in a quarantine that ended, else 0
 * @param until end of a quarantine that begins, in milliseconds of event time, else 0
 * @param time processing time, milliseconds since 1970
 */
public record QueryAnswer(
    String queryId,
    long revision,
    String state,
    String reason,
    List<EffectiveThreshold> thresholds,
    String adapterDigest,
    long matches,
    long until,
    long time) {

  /**
   * The score from which a comparison of one kind holds.
   *
   * @param kind as {@link MatchKind#label()}
   */
  public record EffectiveThreshold(String kind, double score) {}
}
