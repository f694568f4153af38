package io.whetstream.local.demo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.jobs.finetune.FineTuneConfig;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class StreamSizeTest {
  private static FineTuneConfig config(long pairs) {
    return FineTuneConfig.loader().parse("", "test", new StreamSize(pairs).settings());
  }

  @ParameterizedTest
  @ValueSource(longs = {150, 400, 1289, 2830, 100_000, Long.MAX_VALUE})
  void whatSufficesComesToSeveralDecisionsOfTheGateAndToThresholds(long pairs) {
    StreamSize size = new StreamSize(pairs);
    FineTuneConfig config = config(pairs);
    assertTrue(size.suffices());
    assertTrue(size.heldOut() >= config.gate().minSample());
    double trained = pairs * (1 - config.heldOut().share());
    long steps = (long) (trained / config.training().globalBatch());
    assertTrue(steps / config.publish().everySteps() >= 5, steps + " steps");
    // What a query is refused without: 20 expected events.
    double comparisons = size.heldOut() * (size.heldOut() - 1.0);
    assertTrue(comparisons * size.falsePositiveRate() >= 20);
    assertTrue(size.falsePositiveRate() <= 0.1);
  }

  @Test
  void aStreamWithoutEndHasTheSettingsThatLearnBest() {
    FineTuneConfig config = config(Long.MAX_VALUE);
    assertEquals(64, config.training().globalBatch());
    assertEquals(0.1, config.heldOut().share());
    assertEquals(16, config.publish().everySteps());
    assertEquals(2e-3, new StreamSize(Long.MAX_VALUE).falsePositiveRate());
  }

  @Test
  void tooFewPairsAreKnownBeforehand() {
    assertFalse(new StreamSize(16).suffices());
    assertFalse(new StreamSize(100).suffices());
    config(16);
  }
}
