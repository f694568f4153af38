package io.whetstream.jobs.score;

import io.whetstream.model.adapter.Calibration;
import org.apache.datasketches.memory.Memory;
import org.apache.datasketches.req.ReqSketch;

/**
 * Thresholds of one kind under one adapter digest.
 *
 * <p>A threshold for the false-positive rate r is the (1 - r) quantile of the scores of
 * non-matching comparisons. It starts from the adapter's calibration and is refined by a sample of
 * the scores seen live, kept in a relative-error quantiles sketch (Cormode et al., "Relative Error
 * Streaming Quantiles", PODS 2021), which is accurate in the upper tail, where thresholds lie. Live
 * scores above the calibrated 99.9 % quantile are left out, because that is where the true matches
 * are; the rest therefore stands for 99.9 % of the non-matching scores, and rates of 0.1 % and
 * finer stay with the calibration.
 *
 * <p>Not thread-safe: one per subtask, kind and digest.
 */
final class KindThresholds {
  /** Share of the calibrated non-matching scores above which live scores are left out. */
  static final double LEFT_OUT = 0.001;

  /** Expected events below which a rate is not supported by the data. */
  static final double MIN_EVENTS = 20;

  /**
   * Expected live events (5 % relative standard error) from which the live quantile alone counts.
   */
  private static final double FULL_EVENTS = 400;

  private static final int SKETCH_K = 24;

  private final Calibration.Curve calibrated;
  private final double leftOutShare;
  private final float cut;
  private ReqSketch live = newSketch();
  private long leftOut;

  KindThresholds(Calibration.Curve calibrated) {
    this.calibrated = calibrated;
    this.leftOutShare = Math.max(LEFT_OUT, finestRate());
    this.cut = (float) calibrated.threshold(leftOutShare);
  }

  private static ReqSketch newSketch() {
    return ReqSketch.builder().setK(SKETCH_K).setHighRankAccuracy(true).build();
  }

  /** Adds a sampled live score, matching or not. */
  void sample(float score) {
    if (score > cut) {
      leftOut++;
    } else {
      live.update(score);
    }
  }

  /**
   * The finest rate with {@link #MIN_EVENTS} expected events among the calibration's samples that
   * it gives a threshold for.
   */
  double finestRate() {
    return Math.max(MIN_EVENTS / calibrated.samples(), calibrated.falsePositiveRates().get(0));
  }

  boolean supports(double rate) {
    return rate >= finestRate();
  }

  /**
   * The threshold of a rate; of the finest supported one if the asked one is finer (a rate accepted
   * under one adapter may be too fine for the calibration of the next).
   */
  double threshold(double rate) {
    double supported = Math.min(1, Math.max(rate, finestRate()));
    double fromCalibration = calibrated.threshold(supported);
    // Of the share `supported` above the threshold, this much lies above the cut.
    double tail = (supported - leftOutShare) / (1 - leftOutShare);
    double events = tail * live.getN();
    if (tail <= 0 || events < MIN_EVENTS) {
      return fromCalibration;
    }
    double fromLive = live.getQuantile(1 - tail);
    double weight = Math.min(1, events / FULL_EVENTS);
    return weight * fromLive + (1 - weight) * fromCalibration;
  }

  long sampled() {
    return live.getN();
  }

  long leftOut() {
    return leftOut;
  }

  byte[] toBytes() {
    return live.toByteArray();
  }

  /** Adds a sketch kept in a checkpoint. */
  void merge(byte[] sketch) {
    live = live.merge(ReqSketch.heapify(Memory.wrap(sketch)));
  }
}
