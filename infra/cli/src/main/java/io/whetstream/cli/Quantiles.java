package io.whetstream.cli;

import java.util.List;

/** Order statistics. */
final class Quantiles {
  private Quantiles() {}

  /** The smallest value that at least this share of all values does not exceed; NaN of none. */
  static double of(List<Double> values, double share) {
    if (values.isEmpty()) {
      return Double.NaN;
    }
    List<Double> sorted = values.stream().sorted().toList();
    int rank = (int) Math.ceil(share * sorted.size());
    return sorted.get(Math.max(0, rank - 1));
  }
}
