package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.whetstream.jobs.score.ScoreParts.Command;
import java.util.List;
import org.junit.jupiter.api.Test;

class AdapterFeedTest {
  private final AdapterFeed feed = new AdapterFeed();

  private static AdapterVersion version(long n) {
    return WordEmbedder.version(n);
  }

  private static Command rollback(long n) {
    return new Command(true, version(n).digest(), null);
  }

  private static Command resume(long n, long after) {
    return new Command(false, version(n).digest(), version(after));
  }

  private void announce(long... numbers) {
    for (long n : numbers) {
      feed.announced(version(n));
    }
  }

  @Test
  void theNewestVersionIsWantedWhateverTheOrderOfAnnouncements() {
    assertNull(feed.wanted());
    announce(1, 3, 2);
    assertEquals(version(3), feed.wanted());
    assertEquals(List.of(version(3), version(2), version(1)), feed.newestFirst());
  }

  @Test
  void aRollbackWinsUntilItIsResumedAndWhatWasRolledBackStaysAway() {
    announce(1, 2);
    feed.apply(rollback(1));
    assertEquals(version(1), feed.wanted());
    announce(3);
    assertEquals(version(1), feed.wanted());
    feed.apply(resume(1, 3));
    assertEquals(version(1), feed.wanted());
    announce(2, 3);
    assertEquals(version(1), feed.wanted(), "announced again");
    announce(4);
    assertEquals(version(4), feed.wanted());
  }

  /** A compacted topic holds the newest announcement and the newest order only. */
  @Test
  void aFreshStartAfterAResumeDoesNotTakeUpWhatWasRolledBack() {
    feed.apply(resume(1, 3));
    announce(3);
    assertEquals(version(1).digest(), feed.wanted().digest());
    announce(4);
    assertEquals(version(4), feed.wanted());
  }

  /** As where adapters are only in the registry; what was gone back to stays until one comes. */
  @Test
  void aResumeWithNothingAnnouncedKeepsTheOneGoneBackTo() {
    feed.apply(rollback(1));
    feed.apply(new Command(false, null, null));
    assertEquals(version(1).digest(), feed.wanted().digest());
    announce(2);
    assertEquals(version(2), feed.wanted());
  }

  @Test
  void aResumeWithoutARollbackWantsNothing() {
    feed.apply(new Command(false, null, null));
    assertNull(feed.wanted());
    announce(2);
    assertEquals(version(2), feed.wanted());
  }

  @Test
  void aResumeThatNamesNoAdapterKeepsTheOneGoneBackTo() {
    announce(1, 2);
    feed.apply(rollback(1));
    announce(3);
    feed.apply(new Command(false, null, null));
    assertEquals(version(1), feed.wanted());
    announce(4);
    assertEquals(version(4), feed.wanted());
  }

  @Test
  void aRestoreGoesOnWithWhatServedWhateverOlderOrdersSay() {
    feed.restore(version(5), version(5));
    feed.apply(rollback(1));
    feed.apply(resume(1, 3));
    announce(2, 3, 4, 5);
    assertEquals(version(5), feed.wanted());
    announce(6);
    assertEquals(version(6), feed.wanted());
  }

  @Test
  void aRestoreObeysAnOrderGivenMeanwhile() {
    feed.restore(version(5), version(5));
    feed.apply(rollback(4));
    announce(5);
    assertEquals(version(4).digest(), feed.wanted().digest());
    feed.apply(resume(4, 5));
    assertEquals(version(4).digest(), feed.wanted().digest());
  }
}
