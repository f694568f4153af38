package io.whetstream.jobs.score;

import io.whetstream.model.BadInputException;
import java.util.Arrays;
import java.util.Map;

/**
 * Distribution of scores of non-matching comparisons under one adapter, per kind, as measured when
 * the adapter was published.
 *
 * @param kinds by calibration name ({@link MatchKind#calibration()})
 */
record Calibration(Map<String, Distribution> kinds) {
  /** An adapter without calibration: only {@code minScore} can be asked for. */
  static final Calibration NONE = new Calibration(Map.of());

  Calibration {
    kinds = Map.copyOf(kinds);
  }

  /**
   * Quantiles of the non-matching scores of one kind.
   *
   * @param samples number of comparisons behind them
   * @param probabilities ascending, in [0, 1]
   * @param scores the score below which that share of non-matching comparisons lies; ascending
   */
  record Distribution(long samples, double[] probabilities, double[] scores) {
    Distribution {
      if (samples < 1 || probabilities.length == 0 || probabilities.length != scores.length) {
        throw new BadInputException("calibration without samples or with unequal arrays");
      }
      for (int i = 0; i < scores.length; i++) {
        boolean ascending =
            i == 0 || (probabilities[i] > probabilities[i - 1] && scores[i] >= scores[i - 1]);
        if (!Double.isFinite(scores[i])
            || !(probabilities[i] >= 0 && probabilities[i] <= 1)
            || !ascending) {
          throw new BadInputException("calibration whose quantiles do not ascend at index " + i);
        }
      }
    }

    /** Score with share {@code probability} of non-matching scores below it, interpolated. */
    double quantile(double probability) {
      int found = Arrays.binarySearch(probabilities, probability);
      if (found >= 0) {
        return scores[found];
      }
      int next = -found - 1;
      if (next == 0) {
        return scores[0];
      }
      if (next == scores.length) {
        return scores[scores.length - 1];
      }
      double share =
          (probability - probabilities[next - 1]) / (probabilities[next] - probabilities[next - 1]);
      return scores[next - 1] + share * (scores[next] - scores[next - 1]);
    }
  }
}
