package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.jobs.score.Suppression.Decision;
import io.whetstream.jobs.score.Suppression.Elapsed;
import io.whetstream.jobs.score.Suppression.FinalCount;
import io.whetstream.jobs.score.Suppression.Settings;
import io.whetstream.jobs.score.Suppression.Verdict;
import java.util.List;
import java.util.PriorityQueue;
import java.util.Random;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.junit.jupiter.api.Test;

class SuppressionTest {
  private static final Settings SETTINGS = new Settings(1000, 500, 6, 4, 10_000, 1_000_000, 60_000);
  private static final ContentGroup CAT = new ContentGroup(true, 0b1111L, 0, 0);
  private static final ContentGroup NEARLY_CAT = new ContentGroup(true, 0b111111L, 1, 0);
  private static final ContentGroup DOG = new ContentGroup(true, -1L, 0, 0);

  @Test
  void raisesTheFirstMatchOfAGroupAndCountsTheFollowingOnes() {
    Suppression state = new Suppression();
    assertEquals(Verdict.RAISE, state.onMatch(0, CAT, SETTINGS).verdict());
    assertEquals(Verdict.SUPPRESS, state.onMatch(1, NEARLY_CAT, SETTINGS).verdict());
    assertEquals(Verdict.RAISE, state.onMatch(2, DOG, SETTINGS).verdict());
    assertEquals(Verdict.SUPPRESS, state.onMatch(999, CAT, SETTINGS).verdict());
    Decision again = state.onMatch(1000, CAT, SETTINGS);
    assertEquals(Verdict.RAISE, again.verdict());
    assertEquals(2, again.suppressedBefore());
  }

  @Test
  void theTimerGivesTheCountWhenNoFurtherAlertComes() {
    Suppression state = new Suppression();
    Decision first = state.onMatch(0, CAT, SETTINGS);
    state.onMatch(10, CAT, SETTINGS);
    assertEquals(1500, first.timer());
    assertEquals(List.of(), state.onTime(1499).counts());
    assertEquals(List.of(new FinalCount(first.groupId(), 1)), state.onTime(1500).counts());
    assertTrue(state.isEmpty());
  }

  @Test
  void withoutACoolDownEveryMatchIsRaisedALateOneToo() {
    Settings none = new Settings(0, 0, 6, 4, 10_000, 1_000_000, 60_000);
    Suppression state = new Suppression();
    for (long time : new long[] {100, 100, 40, 200, 199}) {
      assertEquals(Verdict.RAISE, state.onMatch(time, CAT, none).verdict());
    }
    assertEquals(List.of(), state.endAll().counts());
  }

  @Test
  void aQueryThatMatchesTooMuchIsQuarantinedAndItsMatchesAreCounted() {
    Settings strict = new Settings(0, 0, 6, 4, 1000, 3, 5000);
    Suppression state = new Suppression();
    for (int i = 0; i < 3; i++) {
      assertEquals(Verdict.RAISE, state.onMatch(i, CAT, strict).verdict());
    }
    Decision begins = state.onMatch(3, DOG, strict);
    assertEquals(Verdict.QUARANTINE_BEGINS, begins.verdict());
    assertEquals(5003, begins.timer());
    for (int i = 4; i < 10; i++) {
      assertEquals(Verdict.QUARANTINED, state.onMatch(i, CAT, strict).verdict());
    }
    Elapsed end = state.onTime(5003);
    assertTrue(end.quarantineEnded());
    assertEquals(7, end.quarantined());
    assertFalse(state.inQuarantine());
    assertEquals(Verdict.RAISE, state.onMatch(5004, CAT, strict).verdict());
  }

  @Test
  void aFullMemoryGivesTheCountOfTheOldestGroupInsteadOfLosingIt() {
    Suppression state = new Suppression();
    long first = state.onMatch(0, new ContentGroup(false, 0, 0, 0), SETTINGS).groupId();
    state.onMatch(1, new ContentGroup(false, 0, 0, 0), SETTINGS);
    for (int i = 1; i < 4; i++) {
      state.onMatch(2, new ContentGroup(false, i, 0, 0), SETTINGS);
    }
    Decision fifth = state.onMatch(3, new ContentGroup(false, 4, 0, 0), SETTINGS);
    assertEquals(new FinalCount(first, 1), fifth.forgotten());
  }

  /** Whatever the stream, every match is in exactly one of the counts, also across a restore. */
  @Test
  void everyMatchIsCountedExactlyOnce() {
    for (int seed = 0; seed < 50; seed++) {
      Random random = new Random(seed);
      Settings settings =
          new Settings(
              random.nextInt(300), random.nextInt(300), 6, 1 + random.nextInt(5), 200, 40, 500);
      Suppression state = new Suppression();
      PriorityQueue<Long> timers = new PriorityQueue<>();
      long raised = 0;
      long suppressed = 0;
      long quarantined = 0;
      long now = 0;
      for (int i = 0; i < 2000; i++) {
        now += random.nextInt(i % 400 < 100 ? 3 : 30);
        while (!timers.isEmpty() && timers.peek() <= now) {
          Elapsed elapsed = state.onTime(timers.poll());
          suppressed += elapsed.counts().stream().mapToLong(FinalCount::suppressed).sum();
          quarantined += elapsed.quarantined();
        }
        // Late records included.
        long eventTime = Math.max(0, now - random.nextInt(50));
        Decision decision =
            state.onMatch(eventTime, new ContentGroup(false, random.nextInt(8), 0, 0), settings);
        raised += decision.verdict() == Verdict.RAISE ? 1 : 0;
        suppressed += decision.suppressedBefore();
        suppressed += decision.forgotten() == null ? 0 : decision.forgotten().suppressed();
        if (decision.timer() != Long.MIN_VALUE) {
          timers.add(decision.timer());
        }
        state = Suppression.fromBytes(state.toBytes());
      }
      Elapsed rest = state.endAll();
      suppressed += rest.counts().stream().mapToLong(FinalCount::suppressed).sum();
      quarantined += rest.quarantined();
      assertEquals(2000, raised + suppressed + quarantined, "seed " + seed);
    }
  }

  @Test
  void refusesAStateOfAVersionItDoesNotKnowOnceWithTheRemedy() {
    byte[] state = new Suppression().toBytes();
    state[0] = 99;
    Throwable refusal =
        assertThrows(SuppressRestartsException.class, () -> Suppression.fromBytes(state))
            .getCause();
    assertEquals(
        "the suppressor's state has version 99, this release reads "
            + new Suppression().toBytes()[0]
            + "; restore with the release that wrote it",
        refusal.getMessage());
  }
}
