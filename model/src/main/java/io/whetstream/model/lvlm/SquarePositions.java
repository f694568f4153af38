package io.whetstream.model.lvlm;

/**
 * Rows of the learned position table that Idefics3's tower gives to the patches of a full square:
 * each patch falls into a bucket by its place as a fraction. The arithmetic is that of torch in 32
 * bit, whose rounding moves some patches into the bucket before: the weights were trained with it.
 */
public final class SquarePositions {
  /** Values torch computes at once, and how many of them share a rounded first one. */
  private static final int BLOCK = 16;

  private static final int VECTOR = 8;

  private SquarePositions() {}

  /**
   * The table's rows, patch by patch.
   *
   * @param side patches along a side of the square
   */
  public static int[] of(int side) {
    int[] buckets = buckets(side, side);
    int[] rows = new int[side * side];
    for (int y = 0; y < side; y++) {
      for (int x = 0; x < side; x++) {
        rows[y * side + x] = buckets[y] * side + buckets[x];
      }
    }
    return rows;
  }

  /** Buckets of {@code patches} patches along a side that has {@code side} of them. */
  static int[] buckets(int side, int patches) {
    float[] bounds = bounds(side);
    int[] buckets = new int[patches];
    float share = (float) (1.0 / patches);
    for (int i = 0; i < patches; i++) {
      float place = i * share;
      while (buckets[i] < bounds.length && bounds[buckets[i]] <= place) {
        buckets[i]++;
      }
    }
    return buckets;
  }

  /** {@code torch.arange(1 / side, 1, 1 / side)}. */
  private static float[] bounds(int side) {
    double step = 1.0 / side;
    int count = (int) Math.ceil((1 - step) / step);
    float[] bounds = new float[count];
    for (int i = 0; i < count; i++) {
      int first = i / VECTOR * VECTOR;
      bounds[i] =
          i < count / BLOCK * BLOCK
              ? (float) ((float) (step + step * first) + step * (i - first))
              : (float) (step + step * i);
    }
    return bounds;
  }
}
