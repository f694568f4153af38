package io.whetstream.model.lvlm;

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
}
