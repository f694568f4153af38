package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.adapter.Calibration.Curve;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class KindThresholdsTest {
  /** Thresholds by rate of {@code samples} draws of N(mean, 0.1²). */
  private static Curve normal(double mean, int samples, int seed) {
    Random random = new Random(seed);
    double[] draws =
        random.doubles(samples).map(u -> mean + 0.1 * random.nextGaussian()).sorted().toArray();
    List<Double> rates = new ArrayList<>();
    List<Double> thresholds = new ArrayList<>();
    for (double rate = 1e-4; rate <= 1; rate *= 1.2) {
      rates.add(rate);
      thresholds.add(draws[samples - Math.max(1, (int) Math.round(rate * samples))]);
    }
    return new Curve(samples, rates, thresholds);
  }

  private static double rateAbove(double threshold, double mean) {
    Random random = new Random(99);
    int above = 0;
    for (int i = 0; i < 1_000_000; i++) {
      above += mean + 0.1 * random.nextGaussian() >= threshold ? 1 : 0;
    }
    return above / 1e6;
  }

  @Test
  void givesTheAskedRateFromTheCalibrationAlone() {
    KindThresholds thresholds = new KindThresholds(normal(0.2, 200_000, 1));
    assertEquals(1e-2, rateAbove(thresholds.threshold(1e-2), 0.2), 1e-3);
    assertEquals(1e-3, rateAbove(thresholds.threshold(1e-3), 0.2), 3e-4);
  }

  @Test
  void aRateFinerThanTwentyExpectedEventsIsNotSupported() {
    KindThresholds thresholds = new KindThresholds(normal(0.2, 10_000, 1));
    assertEquals(2e-3, thresholds.finestRate());
    assertTrue(thresholds.supports(2e-3));
    assertFalse(thresholds.supports(1.9e-3));
    assertEquals(thresholds.threshold(2e-3), thresholds.threshold(1e-5));
  }

  @Test
  void followsTheLiveScoresWhenTheyMoveBelowTheCalibration() {
    KindThresholds thresholds = new KindThresholds(normal(0.2, 200_000, 1));
    Random random = new Random(5);
    for (int i = 0; i < 200_000; i++) {
      thresholds.sample((float) (0.1 + 0.1 * random.nextGaussian()));
    }
    assertEquals(1e-2, rateAbove(thresholds.threshold(1e-2), 0.1), 2e-3);
  }

  @Test
  void matchesAmongTheLiveScoresDoNotRaiseTheThreshold() {
    Curve calibration = normal(0.2, 200_000, 1);
    KindThresholds thresholds = new KindThresholds(calibration);
    Random random = new Random(5);
    for (int i = 0; i < 200_000; i++) {
      boolean match = random.nextInt(20) == 0;
      thresholds.sample((float) ((match ? 0.9 : 0.2) + 0.1 * random.nextGaussian()));
    }
    assertTrue(thresholds.leftOut() > 9_000);
    assertEquals(1e-2, rateAbove(thresholds.threshold(1e-2), 0.2), 2e-3);
  }

  @Test
  void aRestoredSketchGivesTheSameThreshold() {
    Curve calibration = normal(0.2, 200_000, 1);
    KindThresholds thresholds = new KindThresholds(calibration);
    Random random = new Random(5);
    for (int i = 0; i < 50_000; i++) {
      thresholds.sample((float) (0.15 + 0.1 * random.nextGaussian()));
    }
    KindThresholds restored = new KindThresholds(calibration);
    restored.merge(thresholds.toBytes());
    assertEquals(thresholds.threshold(0.01), restored.threshold(0.01), 1e-6);
    assertEquals(thresholds.sampled(), restored.sampled());
  }
}
