package io.whetstream.jobs.score;

import io.whetstream.connectors.records.MatchKind;
import java.util.EnumMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/**
 * What {@code maxAlertsPerDay} means while the stream runs as fast as it does: the rate of matches
 * per comparison that gives a query so many of them in a day, spread evenly.
 *
 * <p>How fast the stream runs is the higher of two running means, of the last {@value
 * #SHORT_SECONDS} and the last {@value #LONG_SECONDS} seconds of processing time. So a stream that
 * gets faster raises thresholds within seconds, and one that pauses does not lower them at once.
 *
 * <p>A query whose own scores run high reaches a threshold more often than the pool of all queries
 * that the threshold comes from. How many times as often, its {@link Heat}, is the mean of a gamma
 * distribution: as many matches as it had over those the pool would have had, with {@value
 * #PRIOR_MATCHES} matches' worth of the pool's own rate added to both.
 *
 * <p>One per subtask, which has its share of the budget. One thread.
 */
final class AlertBudget {
  static final double SHORT_SECONDS = 10;
  static final double LONG_SECONDS = 600;
  static final double PRIOR_MATCHES = 5;

  /** Before anything is known the stream is taken for a fast one: so it is when it catches up. */
  private static final double FIRST_PER_SECOND = 100;

  private static final double FIRST_SECONDS = 5;

  /** As many expected matches as are remembered, about. */
  private static final double REMEMBERED_MATCHES = 50;

  /**
   * Bounds of what a query's own matches make of its rate. The upper one also bounds what a flood
   * of matches sent on purpose can do to its threshold.
   */
  private static final double COOLEST = 0.25;

  private static final double HOTTEST = 16;

  /** Rates are told apart in steps of this ratio: each is one threshold for all its queries. */
  private static final double STEP = 1.02;

  /** A change of the stream's speed that thresholds follow. */
  private static final double WORTH_IT = 1.1;

  private static final double NOT_OFTENER_SECONDS = 0.25;
  private static final double SECONDS_PER_DAY = TimeUnit.DAYS.toSeconds(1);

  /** A mean over the last seconds, which fades. */
  private static final class Mean {
    private final double memorySeconds;
    private double sum = FIRST_PER_SECOND * FIRST_SECONDS;
    private double seconds = FIRST_SECONDS;

    Mean(double memorySeconds) {
      this.memorySeconds = memorySeconds;
    }

    void add(double count, double after) {
      double fading = Math.exp(-after / memorySeconds);
      sum = sum * fading + count;
      seconds = seconds * fading + memorySeconds * (1 - fading);
    }

    double perSecond() {
      return sum / seconds;
    }
  }

  private static final class Comparisons {
    final Mean quick = new Mean(SHORT_SECONDS);
    final Mean slow = new Mean(LONG_SECONDS);
    long waiting;
    long inAll;
    double settledPerDay = FIRST_PER_SECOND * SECONDS_PER_DAY;

    /** Whether what waits alone changes the quick mean enough. */
    boolean hasBurst() {
      return waiting > (WORTH_IT - 1) * quick.sum;
    }

    void advance(double seconds) {
      quick.add(waiting, seconds);
      slow.add(waiting, seconds);
      waiting = 0;
    }

    double perDay() {
      return SECONDS_PER_DAY * Math.max(quick.perSecond(), slow.perSecond());
    }
  }

  /** How many times as often as others a query matches. */
  static final class Heat {
    private double matches;
    private double expected;
    private double rate;
    private long compared;

    void matched() {
      matches++;
    }

    private double value() {
      double ratio = (matches + PRIOR_MATCHES) / (expected + PRIOR_MATCHES);
      return Math.max(COOLEST, Math.min(HOTTEST, ratio));
    }

    private void settle(long comparedNow) {
      double more = rate * (comparedNow - compared);
      double fading = Math.exp(-more / REMEMBERED_MATCHES);
      matches *= fading;
      expected = (expected + more) * fading;
      compared = comparedNow;
    }
  }

  private final double share;
  private final LongSupplier nanos;
  private final Map<MatchKind, Comparisons> kinds = new EnumMap<>(MatchKind.class);
  private long advanced;

  /**
   * @param subtasks among which a budget is divided
   * @param nanos as {@link System#nanoTime}
   */
  AlertBudget(int subtasks, LongSupplier nanos) {
    this.share = 1.0 / subtasks;
    this.nanos = nanos;
    this.advanced = nanos.getAsLong();
    for (MatchKind kind : MatchKind.values()) {
      kinds.put(kind, new Comparisons());
    }
  }

  /** So many items were compared with each query of a kind. */
  void compared(MatchKind kind, int items) {
    kinds.get(kind).waiting += items;
    kinds.get(kind).inAll += items;
  }

  /** Whether the stream's speed has changed enough for {@link #settle}. */
  boolean isDue() {
    long now = nanos.getAsLong();
    double seconds = (now - advanced) / 1e9;
    if (seconds < NOT_OFTENER_SECONDS && kinds.values().stream().noneMatch(Comparisons::hasBurst)) {
      return false;
    }
    advanced = now;
    boolean due = false;
    for (Comparisons kind : kinds.values()) {
      kind.advance(seconds);
      double change = kind.perDay() / kind.settledPerDay;
      due |= change > WORTH_IT || change < 1 / WORTH_IT;
    }
    return due;
  }

  /** Lets coming rates be those of the stream's speed now. */
  void settle() {
    kinds.values().forEach(kind -> kind.settledPerDay = Math.max(1, kind.perDay()));
  }

  /** The rate of matches per comparison that the pool of all queries is to be asked for. */
  double rate(double maxAlertsPerDay, Set<MatchKind> compared, Heat heat) {
    double perDay = 0;
    long inAll = 0;
    for (MatchKind kind : compared) {
      perDay += kinds.get(kind).settledPerDay;
      inAll += kinds.get(kind).inAll;
    }
    if (heat.compared == 0) {
      heat.compared = inAll;
    }
    heat.settle(inAll);
    double rate = Math.min(0.5, maxAlertsPerDay * share / perDay / heat.value());
    double step = Math.log(STEP);
    heat.rate = Math.exp(Math.floor(Math.log(rate) / step) * step);
    return heat.rate;
  }
}
