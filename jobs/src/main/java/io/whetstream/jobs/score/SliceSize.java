package io.whetstream.jobs.score;

import java.time.Duration;

/**
 * How many contents are embedded in one go, and how often, so that items wait for at most about
 * {@link #GOAL} and get what is not the share of embedding: from how long the last ones took. At
 * least one content, which takes as long as it takes. While no items come nothing is left to them.
 * One thread.
 */
final class SliceSize {
  static final Duration GOAL = Duration.ofMillis(20);

  /** What one content takes is not known at first. */
  private static final int FIRST = 4;

  private final int most;
  private final double share;
  private int next;
  private boolean itemsCame;
  private long notBefore;

  /**
   * @param most whatever the time
   * @param share of the time, above 0, up to 1, that may go to embedding while items come
   */
  SliceSize(int most, double share) {
    this.most = most;
    this.share = share;
    this.next = Math.min(FIRST, most);
  }

  int next() {
    return next;
  }

  /** So many contents took so long, until {@code now}, as {@link System#nanoTime}. */
  void took(int contents, long nanos, long now) {
    if (contents > 0) {
      double each = Math.max(1, (double) nanos / contents);
      // Not more than twice as many as before: the cost of few says little about that of many.
      next = (int) Math.max(1, Math.min(Math.min(most, 2.0 * next), GOAL.toNanos() / each));
      notBefore = now + (long) (nanos * (1 / share - 1));
      itemsCame = false;
    }
  }

  /** Items were matched. */
  void itemsCame() {
    itemsCame = true;
  }

  /** Whether items, if any came since the last slice, have had their share of the time. */
  boolean isDue(long now) {
    return !itemsCame || now - notBefore >= 0;
  }
}
