package io.whetstream.jobs.score;

import io.whetstream.model.onnx.ScorerAdapter;

/**
 * Identity of an adapter for ordering and for alerts. Equality of what it computes is equality of
 * {@code digest}; (epoch, n) only orders announcements.
 *
 * @param epoch grows with each restore of the trainer by hand
 * @param n number within the epoch
 * @param digest content digest; for the base model {@code "base"}
 */
public record AdapterVersion(long epoch, long n, String digest)
    implements Comparable<AdapterVersion> {
  /** The base model, before every adapter. */
  static final AdapterVersion BASE = new AdapterVersion(-1, -1, ScorerAdapter.BASE);

  boolean isBase() {
    return epoch < 0;
  }

  boolean isNewerThan(AdapterVersion other) {
    return other == null || epoch > other.epoch || (epoch == other.epoch && n > other.n);
  }

  /** By version, equal versions of different digests by digest, so that every reader agrees. */
  @Override
  public int compareTo(AdapterVersion other) {
    int byEpoch = Long.compare(epoch, other.epoch);
    int byNumber = byEpoch != 0 ? byEpoch : Long.compare(n, other.n);
    return byNumber != 0 ? byNumber : digest.compareTo(other.digest);
  }

  @Override
  public String toString() {
    return isBase() ? "base" : epoch + "." + n + " (" + digest.substring(0, 12) + ")";
  }
}
