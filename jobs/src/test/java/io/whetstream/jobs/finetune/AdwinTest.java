package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;

class AdwinTest {
  private static double recall(Random random, double mean) {
    int hits = 0;
    for (int i = 0; i < 64; i++) {
      hits += random.nextDouble() < mean ? 1 : 0;
    }
    return hits / 64.0;
  }

  @Test
  void aSteadySequenceRaisesNoAlarm() {
    int alarms = 0;
    for (int seed = 0; seed < 20; seed++) {
      Random random = new Random(seed);
      Adwin adwin = new Adwin(0.002, 64);
      for (int i = 0; i < 500; i++) {
        alarms += adwin.add(recall(random, 0.8)) == null ? 0 : 1;
      }
    }
    assertTrue(alarms <= 1, alarms + " false alarms in 10,000 values");
  }

  @Test
  void batchesThatScatterMoreThanTheirPairsWouldRaiseNoAlarmEither() {
    int alarms = 0;
    for (int seed = 0; seed < 20; seed++) {
      Random random = new Random(seed);
      Adwin adwin = new Adwin(0.002, 64);
      for (int i = 0; i < 500; i++) {
        alarms += adwin.add(recall(random, 0.6 + 0.3 * random.nextDouble())) == null ? 0 : 1;
      }
    }
    assertTrue(alarms <= 1, alarms + " false alarms in 10,000 values");
  }

  @Test
  void aFallIsFoundWithinFewStepsAndSaysFromWhereToWhere() {
    for (int seed = 0; seed < 20; seed++) {
      Random random = new Random(seed);
      Adwin adwin = new Adwin(0.002, 64);
      for (int i = 0; i < 100; i++) {
        assertNull(adwin.add(recall(random, 0.9)));
      }
      Adwin.Change change = null;
      int steps = 0;
      while (change == null) {
        change = adwin.add(recall(random, 0.3));
        steps++;
      }
      assertNotNull(change);
      assertTrue(steps <= 3, steps + " steps");
      assertTrue(change.before() > change.after());
      assertEquals(0.9, change.before(), 0.1);
    }
  }
}
