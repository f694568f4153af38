package io.whetstream.jobs.finetune;

import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * Detects that the mean of a sequence has changed: ADWIN (Bifet and Gavalda, Learning from
 * Time-Changing Data with Adaptive Windowing, SDM 2007), the form that examines every cut of the
 * window, with the bound of section 4 that uses the variance. One value arrives per optimizer step,
 * so the paper's compressed window is not needed; the window is capped instead. A value is the mean
 * of the observations of one step, and cuts lie between steps: the bound counts observations, whose
 * variance is that of the values times their number, so that values which scatter more than
 * independent observations would make alarms rarer. Not thread-safe.
 */
final class Adwin {
  private static final int MOST = 1_000;

  /** Values before a cut, and observations after it. */
  private static final int LEAST = 5;

  /**
   * A change that was found; the older part of the window is gone.
   *
   * @param before mean of the older part
   * @param after mean of the newer part
   * @param window values in the newer part
   */
  record Change(double before, double after, int window) {}

  private final double confidence;
  private final int observations;
  private final List<Double> window = new ArrayList<>();

  /**
   * @param confidence delta: probability of a false alarm, per value
   * @param observations that each value is the mean of, at least 1
   */
  Adwin(double confidence, int observations) {
    this.confidence = confidence;
    this.observations = observations;
  }

  /**
   * Takes the next value.
   *
   * @param value in [0, 1]
   * @return the change it made certain, or null
   */
  Change add(double value) {
    window.add(value);
    if (window.size() > MOST) {
      window.remove(0);
    }
    int n = window.size();
    double total = 0;
    double squares = 0;
    for (double each : window) {
      total += each;
      squares += each * each;
    }
    double variance = Math.max(0, squares / n - (total / n) * (total / n));
    double logarithm = Math.log(2 * Math.log(Math.max((double) n * observations, 3)) / confidence);
    int leastAfter = (LEAST + observations - 1) / observations;
    double left = 0;
    for (int cut = 1; cut < n; cut++) {
      left += window.get(cut - 1);
      if (cut < LEAST || n - cut < leastAfter) {
        continue;
      }
      double before = left / cut;
      double after = (total - left) / (n - cut);
      double harmonic = 1 / (1.0 / cut + 1.0 / (n - cut));
      double bound =
          Math.sqrt(2 / harmonic * variance * logarithm)
              + 2 / (3 * harmonic * observations) * logarithm;
      if (Math.abs(before - after) > bound) {
        window.subList(0, cut).clear();
        return new Change(before, after, n - cut);
      }
    }
    return null;
  }

  /** Forgets everything. */
  void clear() {
    window.clear();
  }

  void write(DataOutput out) throws IOException {
    out.writeInt(window.size());
    for (double value : window) {
      out.writeDouble(value);
    }
  }

  void read(DataInput in) throws IOException {
    window.clear();
    int size = in.readInt();
    for (int i = 0; i < size; i++) {
      window.add(in.readDouble());
    }
  }
}
