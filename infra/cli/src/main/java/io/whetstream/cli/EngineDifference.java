package io.whetstream.cli;

/** The largest difference between the vectors of two engines. */
final class EngineDifference {
  private double largest;

  /** The first engine's vectors, or the second's where the first did not compute. */
  float[][] first(float[][] first, float[][] second) {
    if (first == null) {
      return second;
    }
    for (int i = 0; second != null && i < first.length; i++) {
      for (int j = 0; j < first[i].length; j++) {
        double difference = Math.abs((double) first[i][j] - second[i][j]);
        // A vector that is not a number counts as the largest difference there is.
        largest = Math.max(largest, Double.isNaN(difference) ? Double.MAX_VALUE : difference);
      }
    }
    return first;
  }

  double largest() {
    return largest;
  }
}
