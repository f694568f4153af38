package io.whetstream.local.demo;

import java.util.List;

/**
 * Settings that follow from how many pairs the stream has: a short one must come to steps,
 * candidates and thresholds too.
 *
 * @param pairs {@link Long#MAX_VALUE} for a stream without end
 */
record StreamSize(long pairs) {
  /** Held-out pairs without which the gate decides nothing. */
  static final int FEWEST_HELD_OUT = 32;

  private static final int MOST_HELD_OUT = 256;

  /** Somewhat more than are needed, because a hash chooses them. */
  private static final double WANTED_HELD_OUT = 1.5 * FEWEST_HELD_OUT;

  private static final int LARGEST_BATCH = 64;
  private static final int SMALLEST_BATCH = 16;
  private static final int WANTED_STEPS = 12;
  private static final int MOST_STEPS_BETWEEN = 16;
  private static final int WANTED_DECISIONS = 6;

  /**
   * Held-out pairs have siblings that differ in one word, which random items do not: on those about
   * half as many match.
   */
  private static final double FINEST_RATE = 2e-3;

  /** What a threshold must rest on. */
  private static final double EXPECTED_EVENTS = 20;

  /** One part of so many of the held-out pairs is there when adapters begin to come. */
  private static final double EARLY_PART = 3;

  /** Whether the gate will have enough held-out pairs to decide on. */
  boolean suffices() {
    return heldOut() >= FEWEST_HELD_OUT && batch() * (long) WANTED_DECISIONS <= trained();
  }

  /** About so many pairs will be held out. */
  long heldOut() {
    return Math.min(MOST_HELD_OUT, Math.round(pairs * share()));
  }

  /** What a query may ask for, per comparison, and be accepted early. */
  double falsePositiveRate() {
    double early = Math.max(2, pairs * share() / EARLY_PART);
    return Math.min(0.1, Math.max(FINEST_RATE, EXPECTED_EVENTS / (early * (early - 1))));
  }

  /** As settings of the fine-tune job. */
  List<String> settings() {
    return List.of(
        "training.globalBatch=" + batch(),
        // Thresholds of one in a thousand need some 150 held-out pairs, soon.
        "heldOut.share=" + share(),
        "heldOut.size=" + MOST_HELD_OUT,
        "gate.minSample=" + FEWEST_HELD_OUT,
        "publish.everySteps="
            + Math.max(1, Math.min(MOST_STEPS_BETWEEN, trained() / batch() / WANTED_DECISIONS)));
  }

  private double share() {
    return Math.max(0.1, Math.min(0.3, WANTED_HELD_OUT / pairs));
  }

  private long trained() {
    return Math.round(pairs * (1 - share()));
  }

  private int batch() {
    int batch = LARGEST_BATCH;
    while (batch > SMALLEST_BATCH && trained() / batch < WANTED_STEPS) {
      batch /= 2;
    }
    return batch;
  }
}
