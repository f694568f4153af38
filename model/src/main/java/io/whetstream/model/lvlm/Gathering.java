package io.whetstream.model.lvlm;

import java.nio.FloatBuffer;

/**
 * Rows of a matrix as weighted sums of rows of another.
 *
 * @param taps rows that each sum is made of
 * @param indices [n * taps], rows of the other matrix
 * @param weights [n * taps]; null where there is one tap of weight 1
 */
@SuppressWarnings("ArrayRecordComponent") // Handed over, never compared.
public record Gathering(int taps, int[] indices, float[] weights) {
  /** Number of rows that come out. */
  public int size() {
    return indices.length / taps;
  }

  /**
   * Carries it out.
   *
   * @param rows of the other matrix, row-major
   * @param last one more row after them; null for none
   * @param to where the rows that come out are put, from its position on
   */
  public void into(FloatBuffer rows, float[] last, int width, FloatBuffer to) {
    int count = rows.remaining() / width;
    float[] sum = new float[width];
    float[] one = new float[width];
    for (int i = 0; i < size(); i++) {
      java.util.Arrays.fill(sum, 0);
      for (int tap = 0; tap < taps; tap++) {
        int index = indices[i * taps + tap];
        float weight = weights == null ? 1 : weights[i * taps + tap];
        float[] row = last;
        if (index < count) {
          rows.get(rows.position() + index * width, one);
          row = one;
        }
        for (int c = 0; c < width; c++) {
          sum[c] += weight * row[c];
        }
      }
      to.put(sum);
    }
  }
}
