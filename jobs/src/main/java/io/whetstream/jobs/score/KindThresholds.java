package io.whetstream.jobs.score;

import io.whetstream.model.adapter.Calibration;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.datasketches.memory.Memory;
import org.apache.datasketches.req.ReqSketch;

/**
 * Thresholds of one kind under one adapter digest.
 *
 * <p>A threshold for the false-positive rate r is the (1 - r) quantile of the scores of
 * non-matching comparisons. The adapter's calibration says how those scores are distributed; where
 * they lie now, and how wide, is taken from a sample of the live scores: of the last {@value
 * #WINDOW} to twice as many, in two relative-error quantiles sketches (Cormode et al., "Relative
 * Error Streaming Quantiles", PODS 2021), so that the thresholds follow the stream up and down.
 *
 * <p>True matches are among the live scores. What lies above the calibrated 99.9 % quantile, moved
 * to where the stream is, is left out, and the bulk below it gives place and width by a straight
 * line from calibrated to live quantiles; the two are repeated until they agree. A rate of which
 * the bulk holds enough live events gets the live quantile itself, a finer one the calibrated
 * quantile on that line. Rates beyond the calibration's sample are those of its {@link TailFit}.
 *
 * <p>Not thread-safe: one per subtask, kind and digest.
 */
final class KindThresholds {
  /** Share of the calibrated non-matching scores above which live scores are left out. */
  static final double LEFT_OUT = 0.001;

  /** Expected events below which a rate is not supported by the data. */
  static final double MIN_EVENTS = 20;

  /** How much finer than the finest supported rate one may be that is extrapolated. */
  static final double EXTRAPOLATED = 100;

  /** Live scores after which the older half of what is known is forgotten. */
  static final int WINDOW = 8192;

  /** Live scores below which nothing is concluded from them. */
  static final int MIN_LIVE = 1000;

  /**
   * Expected live events (5 % relative standard error) from which the live quantile alone counts.
   */
  private static final double FULL_EVENTS = 400;

  /** Calibrated rates within these bounds are of the bulk, where few matches are. */
  private static final double FINEST_OF_BULK = 0.2;

  private static final double COARSEST_OF_BULK = 0.9;

  /**
   * Before it is known how many matches there are, they would be taken for the finer part of the
   * bulk and widen it: first only the place of its coarser part is looked for, until that says what
   * is to be left out.
   */
  private static final double FINEST_AT_FIRST = 0.25;

  private static final double COARSEST_AT_FIRST = 0.95;

  private static final int ROUNDS = 8;
  private static final double MOST_WIDENING = 4;

  /** Live share above what is left out that no longer looks like matches. */
  private static final double MOST_MATCHES = 0.2;

  /** A move of the live scores that is said, in widths from the median to the upper tenth. */
  private static final double SAID = 0.5;

  private static final int SKETCH_K = 24;

  /**
   * Where live scores are, seen from the calibration: a calibrated score s is now at {@code offset
   * + scale * s}.
   *
   * @param leftOut live scores above this are taken for matches
   * @param leftOutShare share of the live scores that is left out
   */
  record Drift(double offset, double scale, double leftOut, double leftOutShare) {
    double at(double calibrated) {
      return offset + scale * calibrated;
    }
  }

  private final Calibration.Curve calibrated;
  private final double leftOutShare;
  private final double calibratedCut;
  private final TailFit tail;
  private ReqSketch older = newSketch();
  private ReqSketch newer = newSketch();
  private ReqSketch live = newSketch();
  private Drift drift;

  KindThresholds(Calibration.Curve calibrated) {
    this.calibrated = calibrated;
    this.leftOutShare = Math.max(LEFT_OUT, finestRate());
    this.calibratedCut = calibrated.threshold(leftOutShare);
    this.tail = TailFit.of(calibrated);
    this.drift = still();
  }

  private static ReqSketch newSketch() {
    return ReqSketch.builder().setK(SKETCH_K).setHighRankAccuracy(true).build();
  }

  private Drift still() {
    return new Drift(0, 1, calibratedCut, 0);
  }

  /** Adds a sampled live score, matching or not. It counts from the next {@link #settle}. */
  void sample(float score) {
    newer.update(score);
    if (newer.getN() >= WINDOW) {
      older = newer;
      newer = newSketch();
    }
  }

  /** Takes what was sampled into account. */
  void settle() {
    live = newSketch();
    live.merge(older);
    live.merge(newer);
    drift = live.getN() < MIN_LIVE ? still() : measured();
  }

  /** Where the live scores are; see the class. */
  private Drift measured() {
    Drift found = agreed(still(), FINEST_AT_FIRST, COARSEST_AT_FIRST, true);
    return agreed(found, FINEST_OF_BULK, COARSEST_OF_BULK, false);
  }

  /** The line through the rates between these bounds, repeated with what each leaves out. */
  private Drift agreed(Drift first, double finest, double coarsest, boolean placeAlone) {
    Drift found = first;
    for (int round = 0; round < ROUNDS; round++) {
      Drift next = line(finest, coarsest, placeAlone, found.leftOutShare());
      if (next == null) {
        break;
      }
      found = next;
    }
    return found;
  }

  private double shareAbove(double score) {
    return 1 - live.getRank((float) score);
  }

  /**
   * The line from calibrated to live quantiles by least squares.
   *
   * @param finest rates from this on are compared
   * @param coarsest up to this
   * @param placeAlone whether the width is taken to be the calibrated one
   * @param leftOut share of the live scores that is taken for matches and for the share of the
   *     others above the calibrated cut
   * @return null if the calibration says too little about the bulk
   */
  private Drift line(double finest, double coarsest, boolean placeAlone, double leftOut) {
    int n = 0;
    double x = 0;
    double y = 0;
    double xx = 0;
    double xy = 0;
    for (double rate : calibrated.falsePositiveRates()) {
      if (rate >= finest && rate <= coarsest) {
        double then = calibrated.threshold(rate);
        double now = quantile(rate, leftOut);
        n++;
        x += then;
        y += now;
        xx += then * then;
        xy += then * now;
      }
    }
    double spread = n * xx - x * x;
    if (n < 2 || spread <= 1e-12) {
      return null;
    }
    double scale =
        placeAlone
            ? 1
            : Math.min(MOST_WIDENING, Math.max(1 / MOST_WIDENING, (n * xy - x * y) / spread));
    double offset = (y - scale * x) / n;
    double cut = offset + scale * calibratedCut;
    return new Drift(offset, scale, cut, shareAbove(cut));
  }

  /**
   * The live score that the share {@code rate} of the non-matching ones reaches.
   *
   * @param leftOut share of all live scores above the cut; those below it stand for all but {@link
   *     #leftOutShare} of the non-matching ones
   */
  private double quantile(double rate, double leftOut) {
    double below = leftOut == 0 ? rate : (rate - leftOutShare) / (1 - leftOutShare);
    return live.getQuantile((1 - below) * (1 - leftOut));
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

  /** The finest rate that a threshold is given for, extrapolated if that can be done. */
  double finestGiven() {
    return tail == null ? finestRate() : finestRate() / EXTRAPOLATED;
  }

  /** Whether a rate finer than the supported ones can be extrapolated. */
  boolean extrapolates(double rate) {
    return !supports(rate) && rate >= finestGiven();
  }

  /**
   * The threshold of a rate; of the finest one that can be given if the asked one is finer (a rate
   * accepted under one adapter may be too fine for the calibration of the next).
   */
  double threshold(double rate) {
    double supported = Math.min(1, Math.max(rate, finestGiven()));
    double fromCalibration =
        drift.at(supports(supported) ? calibrated.threshold(supported) : tail.threshold(supported));
    // Of the share `supported` above the threshold, this much lies above the cut.
    double below = (supported - leftOutShare) / (1 - leftOutShare);
    double events = below * (1 - drift.leftOutShare()) * live.getN();
    if (below <= 0 || events < MIN_EVENTS) {
      return fromCalibration;
    }
    double fromLive = live.getQuantile((1 - below) * (1 - drift.leftOutShare()));
    double weight = Math.min(1, events / FULL_EVENTS);
    return weight * fromLive + (1 - weight) * fromCalibration;
  }

  /**
   * Half the width of the 95 % interval of an extrapolated rate's threshold, a cosine; zero for one
   * that need not be extrapolated.
   */
  double uncertainty(double rate) {
    return supports(rate) || tail == null ? 0 : drift.scale() * tail.halfWidth(rate);
  }

  Drift drift() {
    return drift;
  }

  /** Share of the recent live scores above the calibrated 99.9 % quantile. */
  double shareAboveCalibration() {
    return live.isEmpty() ? 0 : shareAbove(calibratedCut);
  }

  /**
   * What has to be said about the live scores, or empty.
   *
   * @param before what was said last: what has been said is taken back only with some distance
   */
  String remark(String before) {
    double easier = before.isEmpty() ? 1 : 0.5;
    if (drift.leftOutShare() > easier * MOST_MATCHES) {
      // More than matches can be: thresholds rest on the form of the calibrated scores.
      return "the live scores no longer fit the calibration: too many lie far above the others";
    }
    double median = calibrated.threshold(0.5);
    double width = calibrated.threshold(0.1) - median;
    if (Math.abs(drift.at(median) - median) > easier * SAID * width) {
      return "the live scores have moved away from the calibration, and the threshold with them";
    }
    return "";
  }

  long sampled() {
    return older.getN() + newer.getN();
  }

  byte[] toBytes() {
    return bytes(older, newer);
  }

  private static byte[] bytes(ReqSketch... sketches) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (DataOutputStream out = new DataOutputStream(bytes)) {
      for (ReqSketch sketch : sketches) {
        byte[] written = sketch.toByteArray();
        out.writeInt(written.length);
        out.write(written);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }

  /** Adds what was kept in a checkpoint. */
  void merge(byte[] kept) {
    try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(kept))) {
      older = older.merge(sketch(in.readNBytes(in.readInt())));
      newer = newer.merge(sketch(in.readNBytes(in.readInt())));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The one sketch that earlier releases kept, as what is forgotten first. */
  static byte[] ofOneSketch(byte[] sketch) {
    return bytes(sketch(sketch), newSketch());
  }

  private static ReqSketch sketch(byte[] bytes) {
    return ReqSketch.heapify(Memory.wrap(bytes));
  }
}
