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
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.List;
import java.util.PriorityQueue;
import java.util.Random;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.junit.jupiter.api.Test;

class SuppressionTest {
  private static final Settings SETTINGS = new Settings(1000, 500, 6, 4, 10_000, 1_000_000, 60_000);
  private static final ContentGroup CAT = picture(0b1111L, 0);
  private static final ContentGroup NEARLY_CAT = picture(0b111111L, 1);
  private static final ContentGroup DOG = picture(-1L, 0);

  private static ContentGroup picture(long first, long second) {
    return new ContentGroup(true, 100, first, second, 0, 0, 0, 0, 0, 0);
  }

  private static ContentGroup text(long digest) {
    return new ContentGroup(false, 0, digest, 0, 0, 0, 0, 0, 0, 0);
  }

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
    assertFalse(state.isEmpty(9_999, SETTINGS), "its window still counts");
    assertEquals(10_000, state.nextDue(SETTINGS));
    assertTrue(state.isEmpty(10_000, SETTINGS));
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
  void copiesOfOneMatchAreNoFlood() {
    Settings strict = new Settings(0, 10_000, 6, 4, 1000, 3, 5000);
    Suppression state = new Suppression();
    for (int i = 0; i < 500; i++) {
      Decision decision = state.onMatch(i, CAT, strict);
      assertEquals(Verdict.RAISE, decision.verdict());
      assertFalse(decision.quarantineBegins());
    }
  }

  @Test
  void inQuarantineEachGroupRaisesOneAlertAndOfItsCopiesASampleDoes() {
    Settings strict = new Settings(0, 0, 6, 256, 1000, 3, 5000);
    Suppression state = new Suppression();
    for (int i = 0; i < 3; i++) {
      assertFalse(state.onMatch(i, text(i), strict).quarantineBegins());
    }
    Decision begins = state.onMatch(3, text(3), strict);
    assertTrue(begins.quarantineBegins());
    assertEquals(Verdict.RAISE, begins.verdict());
    assertEquals(5003, begins.timer());
    // What an adversary would hide behind the flood.
    assertEquals(Verdict.RAISE, state.onMatch(4, text(4), strict).verdict());
    long sampled = 0;
    for (int i = 0; i < 1000; i++) {
      Verdict verdict = state.onMatch(5, text(4), strict).verdict();
      sampled += verdict == Verdict.SAMPLE ? 1 : 0;
      assertTrue(verdict == Verdict.SAMPLE || verdict == Verdict.WITHHOLD);
    }
    assertEquals(10, sampled);
    Elapsed end = state.onTime(5003);
    assertTrue(end.quarantineEnded());
    assertEquals(990, end.withheld());
    assertFalse(state.inQuarantine());
    assertEquals(Verdict.RAISE, state.onMatch(5004, text(4), strict).verdict());
  }

  @Test
  void aFloodOfUnlikeMatchesIsBoundedToo() {
    Settings strict = new Settings(0, 0, 6, 256, 1000, 30, 5000);
    Suppression state = new Suppression();
    long raised = 0;
    for (int i = 0; i < 10_000; i++) {
      raised += state.onMatch(10, text(i), strict).verdict() == Verdict.RAISE ? 1 : 0;
    }
    assertEquals(300, raised);
  }

  /** As an adversary writes them into records: they are not asked. */
  @Test
  void stateOfEventTimeEndsNoLaterThanIfItHadBegunNow() throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (DataOutputStream out = new DataOutputStream(bytes)) {
      long year3000 = 32_503_680_000_000L;
      out.writeByte(1);
      for (long value : new long[] {7, 1, 0, 5, year3000, 12}) {
        out.writeLong(value);
      }
      out.writeInt(1);
      out.writeLong(0);
      out.writeBoolean(false);
      for (long value : new long[] {42, 0, 0, year3000, year3000 + 500, 9}) {
        out.writeLong(value);
      }
    }
    Suppression state = Suppression.fromBytes(bytes.toByteArray(), 100_000, SETTINGS);
    assertEquals(7, state.revision());
    assertEquals(101_500, state.nextDue(SETTINGS));
    assertEquals(Verdict.WITHHOLD, state.onMatch(100_999, text(42), SETTINGS).verdict());
    Elapsed end = state.onTime(160_000);
    assertTrue(end.quarantineEnded());
    assertEquals(13, end.withheld());
    assertEquals(List.of(new FinalCount(0, 9)), end.counts());
  }

  @Test
  void aFullMemoryGivesTheCountOfTheOldestGroupInsteadOfLosingIt() {
    Suppression state = new Suppression();
    long first = state.onMatch(0, text(0), SETTINGS).groupId();
    state.onMatch(1, text(0), SETTINGS);
    for (int i = 1; i < 4; i++) {
      state.onMatch(2, text(i), SETTINGS);
    }
    Decision fifth = state.onMatch(3, text(4), SETTINGS);
    assertEquals(new FinalCount(first, 1), fifth.forgotten());
  }

  /** Whatever the stream, every match is in exactly one of the counts, also across a restore. */
  @Test
  void everyMatchIsCountedExactlyOnce() {
    int quarantines = 0;
    for (int seed = 0; seed < 50; seed++) {
      Random random = new Random(seed);
      Settings settings =
          new Settings(
              random.nextInt(300), random.nextInt(300), 6, 1 + random.nextInt(5), 200, 6, 500);
      Suppression state = new Suppression();
      PriorityQueue<Long> timers = new PriorityQueue<>();
      long raised = 0;
      long suppressed = 0;
      long withheld = 0;
      long now = 0;
      for (int i = 0; i < 2000; i++) {
        now += random.nextInt(i % 400 < 100 ? 3 : 30);
        while (!timers.isEmpty() && timers.peek() <= now) {
          Elapsed elapsed = state.onTime(timers.poll());
          suppressed += elapsed.counts().stream().mapToLong(FinalCount::suppressed).sum();
          withheld += elapsed.withheld();
        }
        // A clock set back included.
        long at = Math.max(0, now - random.nextInt(50));
        Decision decision = state.onMatch(at, text(random.nextInt(8)), settings);
        boolean goesOut =
            decision.verdict() == Verdict.RAISE || decision.verdict() == Verdict.SAMPLE;
        raised += goesOut ? 1 : 0;
        suppressed += decision.suppressedBefore();
        suppressed += decision.forgotten() == null ? 0 : decision.forgotten().suppressed();
        if (decision.timer() != Long.MIN_VALUE) {
          timers.add(decision.timer());
        }
        state = Suppression.fromBytes(state.toBytes(), now, settings);
      }
      Elapsed rest = state.endAll();
      suppressed += rest.counts().stream().mapToLong(FinalCount::suppressed).sum();
      withheld += rest.withheld();
      assertEquals(2000, raised + suppressed + withheld, "seed " + seed);
      quarantines += withheld > 0 ? 1 : 0;
    }
    assertTrue(quarantines > 10, "quarantines are met: " + quarantines);
  }

  @Test
  void refusesAStateOfAVersionItDoesNotKnowOnceWithTheRemedy() {
    byte[] state = new Suppression().toBytes();
    state[0] = 99;
    Throwable refusal =
        assertThrows(
                SuppressRestartsException.class, () -> Suppression.fromBytes(state, 0, SETTINGS))
            .getCause();
    assertEquals(
        "the suppressor's state has version 99, this release reads "
            + "1 to 2; restore with the release that wrote it",
        refusal.getMessage());
  }
}
