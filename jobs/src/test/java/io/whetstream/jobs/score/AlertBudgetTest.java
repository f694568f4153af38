package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.records.MatchKind;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

class AlertBudgetTest {
  private static final Set<MatchKind> KINDS = Set.of(MatchKind.IMAGE_TEXT);

  private long nanos;

  /** What a query gets of a stream. */
  private final class Stream {
    final AlertBudget budget;
    final AlertBudget.Heat heat = new AlertBudget.Heat();
    final double perDay;
    final double ownTimes;
    final Random random = new Random(1);
    double rate;
    long matches;

    /**
     * @param ownTimes how many times as often as the pool it reaches a threshold
     */
    Stream(double perDay, double ownTimes, int subtasks) {
      this.budget = new AlertBudget(subtasks, () -> nanos);
      this.perDay = perDay;
      this.ownTimes = ownTimes;
      this.rate = budget.rate(perDay, KINDS, heat);
    }

    /** Items come, in seconds of ten micro-batches each. */
    long run(int itemsPerSecond, int seconds) {
      long before = matches;
      for (int i = 0; i < 10 * seconds; i++) {
        nanos += 100_000_000;
        int items = itemsPerSecond / 10;
        budget.compared(MatchKind.IMAGE_TEXT, items);
        for (int j = 0; j < items; j++) {
          if (random.nextDouble() < ownTimes * rate) {
            matches++;
            heat.matched();
          }
        }
        if (budget.isDue()) {
          budget.settle();
        }
        rate = budget.rate(perDay, KINDS, heat);
      }
      return matches - before;
    }
  }

  @Test
  void asManyAsAskedForHoweverFastTheStreamRuns() {
    Stream stream = new Stream(86_400, 1, 1);
    stream.run(100, 600);
    for (int perSecond : new int[] {1000, 20, 200}) {
      stream.run(perSecond, 3600);
      long matches = stream.run(perSecond, 1000);
      assertTrue(matches > 600 && matches < 1300, perSecond + " items a second: " + matches);
    }
  }

  @Test
  void aFasterStreamIsFollowedWithinSeconds() {
    Stream stream = new Stream(86_400, 1, 1);
    stream.run(20, 3600);
    long overshoot = stream.run(2000, 20);
    assertTrue(overshoot < 2 * (20 + 10 * Math.log(100)), "" + overshoot);
    long after = stream.run(2000, 60);
    assertTrue(after < 100, "" + after);
  }

  @Test
  void aBurstIsFollowedBeforeAnyTimeHasPassed() {
    Stream stream = new Stream(86_400, 1, 1);
    stream.run(20, 3600);
    double before = stream.rate;
    int settled = 0;
    for (int batch = 0; batch < 300; batch++) {
      nanos += 1_000;
      stream.budget.compared(MatchKind.IMAGE_TEXT, 32);
      if (stream.budget.isDue()) {
        stream.budget.settle();
        settled++;
      }
    }
    double after = stream.budget.rate(stream.perDay, KINDS, stream.heat);
    // 9,600 items where 200 came in ten seconds.
    assertTrue(after < before / 30, after + " after " + before);
    assertTrue(settled < 60, settled + " times");
  }

  @Test
  void aPauseLowersNoThresholdAtOnce() {
    Stream stream = new Stream(86_400, 1, 1);
    stream.run(1000, 1200);
    double before = stream.rate;
    nanos += 30_000_000_000L;
    stream.run(1000, 1);
    assertTrue(stream.rate < 1.5 * before);
  }

  @Test
  void aQueryWhoseOwnScoresRunHighGetsAThresholdOfItsOwn() {
    for (double times : new double[] {0.5, 6}) {
      Stream stream = new Stream(86_400, times, 1);
      stream.run(100, 3600);
      long matches = stream.run(100, 3000);
      assertTrue(matches > 2200 && matches < 3900, times + ": " + matches);
    }
  }

  @Test
  void fewMatchesSayLittleAndTheThresholdStaysThatOfThePool() {
    Stream stream = new Stream(86_400, 1, 1);
    stream.run(100, 3600);
    double before = stream.rate;
    stream.heat.matched();
    stream.run(0, 1);
    assertTrue(stream.rate > 0.8 * before);
  }

  @Test
  void aFloodOfMatchesRaisesTheThresholdToThatOfASixteenthOfTheRateAndNoFurther() {
    Stream stream = new Stream(86_400, 1, 1);
    stream.run(100, 3600);
    double before = stream.rate;
    for (int i = 0; i < 1_000_000; i++) {
      stream.heat.matched();
    }
    stream.run(100, 1);
    // What was before may itself be a quarter above or below the pool's.
    assertTrue(stream.rate > before / (4 * 16), stream.rate + " after " + before);
  }

  @Test
  void subtasksHaveTheirShares() {
    double alone = new Stream(20, 1, 1).rate;
    assertEquals(alone / 4, new Stream(20, 1, 4).rate, 0.03 * alone);
  }

  @Test
  void nothingIsDueWhileNothingChanges() {
    Stream stream = new Stream(20, 1, 1);
    stream.run(100, 3600);
    nanos += 300_000_000;
    stream.budget.compared(MatchKind.IMAGE_TEXT, 30);
    assertFalse(stream.budget.isDue());
  }
}
