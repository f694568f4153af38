package io.whetstream.jobs.score;

import java.util.List;

/**
 * An alert computed again.
 *
 * @param alertId the alert
 * @param retained whether item, query and adapter can still be had; if not, nothing was computed
 * @param reason what cannot be had any more, or an empty text
 * @param adapterDigest adapter the alert carries
 * @param comparisons what the alert says, computed again under that adapter
 * @param reproduces whether each of those scores is within {@value #TOLERANCE} of the alert's
 * @param publishedDigest adapter published now
 * @param underPublished the same comparisons under the published adapter, with the query's
 *     threshold there
 * @param holdsUnderPublished whether one of those reaches its threshold
 */
public record Explanation(
    String alertId,
    boolean retained,
    String reason,
    String adapterDigest,
    List<Comparison> comparisons,
    boolean reproduces,
    String publishedDigest,
    List<Comparison> underPublished,
    boolean holdsUnderPublished) {

  /** Scores this close are one score. */
  public static final double TOLERANCE = 1e-5;

  /** Whether a score reaches its threshold. */
  public enum Verdict {
    HOLDS,
    /** Score and threshold are within {@link #TOLERANCE}: rounding decides. */
    TIE,
    DOES_NOT_HOLD,
    /** The query asks for a rate, and the adapter has no calibration for this kind. */
    NO_THRESHOLD
  }

  /**
   * One comparison.
   *
   * @param kind item side and query side, for example {@code image-text}
   * @param score computed now
   * @param alertScore what the alert says; NaN under the published adapter
   * @param threshold from which it holds; NaN if there is none
   */
  public record Comparison(
      String kind, double score, double alertScore, double threshold, Verdict verdict) {}

  static Verdict verdict(double score, double threshold) {
    if (Double.isNaN(threshold)) {
      return Verdict.NO_THRESHOLD;
    }
    if (Math.abs(score - threshold) <= TOLERANCE) {
      return Verdict.TIE;
    }
    return score >= threshold ? Verdict.HOLDS : Verdict.DOES_NOT_HOLD;
  }

  static Explanation notRetained(String alertId, String adapterDigest, String reason) {
    return new Explanation(
        alertId, false, reason, adapterDigest, List.of(), false, null, List.of(), false);
  }
}
