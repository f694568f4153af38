package io.whetstream.jobs.score;

import io.whetstream.model.adapter.Calibration;
import java.util.ArrayList;
import java.util.List;

/**
 * A generalised Pareto distribution (Pickands, "Statistical Inference Using Extreme Order
 * Statistics", Ann. Statist. 1975) of how far calibrated scores exceed a high one, to say what
 * score is reached by fewer comparisons than were measured.
 *
 * @param from the score whose exceedances are modelled
 * @param rate share of the scores above {@code from}
 * @param scale sigma
 * @param shape xi; below zero the scores end somewhere, as cosines do
 * @param exceedances how many scores were measured above {@code from}
 */
record TailFit(double from, double rate, double scale, double shape, double exceedances) {
  /** The tail begins at the largest measured rate up to this. */
  private static final double TAIL = 0.03;

  private static final double MIN_EXCEEDANCES = 100;
  private static final int MIN_POINTS = 3;
  private static final double LEAST_SHAPE = -0.9;

  /** Cosines end at 1, so their tail is no heavier than an exponential one. */
  private static final double LARGEST_SHAPE = 0;

  private static final double STEP = 0.005;
  private static final double NORMAL_95 = 1.96;

  /**
   * Fits measured quantiles by least squares, weighted by the events that each stands for.
   *
   * @return null if there are too few
   */
  static TailFit of(Calibration.Curve curve) {
    double start = 0;
    for (double rate : curve.falsePositiveRates()) {
      start = rate <= TAIL ? rate : start;
    }
    List<double[]> points = new ArrayList<>();
    double from = curve.threshold(start);
    for (double rate : curve.falsePositiveRates()) {
      double events = rate * curve.samples();
      if (rate < start && events >= KindThresholds.MIN_EVENTS) {
        points.add(new double[] {start / rate, curve.threshold(rate) - from, events});
      }
    }
    if (points.size() < MIN_POINTS || start * curve.samples() < MIN_EXCEEDANCES) {
      return null;
    }
    TailFit best = null;
    double least = Double.MAX_VALUE;
    for (double shape = LEAST_SHAPE; shape <= LARGEST_SHAPE; shape += STEP) {
      double along = 0;
      double square = 0;
      for (double[] point : points) {
        double unit = unit(point[0], shape);
        along += point[2] * unit * point[1];
        square += point[2] * unit * unit;
      }
      double scale = along / square;
      double error = 0;
      for (double[] point : points) {
        double difference = point[1] - scale * unit(point[0], shape);
        error += point[2] * difference * difference;
      }
      if (scale > 0 && error < least) {
        least = error;
        best = new TailFit(from, start, scale, shape, start * curve.samples());
      }
    }
    return best;
  }

  /** The exceedance that one in {@code times} exceeds, in units of the scale. */
  private static double unit(double times, double shape) {
    return Math.abs(shape) < 1e-9 ? Math.log(times) : (Math.pow(times, shape) - 1) / shape;
  }

  /** The score that this share of the comparisons reaches. */
  double threshold(double share) {
    return from + scale * unit(rate / share, shape);
  }

  /**
   * Half the width of the threshold's 95 % interval, by the asymptotic covariance of the maximum
   * likelihood estimate (Smith, "Estimating Tails of Probability Distributions", Ann. Statist.
   * 1987) for an exponential tail, the heaviest there can be: for the fitted shape, which is itself
   * the least certain of all, the interval would be the narrower the lower the shape came out.
   */
  double halfWidth(double share) {
    double times = rate / share;
    double h = 1e-4;
    double byShape = scale * (unit(times, h) - unit(times, -h)) / (2 * h);
    double byScale = unit(times, 0);
    double variance =
        (byShape * byShape + 2 * scale * scale * byScale * byScale - 2 * scale * byShape * byScale)
            / exceedances;
    return NORMAL_95 * Math.sqrt(Math.max(0, variance));
  }
}
