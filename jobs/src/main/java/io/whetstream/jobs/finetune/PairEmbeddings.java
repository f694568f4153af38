package io.whetstream.jobs.finetune;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Both sides of some pairs under one adapter.
 *
 * @param images [n][d], unit length
 * @param texts [n][d], unit length
 */
@SuppressWarnings("ArrayRecordComponent") // passed on once, never kept
record PairEmbeddings(float[][] images, float[][] texts) {
  /** Shares of non-matching scores that a calibration names; the tail is what thresholds need. */
  private static final double[] PROBABILITIES = {
    0, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 1
  };

  /**
   * Scores that non-matching comparisons stay below.
   *
   * @param samples comparisons measured
   * @param probabilities ascending, from 0 to 1
   * @param scores for each probability
   */
  @SuppressWarnings("ArrayRecordComponent")
  record Distribution(long samples, double[] probabilities, double[] scores) {}

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

  private static double recall(float[][] queries, float[][] targets, int[] groups) {
    int hits = 0;
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
      hits += right > wrong ? 1 : 0;
    }
    return queries.length == 0 ? Double.NaN : (double) hits / queries.length;
  }

  /** Scores of non-matching comparisons by kind: image-text, text-text, image-image. */
  Map<String, Distribution> calibration(int[] groups) {
    Map<String, Distribution> kinds = new LinkedHashMap<>();
    kinds.put("image-text", distribution(images, texts, groups));
    kinds.put("text-text", distribution(texts, texts, groups));
    kinds.put("image-image", distribution(images, images, groups));
    return kinds;
  }

  private static Distribution distribution(float[][] left, float[][] right, int[] groups) {
    double[] scores = new double[left.length * right.length];
    int count = 0;
    for (int i = 0; i < left.length; i++) {
      // Within one side each comparison exists once.
      for (int j = left == right ? i + 1 : 0; j < right.length; j++) {
        if (groups[i] != groups[j]) {
          scores[count++] = dot(left[i], right[j]);
        }
      }
    }
    double[] sorted = Arrays.copyOf(scores, count);
    Arrays.sort(sorted);
    double[] quantiles = new double[PROBABILITIES.length];
    for (int p = 0; p < quantiles.length && count > 0; p++) {
      double place = PROBABILITIES[p] * (count - 1);
      int below = (int) place;
      int above = Math.min(below + 1, count - 1);
      quantiles[p] = sorted[below] + (place - below) * (sorted[above] - sorted[below]);
    }
    return new Distribution(count, PROBABILITIES.clone(), quantiles);
  }

  private static double dot(float[] a, float[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += (double) a[i] * b[i];
    }
    return sum;
  }
}
