package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class MatrixProductTest {
  private static final IdleCores CORES = new IdleCores();
  private static final IdleCores FOUR = new IdleCores(4);
  private static final IdleCores ONE = new IdleCores(1);

  @AfterAll
  static void stop() {
    CORES.close();
    FOUR.close();
    ONE.close();
  }

  /** Vectors that lie in all directions, near one another, or have one large value. */
  private static float[][] vectors(Random random, int count, int dimension) {
    float[] centre = gaussian(random, dimension);
    float[][] vectors = new float[count][];
    for (int i = 0; i < count; i++) {
      vectors[i] = gaussian(random, dimension);
      switch (i % 4) {
        case 1 -> {
          for (int k = 0; k < dimension; k++) {
            vectors[i][k] = centre[k] + 0.1f * vectors[i][k];
          }
        }
        case 2 -> vectors[i][random.nextInt(dimension)] *= 1000;
        default -> {}
      }
      double length = Math.sqrt(MatchEngine.dot(vectors[i], vectors[i]));
      for (int k = 0; k < dimension; k++) {
        vectors[i][k] /= (float) length;
      }
    }
    return vectors;
  }

  private static float[] gaussian(Random random, int dimension) {
    float[] vector = new float[dimension];
    for (int i = 0; i < dimension; i++) {
      vector[i] = (float) random.nextGaussian();
    }
    return vector;
  }

  private static VectorSlabs slabs(float[][] rows) {
    VectorSlabs slabs = new VectorSlabs(rows[0].length);
    for (int r = 0; r < rows.length; r++) {
      slabs.put(r, rows[r]);
    }
    return slabs;
  }

  /** Checks every comparison and returns their number and the widest bound. */
  private static double everyScoreLiesWithinItsBound(
      MatrixProduct product, float[][] items, float[][] rows) {
    MatrixProduct.Items left = product.items(items);
    Set<Integer> seen = ConcurrentHashMap.newKeySet();
    List<Double> widest = Collections.synchronizedList(new ArrayList<>());
    product.multiply(
        left,
        slabs(rows),
        rows.length,
        (index, slab, here, products) -> {
          double most = 0;
          for (int r = 0; r < here; r++) {
            double bound = slab.bound(r, left.bits());
            most = Math.max(most, bound);
            for (int i = 0; i < items.length; i++) {
              float[] row = rows[index * VectorSlabs.ROWS_PER_SLAB + r];
              double score = MatchEngine.dot(items[i], row);
              double filter = products[r * items.length + i] * slab.unit(r, left.bits());
              if (!(Math.abs(score - filter) <= bound)) {
                throw new AssertionError(score + " and " + filter + " differ by > " + bound);
              }
              if (slab.score(r, items[i]) != (float) score) {
                throw new AssertionError("another score decides");
              }
            }
          }
          widest.add(most);
          assertTrue(seen.add(index));
        });
    assertEquals(
        (rows.length + VectorSlabs.ROWS_PER_SLAB - 1) / VectorSlabs.ROWS_PER_SLAB, seen.size());
    return widest.stream().mapToDouble(x -> x).max().orElseThrow();
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 3, 24, 128, 896})
  void noScoreIsFartherFromTheProductOfEightBitsThanItsBound(int dimension) {
    Random random = new Random(3);
    try (MatrixProduct product = new MatrixProduct(dimension, CORES)) {
      for (int items : new int[] {1, 3, 33}) {
        for (int rows : new int[] {1, 17, 1024, 1100}) {
          everyScoreLiesWithinItsBound(
              product, vectors(random, items, dimension), vectors(random, rows, dimension));
        }
      }
    }
  }

  @Test
  void extremeValuesKeepTheBoundToo() {
    float[][] rows = {
      {0, 0, 0, 0},
      {1, 0, 0, 0},
      {1, 1, 1, 1},
      {-1, -1, -1, -1},
      {1e-38f, 1e-39f, 0, 0},
      {1e15f, -1e15f, 3, 0},
      {1, 1 / 254f, -1 / 254f, 1 / 255f}
    };
    try (MatrixProduct product = new MatrixProduct(4, CORES)) {
      for (float[] item : rows) {
        everyScoreLiesWithinItsBound(product, new float[][] {item}, rows);
      }
      everyScoreLiesWithinItsBound(product, rows, rows);
    }
  }

  @Test
  void theBoundOfVectorsInAllDirectionsIsNarrow() {
    Random random = new Random(5);
    try (MatrixProduct product = new MatrixProduct(128, CORES)) {
      float[][] items = new float[16][];
      float[][] rows = new float[1000][];
      for (int i = 0; i < rows.length; i++) {
        rows[i] = vectors(random, 1, 128)[0];
        items[i % items.length] = vectors(random, 1, 128)[0];
      }
      double widest = everyScoreLiesWithinItsBound(product, items, rows);
      assertTrue(widest < 0.03, "" + widest);
    }
  }

  @Test
  void severalThreadsDivideTheSlabsAndAFailureOfOneIsThatOfAll() {
    Random random = new Random(4);
    float[][] items = vectors(random, 64, 64);
    float[][] rows = vectors(random, 60_000, 64);
    VectorSlabs slabs = slabs(rows);
    try (MatrixProduct product = new MatrixProduct(64, FOUR)) {
      int[] highest = new int[59];
      product.multiply(
          product.items(items),
          slabs,
          rows.length,
          (index, slab, here, products) -> highest[index] = products[(here - 1) * 64 + 63]);
      try (MatrixProduct alone = new MatrixProduct(64, ONE)) {
        alone.multiply(
            alone.items(items),
            slabs,
            rows.length,
            (index, slab, here, products) ->
                assertEquals(products[(here - 1) * 64 + 63], highest[index]));
      }
      assertThrows(
          ArithmeticException.class,
          () ->
              product.multiply(
                  product.items(items),
                  slabs,
                  rows.length,
                  (index, slab, here, products) -> {
                    if (index == 31) {
                      throw new ArithmeticException();
                    }
                  }));
    }
  }

  @Test
  @Tag("slow")
  void ofTenMillionComparisonsNoneIsFartherFromItsScoreThanItsBound() {
    Random random = new Random(7);
    try (MatrixProduct product = new MatrixProduct(256, CORES)) {
      float[][] items = vectors(random, 100, 256);
      for (int part = 0; part < 10; part++) {
        everyScoreLiesWithinItsBound(product, items, vectors(random, 10_000, 256));
      }
    }
  }
}
