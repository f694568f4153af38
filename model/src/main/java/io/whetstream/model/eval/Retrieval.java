package io.whetstream.model.eval;

/**
 * Recall at 1, 5 and 10 by dot product, so by cosine for the unit vectors that embeddings are.
 *
 * <p>Rows of the same group (the five captions of one picture, say) are all right answers; a query
 * is a hit at k if its best one is among the first k. Ties are counted against the query: a wrong
 * target with the same score comes first, so constant embeddings score 0 and not 1. A score that is
 * not a number counts against the query as well.
 */
public final class Retrieval {
  private Retrieval() {}

  /**
   * Recall of every query against all targets.
   *
   * @param queries one vector a query
   * @param targets one vector a target, all of the length of the queries
   * @param queryGroup the group of each query
   * @param targetGroup the group of each target
   * @throws IllegalArgumentException if there is no query, if sizes do not fit, or if no target
   *     shares a query's group
   */
  public static Recall recall(
      float[][] queries, float[][] targets, int[] queryGroup, int[] targetGroup) {
    if (queries.length == 0
        || queries.length != queryGroup.length
        || targets.length != targetGroup.length) {
      throw new IllegalArgumentException(
          queries.length
              + " queries with "
              + queryGroup.length
              + " groups against "
              + targets.length
              + " targets with "
              + targetGroup.length);
    }
    int[] hits = new int[3];
    float[] scores = new float[targets.length];
    for (int q = 0; q < queries.length; q++) {
      boolean any = false;
      float best = Float.NEGATIVE_INFINITY;
      for (int t = 0; t < targets.length; t++) {
        scores[t] = dot(queries[q], targets[t]);
        if (targetGroup[t] == queryGroup[q]) {
          any = true;
          if (scores[t] > best) {
            best = scores[t];
          }
        }
      }
      if (!any) {
        throw new IllegalArgumentException(
            "query " + q + " has no target: none is of group " + queryGroup[q]);
      }
      int before = 0;
      for (int t = 0; t < targets.length; t++) {
        // Negated, so that NaN counts as ranked before.
        if (targetGroup[t] != queryGroup[q] && !(scores[t] < best)) {
          before++;
        }
      }
      hits[0] += before < 1 ? 1 : 0;
      hits[1] += before < 5 ? 1 : 0;
      hits[2] += before < 10 ? 1 : 0;
    }
    double n = queries.length;
    return new Recall(hits[0] / n, hits[1] / n, hits[2] / n);
  }

  /** Dot product in a fixed order of eight running sums: the same vectors give the same bits. */
  static float dot(float[] a, float[] b) {
    if (a.length != b.length) {
      throw new IllegalArgumentException(
          "vectors of " + a.length + " and " + b.length + " numbers do not compare");
    }
    float s0 = 0;
    float s1 = 0;
    float s2 = 0;
    float s3 = 0;
    float s4 = 0;
    float s5 = 0;
    float s6 = 0;
    float s7 = 0;
    int i = 0;
    for (; i + 8 <= a.length; i += 8) {
      s0 += a[i] * b[i];
      s1 += a[i + 1] * b[i + 1];
      s2 += a[i + 2] * b[i + 2];
      s3 += a[i + 3] * b[i + 3];
      s4 += a[i + 4] * b[i + 4];
      s5 += a[i + 5] * b[i + 5];
      s6 += a[i + 6] * b[i + 6];
      s7 += a[i + 7] * b[i + 7];
    }
    float rest = 0;
    for (; i < a.length; i++) {
      rest += a[i] * b[i];
    }
    return ((s0 + s4) + (s1 + s5)) + ((s2 + s6) + (s3 + s7)) + rest;
  }
}
