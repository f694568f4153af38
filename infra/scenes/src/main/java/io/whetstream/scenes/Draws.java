package io.whetstream.scenes;

import java.util.List;

/**
 * A splittable source of pseudo-random numbers whose whole future is given by the values it was
 * made from (SplitMix64: Steele, Lea, Flood, OOPSLA 2014). Used instead of {@link java.util.Random}
 * so that scene number i never depends on how many numbers scene i-1 consumed.
 */
final class Draws {
  private static final long GOLDEN = 0x9E3779B97F4A7C15L;

  private long state;

  Draws(long... key) {
    state = mix(key);
  }

  /** One well-mixed 64-bit value of all the given ones; order matters. */
  static long mix(long... values) {
    long h = 0x5851F42D4C957F2DL;
    for (long v : values) {
      h = scramble(h * 0x2545F4914F6CDD1DL + v + GOLDEN);
    }
    return h;
  }

  private static long scramble(long z) {
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }

  long next() {
    state += GOLDEN;
    return scramble(state);
  }

  /** A number from 0 to n-1. */
  int below(int n) {
    return (int) (((next() >>> 33) * n) >>> 31);
  }

  /** A number in [0, 1). */
  double unit() {
    return (next() >>> 11) * 0x1.0p-53;
  }

  /** A number in [-bound, bound). */
  double around(double bound) {
    return (2 * unit() - 1) * bound;
  }

  boolean chance(double probability) {
    return unit() < probability;
  }

  <T> T of(List<T> choices) {
    return choices.get(below(choices.size()));
  }

  /** Numbers 0 to n-1 in random order. */
  int[] permutation(int n) {
    int[] p = new int[n];
    for (int i = 0; i < n; i++) {
      int j = below(i + 1);
      p[i] = p[j];
      p[j] = i;
    }
    return p;
  }
}
