package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.FloatBuffer;
import java.util.Random;
import org.junit.jupiter.api.Test;

class MatrixProductTest {
  @Test
  void equalsTheSumOfProductsForEveryShape() {
    int dimension = 24;
    Random random = new Random(3);
    try (MatrixProduct product = new MatrixProduct(dimension)) {
      MatrixProduct.Workspace workspace = product.workspace(8);
      for (int items : new int[] {1, 3, 8}) {
        for (int rows : new int[] {1, 17, 1024}) {
          float[][] left = new float[items][];
          for (int i = 0; i < items; i++) {
            left[i] = vector(random, dimension);
          }
          float[][] right = new float[rows][];
          FloatBuffer slab = MatrixProduct.allocate((long) rows * dimension);
          for (int r = 0; r < rows; r++) {
            right[r] = vector(random, dimension);
            slab.put(r * dimension, right[r]);
          }
          workspace.items(left);
          FloatBuffer scores = workspace.scores(slab, rows);
          assertEquals(items * rows, scores.remaining());
          for (int i = 0; i < items; i++) {
            for (int r = 0; r < rows; r++) {
              double expected = 0;
              for (int k = 0; k < dimension; k++) {
                expected += (double) left[i][k] * right[r][k];
              }
              assertEquals(expected, scores.get(i * rows + r), 1e-5);
            }
          }
        }
      }
    }
  }

  private static float[] vector(Random random, int dimension) {
    float[] vector = new float[dimension];
    for (int i = 0; i < dimension; i++) {
      vector[i] = (float) random.nextGaussian();
    }
    return vector;
  }
}
