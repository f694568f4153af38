package io.whetstream.local.demo;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.BadInputException;
import io.whetstream.scenes.SceneLook;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;

class DemoStreamTest {
  private static final DemoOptions OPTIONS = DemoOptions.of(60, 3);

  @Test
  void everythingIsAFunctionOfSeedAndNumber() {
    DemoStream one = new DemoStream(OPTIONS);
    DemoStream other = new DemoStream(OPTIONS);
    assertEquals(one.watchlist(), other.watchlist());
    for (long i : new long[] {1500, 7, 1199, 1200, 0}) {
      assertEquals(one.pair(i).caption(), other.pair(i).caption());
      assertArrayEquals(one.pair(i).image(), other.pair(i).image());
    }
    for (long i : new long[] {500, 1, 4, 301}) {
      assertArrayEquals(one.item(i).image(), other.item(i).image());
      assertEquals(one.item(i).query(), other.plantedFor(i));
    }
    assertNotEquals(one.pair(5).caption(), new DemoStream(DemoOptions.of(60, 4)).pair(5).caption());
  }

  @Test
  void looksChangeHalfWayAndNotBefore() {
    DemoStream stream = new DemoStream(OPTIONS);
    for (long i = 0; i < OPTIONS.pairs(); i += 7) {
      String caption = stream.pair(i).caption();
      if (caption != null) {
        boolean drifted = mentions(caption, DemoStream.DRIFTED);
        assertEquals(i >= OPTIONS.driftPair(), drifted, "pair " + i + ": " + caption);
        assertNotEquals(drifted, mentions(caption, SceneLook.STANDARD), caption);
      }
    }
  }

  private static boolean mentions(String caption, SceneLook look) {
    return look.colours().stream().anyMatch(c -> caption.contains(" " + c.word() + " "));
  }

  @Test
  void aSteadyShareIsBadAndEachBadRecordIsOfOneOfFourSorts() {
    DemoStream stream = new DemoStream(OPTIONS);
    Set<String> sorts = new HashSet<>();
    int bad = 0;
    for (long i = 0; i < OPTIONS.pairs(); i++) {
      if (i % DemoStream.BAD_PAIR_ONE_IN == DemoStream.BAD_PAIR_ONE_IN - 1) {
        byte[] bytes = stream.pair(i).bad();
        assertNotNull(bytes);
        sorts.add(new String(bytes, java.nio.charset.StandardCharsets.UTF_8).replaceAll("\\d", ""));
        bad++;
      }
    }
    assertEquals(OPTIONS.pairs() / DemoStream.BAD_PAIR_ONE_IN, bad);
    assertEquals(4, sorts.size());
    assertNull(stream.pair(0).bad());
    assertNotNull(stream.item(DemoStream.BAD_ITEM_ONE_IN - 1).bad());
    assertNull(stream.plantedFor(DemoStream.BAD_ITEM_ONE_IN - 1));
  }

  @Test
  void plantedItemsAreOfQueriesWithTheLooksOfTheTime() {
    DemoStream stream = new DemoStream(OPTIONS);
    int planted = 0;
    for (long i = 0; i < OPTIONS.items(); i++) {
      String query = stream.plantedFor(i);
      if (query != null) {
        planted++;
        assertEquals(i >= OPTIONS.driftItem(), query.startsWith("new-look-"), "item " + i);
      }
    }
    assertTrue(planted > OPTIONS.items() / 5, planted + " planted");
  }

  @Test
  void noTwoQueriesAreTrueOfOneScene() {
    List<DemoStream.Watched> watchlist = new DemoStream(OPTIONS).watchlist();
    assertEquals(OPTIONS.queries(), watchlist.size());
    for (DemoStream.Watched a : watchlist) {
      for (DemoStream.Watched b : watchlist) {
        assertEquals(a == b, a.claim().holdsIn(b.scene()), a.text() + " / " + b.text());
      }
    }
  }

  @Test
  void optionsOutOfRangeAreRefused() {
    Assertions.assertThrows(BadInputException.class, () -> DemoOptions.of(0, 1));
    Assertions.assertThrows(BadInputException.class, () -> new DemoOptions(10, 1, 0, 1, 0.5, 4));
    assertFalse(DemoOptions.of(10, 1).driftPair() == 0);
  }
}
