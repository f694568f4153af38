package io.whetstream.jobs.score;

import java.util.List;

/**
 * From vectors of one adapter to those of another: y = A x + b, fitted on contents that were
 * embedded under both, by least squares with a ridge that pulls A to the identity and b to zero
 * (Hoerl and Kennard, "Ridge Regression", Technometrics 1970; successive adapters are near one
 * another). What it gives is of unit length. Immutable.
 */
final class VectorBridge {
  /** Weight of the ridge, in units of the mean square of a value of {@code x}. */
  private static final double RIDGE = 0.01;

  private final int dimension;

  /** [dimension, dimension + 1], the last column is b. */
  private final float[] map;

  private VectorBridge(int dimension, float[] map) {
    this.dimension = dimension;
    this.map = map;
  }

  /** How many contents it is fitted on at the least. */
  static int samples(int dimension) {
    return 4 * (dimension + 1);
  }

  /**
   * @param from under the one adapter
   * @param to the same contents under the other
   */
  static VectorBridge fit(List<float[]> from, List<float[]> to) {
    int d = from.get(0).length;
    int n = d + 1;
    double[][] squares = new double[n][n];
    double[][] products = new double[n][d];
    for (int s = 0; s < from.size(); s++) {
      double[] x = new double[n];
      float[] y = to.get(s);
      for (int i = 0; i < d; i++) {
        x[i] = from.get(s)[i];
      }
      x[d] = 1;
      for (int i = 0; i < n; i++) {
        double xi = x[i];
        double[] square = squares[i];
        for (int j = 0; j <= i; j++) {
          square[j] += xi * x[j];
        }
        double[] product = products[i];
        for (int k = 0; k < d; k++) {
          product[k] += xi * y[k];
        }
      }
    }
    double trace = 0;
    for (int i = 0; i < d; i++) {
      trace += squares[i][i];
    }
    double ridge = Math.max(RIDGE * trace / d, 1e-9);
    for (int i = 0; i < n; i++) {
      squares[i][i] += ridge;
      if (i < d) {
        products[i][i] += ridge;
      }
    }
    decompose(squares);
    solve(squares, products);
    float[] map = new float[d * n];
    for (int i = 0; i < n; i++) {
      for (int k = 0; k < d; k++) {
        map[k * n + i] = (float) products[i][k];
      }
    }
    return new VectorBridge(d, map);
  }

  /** Cholesky: the lower half becomes L of L Lᵀ. */
  private static void decompose(double[][] matrix) {
    for (int i = 0; i < matrix.length; i++) {
      for (int j = 0; j <= i; j++) {
        double sum = matrix[i][j];
        for (int k = 0; k < j; k++) {
          sum -= matrix[i][k] * matrix[j][k];
        }
        matrix[i][j] = i == j ? Math.sqrt(sum) : sum / matrix[j][j];
      }
    }
  }

  /** Solves L Lᵀ z = right, in place, for all columns. */
  private static void solve(double[][] lower, double[][] right) {
    int n = lower.length;
    for (int i = 0; i < n; i++) {
      for (int k = 0; k < i; k++) {
        subtract(right[i], right[k], lower[i][k]);
      }
      divide(right[i], lower[i][i]);
    }
    for (int i = n - 1; i >= 0; i--) {
      for (int k = i + 1; k < n; k++) {
        subtract(right[i], right[k], lower[k][i]);
      }
      divide(right[i], lower[i][i]);
    }
  }

  private static void subtract(double[] from, double[] other, double times) {
    for (int i = 0; i < from.length; i++) {
      from[i] -= times * other[i];
    }
  }

  private static void divide(double[] values, double by) {
    for (int i = 0; i < values.length; i++) {
      values[i] /= by;
    }
  }

  float[] apply(float[] from) {
    float[] to = new float[dimension];
    double square = 0;
    for (int k = 0; k < dimension; k++) {
      int row = k * (dimension + 1);
      float sum = map[row + dimension];
      for (int i = 0; i < dimension; i++) {
        sum += map[row + i] * from[i];
      }
      to[k] = sum;
      square += (double) sum * sum;
    }
    float length = (float) Math.sqrt(square);
    for (int k = 0; k < dimension && length > 0; k++) {
      to[k] /= length;
    }
    return to;
  }
}
