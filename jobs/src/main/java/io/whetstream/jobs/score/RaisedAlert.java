package io.whetstream.jobs.score;

/**
 * A match that passed suppression, or the count of matches that no further alert will carry.
 *
 * @param match for a final count, the alert of its group that was raised last
 * @param suppressed matches of the same query and near-duplicate group counted since the alert
 *     before
 * @param finalCount true if this only gives a count
 */
public record RaisedAlert(MatchedItem match, long suppressed, boolean finalCount) {

  /** The alert's id; a final count has its own, derived from the alert it completes. */
  String id() {
    return finalCount ? match.alertId() + "-final" : match.alertId();
  }
}
