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
  void aRateFinerThanTwentyExpectedEventsIsExtrapolatedWithAnInterval() {
    int within = 0;
    for (int seed = 0; seed < 20; seed++) {
      KindThresholds thresholds = new KindThresholds(normal(0.2, 10_000, seed));
      assertEquals(2e-3, thresholds.finestRate());
      assertTrue(thresholds.supports(2e-3));
      assertFalse(thresholds.supports(1.9e-3));
      assertTrue(thresholds.extrapolates(1e-4));
      assertFalse(thresholds.extrapolates(1.9e-5), "a hundred times finer, and no more");
      // The 99.99 % quantile of N(0.2, 0.1).
      double error = Math.abs(thresholds.threshold(1e-4) - 0.5719);
      within += error <= thresholds.uncertainty(1e-4) ? 1 : 0;
      assertTrue(thresholds.uncertainty(1e-4) < 0.08, "" + thresholds.uncertainty(1e-4));
      assertEquals(0, thresholds.uncertainty(2e-3));
    }
    assertTrue(within >= 17, within + " of 20 within the interval");
  }

  @Test
  void tooFewPointsOfATailAreNotExtrapolated() {
    KindThresholds thresholds =
        new KindThresholds(new Curve(10_000, List.of(0.01, 0.5), List.of(0.5, 0.1)));
    assertFalse(thresholds.extrapolates(1e-3));
    assertEquals(thresholds.threshold(0.01), thresholds.threshold(1e-3));
  }

  /** Live scores: the share {@code matches} of them lies where matches lie. */
  private static void live(KindThresholds to, double mean, double matches, int samples) {
    Random random = new Random(5);
    for (int i = 0; i < samples; i++) {
      boolean match = random.nextDouble() < matches;
      to.sample((float) ((match ? 0.9 : mean) + 0.1 * random.nextGaussian()));
    }
    to.settle();
  }

  @Test
  void followsTheLiveScoresDownAndUpWithMatchesAmongThem() {
    for (double mean : new double[] {0.1, 0.2, 0.3, 0.4}) {
      for (double matches : new double[] {0, 0.05, 0.15}) {
        KindThresholds thresholds = new KindThresholds(normal(0.2, 200_000, 1));
        live(thresholds, mean, matches, 3 * KindThresholds.WINDOW / 2);
        String which = mean + " with " + matches;
        double coarse = rateAbove(thresholds.threshold(1e-2), mean);
        assertTrue(coarse > 0.7e-2 && coarse < 1.4e-2, which + ": " + coarse);
        double fine = rateAbove(thresholds.threshold(1e-3), mean);
        assertTrue(fine > 0.5e-3 && fine < 2e-3, which + ": " + fine);
      }
    }
  }

  @Test
  void whatWasSeenLongAgoIsForgotten() {
    KindThresholds thresholds = new KindThresholds(normal(0.2, 200_000, 1));
    live(thresholds, 0.1, 0, 500_000);
    live(thresholds, 0.4, 0, 2 * KindThresholds.WINDOW);
    double rate = rateAbove(thresholds.threshold(1e-2), 0.4);
    assertTrue(rate > 0.7e-2 && rate < 1.4e-2, "" + rate);
    assertTrue(thresholds.sampled() <= 2 * KindThresholds.WINDOW);
  }

  @Test
  void saysWhenScoresHaveMovedOrNoLongerFit() {
    KindThresholds thresholds = new KindThresholds(normal(0.2, 200_000, 1));
    live(thresholds, 0.2, 0.05, 10_000);
    assertEquals("", thresholds.remark(""));
    assertEquals(0.051, thresholds.shareAboveCalibration(), 0.01);
    live(thresholds, 0.4, 0.05, 2 * KindThresholds.WINDOW);
    String moved = thresholds.remark("");
    assertTrue(moved.contains("have moved"), moved);
    live(thresholds, 0.2, 0.4, 2 * KindThresholds.WINDOW);
    String unfit = thresholds.remark(moved);
    assertTrue(unfit.contains("no longer fit"), unfit);
    live(thresholds, 0.2, 0, 2 * KindThresholds.WINDOW);
    assertEquals("", thresholds.remark(unfit));
  }

  /** Sketches are merged by drawing lots, so that not even two settlings give equal numbers. */
  @Test
  void aRestoredSketchGivesTheSameRate() {
    Curve calibration = normal(0.2, 200_000, 1);
    KindThresholds thresholds = new KindThresholds(calibration);
    live(thresholds, 0.3, 0.02, 15_000);
    KindThresholds restored = new KindThresholds(calibration);
    restored.merge(thresholds.toBytes());
    restored.settle();
    double before = rateAbove(thresholds.threshold(0.01), 0.3);
    double after = rateAbove(restored.threshold(0.01), 0.3);
    assertEquals(1, after / before, 0.1);
    assertEquals(thresholds.sampled(), restored.sampled());
  }
}
