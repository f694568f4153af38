package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.records.MatchKind.Side;
import io.whetstream.jobs.score.WatchlistTable.AdapterVectors;
import io.whetstream.jobs.score.WatchlistTable.Content;
import io.whetstream.model.adapter.Calibration;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class WatchlistTableTest {
  private final WatchlistTable table = new WatchlistTable(2);
  private final AtomicInteger closed = new AtomicInteger();

  private Optional<AdapterVectors> open(long n, boolean embedding) {
    String digest = Long.toHexString(n).repeat(64).substring(0, 64);
    Embedder.Adapter adapter =
        new Embedder.Adapter() {
          @Override
          public String digest() {
            return digest;
          }

          @Override
          public void close() {
            closed.incrementAndGet();
          }
        };
    return table.open(new AdapterVersion(0, n, digest), adapter, Calibration.NONE, embedding);
  }

  private static Content text(String text) {
    return new Content(Side.TEXT, text, text, null);
  }

  @Test
  void equalContentsShareARowUntilTheLastIsReleased() {
    int row = table.acquire(text("a"));
    assertEquals(row, table.acquire(text("a")));
    table.release(Side.TEXT, row);
    assertEquals(1, table.size(Side.TEXT));
    table.release(Side.TEXT, row);
    assertEquals(0, table.size(Side.TEXT));
  }

  @Test
  void aRowGivenToAnotherContentHasNoVectorOfTheFormerOne() {
    AdapterVectors vectors = open(1, false).orElseThrow();
    int row = table.acquire(text("a"));
    vectors.slabs(Side.TEXT).put(row, new float[] {1, 0});
    table.release(Side.TEXT, row);
    assertEquals(row, table.acquire(text("b")));
    assertFalse(vectors.slabs(Side.TEXT).isFilled(row));
    assertThrows(IllegalStateException.class, () -> vectors.slabs(Side.TEXT).get(row));
  }

  @Test
  void theNextDigestWaitsUntilAllHaveFlippedToTheOneBeingEmbedded() {
    AdapterVectors first = open(1, false).orElseThrow();
    assertSame(first, table.join(first.version().digest(), false).orElseThrow());
    AdapterVectors second = open(2, true).orElseThrow();
    assertSame(second, table.join(second.version().digest(), true).orElseThrow());
    assertTrue(open(3, true).isEmpty());
    table.flipped(second);
    table.leave(first, false);
    assertTrue(open(3, true).isEmpty());
    table.flipped(second);
    table.leave(first, false);
    assertEquals(1, closed.get());
    assertTrue(open(3, true).isPresent());
    assertEquals(2, table.openDigests());
  }

  /**
   * A rollback in the middle of a flip: the two subtasks serve two digests and both want a third.
   */
  @Test
  void givingUpAReEmbeddingMakesRoomForAnother() {
    AdapterVectors first = open(1, false).orElseThrow();
    AdapterVectors second = open(2, true).orElseThrow();
    assertSame(second, table.join(second.version().digest(), true).orElseThrow());
    table.flipped(second);
    table.leave(second, true);
    assertTrue(open(3, true).isPresent());
    table.leave(first, false);
    assertEquals(1, closed.get());
  }

  @Test
  void subtasksDivideTheSlicesOfAReEmbedding() {
    AdapterVectors vectors = open(1, false).orElseThrow();
    BitSet mine = new BitSet();
    for (int i = 0; i < 5; i++) {
      mine.set(table.acquire(text("t" + i)));
    }
    VectorSlabs slabs = vectors.slabs(Side.TEXT);
    List<Integer> one = slabs.claim(mine, 3);
    List<Integer> two = slabs.claim(mine, 3);
    assertEquals(List.of(0, 1, 2), one);
    assertEquals(List.of(3, 4), two);
    one.forEach(row -> slabs.put(row, new float[] {row, 1}));
    assertFalse(vectors.holdsAll(mine, new BitSet()));
    slabs.unclaim(two);
    assertEquals(two, slabs.claim(mine, 3));
    two.forEach(row -> slabs.put(row, new float[] {row, 1}));
    assertTrue(vectors.holdsAll(mine, new BitSet()));
    assertArrayEquals(new float[] {4, 1}, slabs.get(4));
  }
}
