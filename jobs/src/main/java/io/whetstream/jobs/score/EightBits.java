package io.whetstream.jobs.score;

import java.nio.ByteBuffer;

/**
 * Vectors in 8 bits a value, x = scale * codes + rest, and how far the scalar product of the codes
 * may be from that of the vectors. With y = t * q + f and x = s * p + e,
 *
 * <pre>x . y = s * t * (p . q) + (s * p) . f + e . y</pre>
 *
 * so by Cauchy and Schwarz the product of the codes, which is exact in integers, misses x . y by at
 * most {@code |s * p| |f| + |e| |y|}. The lengths are those of the very vectors, not the worst
 * case.
 *
 * @param scale what a code of one stands for
 * @param length of {@code scale * codes}
 * @param rest length of what the codes miss
 * @param whole length of the vector
 */
record EightBits(float scale, float length, float rest, float whole) {
  /** Codes of queries are stored without sign: {@code code + ZERO}, from 1 to 255. */
  static final int ZERO = 128;

  private static final int MOST_OF_QUERY = 127;

  /**
   * Codes of items have a sign and 7 bits. Processors without instructions for sums of four
   * products add two of them in 16 bits first, and 2 * 255 * 63 is the most that this holds.
   */
  private static final int MOST_OF_ITEM = 63;

  /**
   * Added to each bound, relative to the lengths: lengths are rounded to float, and so is the score
   * that decides.
   */
  private static final double ROUNDING = 1e-6;

  /** And absolutely: floats near zero are rounded more coarsely. */
  private static final double TINY = 1e-20;

  /** Writes the codes of a query's vector, one after the other. */
  static EightBits ofQuery(float[] vector, ByteBuffer to, int first) {
    return write(vector, scale(MOST_OF_QUERY, vector), MOST_OF_QUERY, ZERO, to, first, 1);
  }

  /** A scale in which each of these items' vectors can be stored. */
  static float scaleOfItems(float[]... vectors) {
    return scale(MOST_OF_ITEM, vectors);
  }

  /**
   * Writes the codes of an item's vector.
   *
   * @param first place of the first code in {@code to}
   * @param step between two codes
   */
  static EightBits ofItem(float[] vector, float scale, ByteBuffer to, int first, int step) {
    return write(vector, scale, MOST_OF_ITEM, 0, to, first, step);
  }

  private static float scale(int mostCode, float[]... vectors) {
    float most = 0;
    for (float[] vector : vectors) {
      for (float value : vector) {
        most = Math.max(most, Math.abs(value));
      }
    }
    // So small a scale cannot be divided by; nothing is lost but the filter's sharpness.
    return Math.max(most / mostCode, Float.MIN_NORMAL);
  }

  private static EightBits write(
      float[] vector, float scale, int mostCode, int zero, ByteBuffer to, int first, int step) {
    double length = 0;
    double rest = 0;
    double whole = 0;
    for (int i = 0; i < vector.length; i++) {
      int code = Math.max(-mostCode, Math.min(mostCode, Math.round(vector[i] / scale)));
      to.put(first + i * step, (byte) (code + zero));
      double stored = (double) scale * code;
      length += stored * stored;
      rest += (vector[i] - stored) * (vector[i] - stored);
      whole += (double) vector[i] * vector[i];
    }
    return new EightBits(
        scale, (float) Math.sqrt(length), (float) Math.sqrt(rest), (float) Math.sqrt(whole));
  }

  /**
   * How far {@code scale * other.scale * (codes . other's codes)} may be from the scalar product of
   * the vectors.
   *
   * @param length of this one, as {@code rest}
   */
  static double bound(float length, float rest, EightBits other) {
    return (double) length * other.rest
        + (double) rest * other.whole
        + ROUNDING * ((double) length + rest) * other.whole
        + TINY;
  }

  /** One whose bounds hold for both, which are of one scale. */
  EightBits worst(EightBits other) {
    return new EightBits(
        scale,
        Math.max(length, other.length),
        Math.max(rest, other.rest),
        Math.max(whole, other.whole));
  }
}
