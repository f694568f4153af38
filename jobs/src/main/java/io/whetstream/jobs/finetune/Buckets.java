package io.whetstream.jobs.finetune;

import java.util.Random;

/**
 * Locality-sensitive hashing with random hyperplanes (Charikar 2002). Each of several tables cuts
 * the space by {@code depth} planes; a pair's one home is its cell in the table where it lies
 * farthest from the nearest plane, for there a small change of the picture moves it least.
 * Immutable, thread-safe.
 */
final class Buckets {
  private final int depth;
  private final float[][][] planes;

  Buckets(long seed, int tables, int depth, int dimension) {
    this.depth = depth;
    planes = new float[tables][depth][dimension];
    Random random = new Random(seed);
    for (float[][] table : planes) {
      for (float[] plane : table) {
        double squares = 0;
        for (int i = 0; i < dimension; i++) {
          plane[i] = (float) random.nextGaussian();
          squares += plane[i] * plane[i];
        }
        for (int i = 0; i < dimension; i++) {
          plane[i] /= (float) Math.sqrt(squares);
        }
      }
    }
  }

  /** The home of a vector: table * 2^depth + cell. */
  int home(float[] vector) {
    int home = 0;
    double widest = -1;
    for (int table = 0; table < planes.length; table++) {
      double margin = Double.MAX_VALUE;
      int cell = 0;
      for (float[] plane : planes[table]) {
        double side = 0;
        for (int i = 0; i < plane.length; i++) {
          side += (double) plane[i] * vector[i];
        }
        margin = Math.min(margin, Math.abs(side));
        cell = cell << 1 | (side >= 0 ? 1 : 0);
      }
      if (margin > widest) {
        widest = margin;
        home = (table << depth) + cell;
      }
    }
    return home;
  }

  /** A bucket regardless of content. */
  static int any(String id, int buckets) {
    return (int) Long.remainderUnsigned(PairIds.hash(id).high(), buckets);
  }
}
