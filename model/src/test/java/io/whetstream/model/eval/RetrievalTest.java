package io.whetstream.model.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class RetrievalTest {
  @Test
  void equalsSortingAllTargetsByHand() {
    Random random = new Random(1);
    for (int round = 0; round < 60; round++) {
      int n = 1 + random.nextInt(40);
      int m = n + random.nextInt(40);
      int d = 1 + random.nextInt(20);
      int groups = 1 + random.nextInt(n);
      // Coarse values, so that ties are frequent.
      float[][] queries = coarse(random, n, d);
      float[][] targets = coarse(random, m, d);
      int[] queryGroup = random.ints(n, 0, groups).toArray();
      int[] targetGroup = random.ints(m, 0, groups).toArray();
      for (int g = 0; g < groups; g++) {
        targetGroup[g] = g;
      }
      Recall recall = Retrieval.recall(queries, targets, queryGroup, targetGroup);
      assertEquals(byHand(queries, targets, queryGroup, targetGroup, 1), recall.r1());
      assertEquals(byHand(queries, targets, queryGroup, targetGroup, 5), recall.r5());
      assertEquals(byHand(queries, targets, queryGroup, targetGroup, 10), recall.r10());
    }
  }

  private static float[][] coarse(Random random, int n, int d) {
    float[][] rows = new float[n][d];
    for (float[] row : rows) {
      for (int i = 0; i < d; i++) {
        row[i] = random.nextInt(3) - 1;
      }
    }
    return rows;
  }

  private static double byHand(
      float[][] queries, float[][] targets, int[] queryGroup, int[] targetGroup, int k) {
    int hits = 0;
    for (int q = 0; q < queries.length; q++) {
      int group = queryGroup[q];
      double[] score = new double[targets.length];
      List<Integer> order = new ArrayList<>();
      for (int t = 0; t < targets.length; t++) {
        for (int i = 0; i < queries[q].length; i++) {
          score[t] += queries[q][i] * targets[t][i];
        }
        order.add(t);
      }
      order.sort(
          Comparator.<Integer>comparingDouble(t -> -score[t])
              .thenComparing(t -> targetGroup[t] == group));
      int first = 0;
      while (targetGroup[order.get(first)] != group) {
        first++;
      }
      hits += first < k ? 1 : 0;
    }
    return hits / (double) queries.length;
  }

  @Test
  void constantEmbeddingsFindNothing() {
    float[][] same = new float[20][];
    java.util.Arrays.fill(same, new float[] {0.6f, 0.8f});
    int[] group = java.util.stream.IntStream.range(0, 20).toArray();
    assertEquals(new Recall(0, 0, 0), Retrieval.recall(same, same, group, group));
  }

  @Test
  void embeddingsThatAreNotNumbersFindNothing() {
    float[][] good = {{1, 0}, {0, 1}};
    float[][] bad = {{Float.NaN, 0}, {0, Float.NaN}};
    int[] group = {0, 1};
    assertEquals(0, Retrieval.recall(good, bad, group, group).r1());
    assertEquals(0, Retrieval.recall(bad, good, group, group).r1());
    float[][] half = {{1, 0}, {Float.NaN, 0}};
    assertEquals(0, Retrieval.recall(good, half, group, group).r1());
  }

  @Test
  void anyRowOfTheGroupIsARightAnswer() {
    float[][] images = {{1, 0}, {0, 1}};
    float[][] captions = {{0, 1}, {1, 0}, {0, 1}};
    int[] imageGroup = {7, 8};
    int[] captionGroup = {7, 7, 8};
    // The first caption of picture 7 is wrong, its second is right; 8 ties with a wrong one.
    assertEquals(0.5, Retrieval.recall(images, captions, imageGroup, captionGroup).r1());
    assertEquals(1, Retrieval.recall(images, captions, imageGroup, captionGroup).r5());
  }

  @Test
  void refusesAQueryWithoutTargetAndSizesThatDoNotFit() {
    float[][] one = {{1}};
    assertThrows(
        IllegalArgumentException.class,
        () -> Retrieval.recall(one, one, new int[] {1}, new int[] {2}));
    assertThrows(
        IllegalArgumentException.class,
        () -> Retrieval.recall(one, one, new int[] {1, 1}, new int[] {1}));
    assertThrows(
        IllegalArgumentException.class,
        () -> Retrieval.recall(one, new float[][] {{1, 2}}, new int[] {1}, new int[] {1}));
    assertThrows(
        IllegalArgumentException.class,
        () -> Retrieval.recall(new float[0][], one, new int[0], new int[] {1}));
  }
}
