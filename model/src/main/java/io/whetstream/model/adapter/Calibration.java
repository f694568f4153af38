package io.whetstream.model.adapter;

import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import io.whetstream.model.BadInputException;
import java.util.Collections;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * What a cosine means under one adapter: for each kind of comparison, the share of unrelated pairs
 * whose cosine reaches a threshold. A raw cosine means something else under each adapter; a
 * false-positive rate does not.
 *
 * @param curves by kind of comparison, for example {@code text-image} (query side first)
 */
public record Calibration(SortedMap<String, Curve> curves) {

  /** No calibration. */
  public static final Calibration NONE = new Calibration(new TreeMap<>());

  public Calibration {
    curves =
        Collections.unmodifiableSortedMap(
            curves == null ? new TreeMap<>() : new TreeMap<String, Curve>(curves));
  }

  /**
   * Threshold by false-positive rate.
   *
   * @param samples number of unrelated pairs measured
   * @param falsePositiveRates strictly ascending, each in (0, 1]
   * @param thresholds cosines, one for each rate, not ascending
   */
  @JsonPropertyOrder({"samples", "falsePositiveRates", "thresholds"})
  public record Curve(long samples, List<Double> falsePositiveRates, List<Double> thresholds) {
    public Curve {
      falsePositiveRates = List.copyOf(falsePositiveRates);
      thresholds = List.copyOf(thresholds);
      if (falsePositiveRates.isEmpty() || falsePositiveRates.size() != thresholds.size()) {
        throw new BadInputException(
            "calibration: "
                + falsePositiveRates.size()
                + " rates for "
                + thresholds.size()
                + " thresholds");
      }
      for (int i = 0; i < thresholds.size(); i++) {
        double rate = falsePositiveRates.get(i);
        if (!(rate > 0 && rate <= 1)
            || !Double.isFinite(thresholds.get(i))
            || (i > 0
                && (rate <= falsePositiveRates.get(i - 1)
                    || thresholds.get(i) > thresholds.get(i - 1)))) {
          throw new BadInputException(
              "calibration: rates must ascend within (0, 1] and thresholds must not ascend: "
                  + falsePositiveRates
                  + " "
                  + thresholds);
        }
      }
    }

    /**
     * The cosine threshold for a false-positive rate: linear between measured points over the
     * logarithm of the rate. A rate below the lowest measured one gets that one's threshold, so the
     * caller should compare with {@link #falsePositiveRates}.
     */
    public double threshold(double rate) {
      int last = falsePositiveRates.size() - 1;
      if (rate <= falsePositiveRates.get(0)) {
        return thresholds.get(0);
      }
      if (rate >= falsePositiveRates.get(last)) {
        return thresholds.get(last);
      }
      int above = 1;
      while (falsePositiveRates.get(above) < rate) {
        above++;
      }
      double low = Math.log(falsePositiveRates.get(above - 1));
      double high = Math.log(falsePositiveRates.get(above));
      double part = (Math.log(rate) - low) / (high - low);
      return thresholds.get(above - 1) + part * (thresholds.get(above) - thresholds.get(above - 1));
    }
  }
}
