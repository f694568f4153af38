package io.whetstream.jobs.finetune;

import io.whetstream.model.adapter.Calibration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Both sides of some pairs under one adapter.
 *
 * @param images [n][d], unit length
 * @param texts [n][d], unit length
 */
@SuppressWarnings("ArrayRecordComponent") // passed on once, never kept
record PairEmbeddings(float[][] images, float[][] texts) {
  /** False-positive rates that a calibration names; low ones are what thresholds need. */
  private static final double[] RATES = {
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1
  };

  /** Pairs whose comparisons with each other make a calibration: four million of them. */
  private static final int MOST_COMPARED = 2_048;

  /** R@1 of both directions. */
  record Recall(double textToImage, double imageToText) {
    double mean() {
      return (textToImage + imageToText) / 2;
    }
  }

  /**
   * Share of queries whose best target is a right answer; a tie with a wrong one is a miss.
   *
   * @param groups pairs with one number are right answers to each other
   */
  Recall recall(int[] groups) {
    return new Recall(recall(texts, images, groups), recall(images, texts, groups));
  }

  /** Share of each pair's two directions that find a right answer first: 0, 0.5 or 1. */
  double[] scores(int[] groups) {
    boolean[] textToImage = hits(texts, images, groups);
    boolean[] imageToText = hits(images, texts, groups);
    double[] scores = new double[groups.length];
    for (int i = 0; i < scores.length; i++) {
      scores[i] = (textToImage[i] ? 0.5 : 0) + (imageToText[i] ? 0.5 : 0);
    }
    return scores;
  }

  private static double recall(float[][] queries, float[][] targets, int[] groups) {
    int hits = 0;
    for (boolean hit : hits(queries, targets, groups)) {
      hits += hit ? 1 : 0;
    }
    return queries.length == 0 ? Double.NaN : (double) hits / queries.length;
  }

  private static boolean[] hits(float[][] queries, float[][] targets, int[] groups) {
    boolean[] hits = new boolean[queries.length];
    for (int q = 0; q < queries.length; q++) {
      double right = Double.NEGATIVE_INFINITY;
      double wrong = Double.NEGATIVE_INFINITY;
      for (int t = 0; t < targets.length; t++) {
        double score = dot(queries[q], targets[t]);
        if (groups[q] == groups[t]) {
          right = Math.max(right, score);
        } else {
          wrong = Math.max(wrong, score);
        }
      }
      hits[q] = right > wrong;
    }
    return hits;
  }

  /**
   * Thresholds by the rate at which non-matching comparisons reach them, by kind: image-text,
   * text-text, image-image. A rate below one in the number of comparisons is not claimed.
   */
  Calibration calibration(int[] groups) {
    SortedMap<String, Calibration.Curve> curves = new TreeMap<>();
    curve(curves, "image-text", images, texts, groups);
    curve(curves, "text-text", texts, texts, groups);
    curve(curves, "image-image", images, images, groups);
    return new Calibration(curves);
  }

  private static void curve(
      SortedMap<String, Calibration.Curve> curves,
      String kind,
      float[][] left,
      float[][] right,
      int[] groups) {
    int n = Math.min(left.length, MOST_COMPARED);
    double[] scores = new double[n * n];
    int count = 0;
    for (int i = 0; i < n; i++) {
      // Within one side each comparison exists once.
      for (int j = left == right ? i + 1 : 0; j < n; j++) {
        if (groups[i] != groups[j]) {
          scores[count++] = dot(left[i], right[j]);
        }
      }
    }
    double[] sorted = Arrays.copyOf(scores, count);
    Arrays.sort(sorted);
    List<Double> rates = new ArrayList<>();
    List<Double> thresholds = new ArrayList<>();
    for (double rate : RATES) {
      int reaching = (int) Math.round(rate * count);
      if (reaching >= 1) {
        rates.add(rate);
        thresholds.add(sorted[count - reaching]);
      }
    }
    if (count > 0) {
      curves.put(kind, new Calibration.Curve(count, rates, thresholds));
    }
  }

  private static double dot(float[] a, float[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += (double) a[i] * b[i];
    }
    return sum;
  }
}
