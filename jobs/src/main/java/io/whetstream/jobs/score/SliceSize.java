package io.whetstream.jobs.score;

import java.time.Duration;

/**
 * How many contents are embedded in one go, so that items wait for at most about {@link #GOAL}:
 * from how long the last ones took. At least one, which takes as long as it takes. One thread.
 */
final class SliceSize {
  static final Duration GOAL = Duration.ofMillis(20);

  /** What one content takes is not known at first. */
  private static final int FIRST = 4;

  private final int most;
  private int next;

  /**
   * @param most whatever the time
   */
  SliceSize(int most) {
    this.most = most;
    this.next = Math.min(FIRST, most);
  }

  int next() {
    return next;
  }

  /** So many contents took so long. */
  void took(int contents, long nanos) {
    if (contents > 0) {
      double each = Math.max(1, (double) nanos / contents);
      // Not more than twice as many as before: the cost of few says little about that of many.
      next = (int) Math.max(1, Math.min(Math.min(most, 2.0 * next), GOAL.toNanos() / each));
    }
  }
}
