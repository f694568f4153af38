package io.whetstream.model.lvlm;

import io.whetstream.model.checkpoint.DynamicVision;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * The order of a picture's patches in a tower that takes pictures of any size (Qwen-VL), and what
 * follows from it. Patches go block by block: those that are merged into one feature stand
 * together, blocks and the patches in them row by row. With attention in windows the blocks go
 * window by window.
 *
 * @param rows per patch, its row in the picture
 * @param columns per patch, its column
 * @param windows patches of each window, in order; one window of all where there are none
 * @param blocks per block, its place in the order without windows
 */
@SuppressWarnings("ArrayRecordComponent") // Handed over, never compared.
public record PatchPlan(int[] rows, int[] columns, int[] windows, int[] blocks) {

  /**
   * The plan of a picture.
   *
   * @param height of the grid in patches, a multiple of the side of a block
   * @param width the same across
   * @param patchSize side of a patch in pixels
   */
  public static PatchPlan of(DynamicVision vision, int height, int width, int patchSize) {
    int merge = vision.merge();
    int high = height / merge;
    int wide = width / merge;
    int side =
        vision.windowSize() == 0 ? Math.max(high, wide) : vision.windowSize() / merge / patchSize;
    int[] blocks = new int[high * wide];
    List<Integer> windows = new ArrayList<>();
    int at = 0;
    for (int top = 0; top < high; top += side) {
      for (int left = 0; left < wide; left += side) {
        int before = at;
        for (int y = top; y < Math.min(top + side, high); y++) {
          for (int x = left; x < Math.min(left + side, wide); x++) {
            blocks[at++] = y * wide + x;
          }
        }
        windows.add((at - before) * merge * merge);
      }
    }
    int[] rows = new int[height * width];
    int[] columns = new int[height * width];
    int patch = 0;
    for (int block : blocks) {
      for (int i = 0; i < merge * merge; i++) {
        rows[patch] = block / wide * merge + i / merge;
        columns[patch++] = block % wide * merge + i % merge;
      }
    }
    return new PatchPlan(
        rows, columns, windows.stream().mapToInt(Integer::intValue).toArray(), blocks);
  }

  /**
   * Windows of equal size: they are computed in one call.
   *
   * @param count how many
   * @param size patches of each
   */
  public record Windows(int count, int size) {}

  /**
   * The same picture with windows of equal size next to each other. A grid of windows has at most
   * four sizes: those inside, at the right edge, at the bottom and in the corner.
   */
  public PatchPlan bySize() {
    int[] begins = new int[windows.length];
    for (int w = 1; w < begins.length; w++) {
      begins[w] = begins[w - 1] + windows[w - 1];
    }
    List<Integer> order = new ArrayList<>();
    for (int w = 0; w < begins.length; w++) {
      order.add(w);
    }
    order.sort(Comparator.comparingInt(w -> -windows[w]));
    int perBlock = size() / blocks.length;
    PatchPlan plan =
        new PatchPlan(
            new int[size()], new int[size()], new int[windows.length], new int[blocks.length]);
    int at = 0;
    for (int w = 0; w < begins.length; w++) {
      int begin = begins[order.get(w)];
      int size = windows[order.get(w)];
      plan.windows[w] = size;
      System.arraycopy(rows, begin, plan.rows, at, size);
      System.arraycopy(columns, begin, plan.columns, at, size);
      System.arraycopy(blocks, begin / perBlock, plan.blocks, at / perBlock, size / perBlock);
      at += size;
    }
    return plan;
  }

  /** The windows in their order, equal neighbours together. */
  public List<Windows> runs() {
    List<Windows> runs = new ArrayList<>();
    int equal = 0;
    for (int w = 0; w < windows.length; w++) {
      equal++;
      if (w + 1 == windows.length || windows[w + 1] != windows[w]) {
        runs.add(new Windows(equal, windows[w]));
        equal = 0;
      }
    }
    return runs;
  }

  /** Number of patches. */
  public int size() {
    return rows.length;
  }

  /** Per block of the picture, row by row, its place in this plan's order. */
  public int[] reverse() {
    int[] reverse = new int[blocks.length];
    for (int i = 0; i < blocks.length; i++) {
      reverse[blocks[i]] = i;
    }
    return reverse;
  }

  /**
   * Angles of rotary positions: the first half of a head's pairs turns by the row, the second by
   * the column.
   *
   * @param headDim width of a head
   * @return [size, headDim / 2], row-major, in radians
   */
  public float[] angles(int headDim) {
    int quarter = headDim / 4;
    float[] frequencies = new float[quarter];
    for (int i = 0; i < quarter; i++) {
      frequencies[i] = (float) (1 / Math.pow(10000, 2.0 * i / (headDim / 2)));
    }
    float[] angles = new float[size() * 2 * quarter];
    for (int p = 0; p < size(); p++) {
      for (int i = 0; i < quarter; i++) {
        angles[2 * quarter * p + i] = rows[p] * frequencies[i];
        angles[2 * quarter * p + quarter + i] = columns[p] * frequencies[i];
      }
    }
    return angles;
  }

  /**
   * How a square table of learned positions is resampled to the picture's grid: four rows of the
   * table for each patch and their weights (bilinear, the corners of table and grid on each other).
   *
   * @param side of the table
   * @param height of the grid in patches
   * @param width the same across
   */
  public Gathering positions(int side, int height, int width) {
    int[] indices = new int[4 * size()];
    float[] weights = new float[4 * size()];
    float[] down = linspace(side, height);
    float[] across = linspace(side, width);
    for (int p = 0; p < size(); p++) {
      float y = down[rows[p]];
      float x = across[columns[p]];
      int top = (int) y;
      int left = (int) x;
      int bottom = Math.min(top + 1, side - 1);
      int right = Math.min(left + 1, side - 1);
      float dy = y - top;
      float dx = x - left;
      int at = 4 * p;
      indices[at] = top * side + left;
      indices[at + 1] = top * side + right;
      indices[at + 2] = bottom * side + left;
      indices[at + 3] = bottom * side + right;
      weights[at] = (1 - dy) * (1 - dx);
      weights[at + 1] = (1 - dy) * dx;
      weights[at + 2] = dy * (1 - dx);
      weights[at + 3] = dy * dx;
    }
    return new Gathering(4, indices, weights);
  }

  /** As {@code torch.linspace(0, side - 1, n)}: from both ends towards the middle, in 32 bit. */
  private static float[] linspace(int side, int n) {
    float[] values = new float[n];
    float step = n == 1 ? 0 : (float) (side - 1) / (n - 1);
    for (int i = 0; i < n; i++) {
      values[i] = i < n / 2 || n == 1 ? step * i : side - 1 - step * (n - 1 - i);
    }
    return values;
  }
}
