package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class SliceSizeTest {
  private static final long MILLI = 1_000_000;

  @Test
  void aSliceGrowsToWhatFitsIntoItsTimeAndNoFurther() {
    SliceSize slice = new SliceSize(1000, 1);
    assertEquals(4, slice.next());
    for (int i = 0; i < 10; i++) {
      slice.took(slice.next(), slice.next() * MILLI / 2, 0);
    }
    assertEquals(40, slice.next());
    slice.took(40, 40 * 5 * MILLI, 0);
    assertEquals(4, slice.next());
  }

  @Test
  void whileItemsComeEmbeddingGetsItsShareOfTheTime() {
    SliceSize slice = new SliceSize(1000, 0.25);
    long now = 0;
    long embedding = 0;
    for (int turn = 0; turn < 1000; turn++) {
      now += 5 * MILLI;
      slice.itemsCame();
      if (slice.isDue(now)) {
        now += 20 * MILLI;
        embedding += 20 * MILLI;
        slice.took(10, 20 * MILLI, now);
      }
    }
    assertEquals(0.25, (double) embedding / now, 0.02);
  }

  @Test
  void whileNoneComeItGetsAllOfIt() {
    SliceSize slice = new SliceSize(1000, 0.25);
    slice.took(10, 20 * MILLI, 20 * MILLI);
    assertTrue(slice.isDue(20 * MILLI));
    slice.itemsCame();
    assertFalse(slice.isDue(20 * MILLI));
    assertTrue(slice.isDue(80 * MILLI));
  }
}
