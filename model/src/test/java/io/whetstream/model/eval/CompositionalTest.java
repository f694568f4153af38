package io.whetstream.model.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.eval.Compositional.Item;
import io.whetstream.model.eval.Compositional.Score;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class CompositionalTest {
  private static final float[] EAST = {1, 0};
  private static final float[] NORTH = {0, 1};
  private static final float[] BETWEEN = {0.6f, 0.8f};
  private static final float[] BROKEN = {Float.NaN, 0};

  @Test
  void rightOnlyIfStrictlyAboveEveryNegative() {
    assertTrue(new Item("swap", EAST, EAST, List.of(BETWEEN, NORTH)).correct());
    assertFalse(new Item("swap", EAST, BETWEEN, List.of(NORTH, EAST)).correct());
    assertFalse(new Item("swap", EAST, BETWEEN, List.of(NORTH, BETWEEN)).correct());
    assertFalse(new Item("swap", EAST, BROKEN, List.of(NORTH)).correct());
    assertFalse(new Item("swap", EAST, EAST, List.of(BROKEN)).correct());
    assertThrows(IllegalArgumentException.class, () -> new Item("swap", EAST, EAST, List.of()));
  }

  @Test
  void countsByKind() {
    Map<String, Score> scores =
        Compositional.byKind(
            List.of(
                new Item("swap", EAST, EAST, List.of(NORTH)),
                new Item("add", EAST, NORTH, List.of(EAST)),
                new Item("swap", EAST, NORTH, List.of(EAST)),
                new Item("swap", EAST, EAST, List.of(BETWEEN))));
    assertEquals(Map.of("swap", new Score(3, 2), "add", new Score(1, 0)), scores);
    assertEquals(2 / 3.0, scores.get("swap").accuracy());
    assertEquals(1 / 3.0, Compositional.mean(scores));
  }
}
