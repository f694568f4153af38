package io.whetstream.model.lvlm;

import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.image.AnyResolution;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.Size;
import java.util.Arrays;

/**
 * How the features of an any-resolution picture's squares become those that a row holds
 * (LLaVA-NeXT, LLaVA-OneVision): first those of the whole picture, then those of the canvas as one
 * grid, its borders cut away, reduced where there are too many, each line ended by a learned
 * vector.
 */
public final class FeaturePacking {
  private final int features;
  private final int lineEnd;
  private final ImageGeometry picture;
  private final int side;
  private int[] indices = new int[0];
  private float[] weights = new float[0];
  private int count;

  private FeaturePacking(Architecture architecture, ImageGeometry picture) {
    this.picture = picture;
    features = architecture.connector().tokens();
    side = picture.height() / architecture.tower().patchSize();
    lineEnd = picture.inputs() * features;
  }

  /**
   * The rows of a picture's packed features, as sums of rows of its squares' features [inputs *
   * tokens, d], square by square, followed by the one row that ends a line; null where the model
   * packs nothing.
   */
  public static Gathering of(Architecture architecture, ImageGeometry picture) {
    Architecture.Packing packing = architecture.connector().packing();
    return packing == null
        ? null
        : new FeaturePacking(architecture, picture).pack(packing.maxSquares());
  }

  private Gathering pack(int maxSquares) {
    Size kept = new Size(picture.unpaddedHeight(), picture.unpaddedWidth());
    Size scaled = maxSquares > 0 ? AnyResolution.bounded(kept, maxSquares, side) : kept;
    boolean reduced = !scaled.equals(kept);
    int taps = reduced ? 4 : 1;
    indices = new int[taps * picture.tokens()];
    weights = new float[indices.length];
    for (int i = 0; i < features; i++) {
      one(taps, i);
    }
    if (picture.rows() == 0 && picture.tokens() > features) {
      one(taps, lineEnd);
    }
    if (picture.rows() > 0) {
      for (int y = 0; y < scaled.height(); y++) {
        for (int x = 0; x < scaled.width(); x++) {
          if (reduced) {
            four(kept, scaled, y, x);
          } else {
            one(taps, cell(kept, y, x));
          }
        }
        one(taps, lineEnd);
      }
    }
    if (count != picture.tokens()) {
      throw new IllegalStateException(picture + " packs into " + count + " features");
    }
    return new Gathering(taps, indices, reduced ? weights : null);
  }

  private void one(int taps, int index) {
    Arrays.fill(indices, taps * count, taps * (count + 1), index);
    weights[taps * count++] = 1;
  }

  /** Bilinear, corners not aligned, as torch's {@code interpolate} has it by default. */
  private void four(Size kept, Size scaled, int y, int x) {
    float down = source(y, kept.height(), scaled.height());
    float across = source(x, kept.width(), scaled.width());
    int top = (int) down;
    int left = (int) across;
    int bottom = Math.min(top + 1, kept.height() - 1);
    int right = Math.min(left + 1, kept.width() - 1);
    float dy = down - top;
    float dx = across - left;
    int at = 4 * count++;
    indices[at] = cell(kept, top, left);
    indices[at + 1] = cell(kept, top, right);
    indices[at + 2] = cell(kept, bottom, left);
    indices[at + 3] = cell(kept, bottom, right);
    weights[at] = (1 - dy) * (1 - dx);
    weights[at + 1] = (1 - dy) * dx;
    weights[at + 2] = dy * (1 - dx);
    weights[at + 3] = dy * dx;
  }

  private static float source(int target, int from, int to) {
    return Math.max(0, (target + 0.5f) * ((float) from / to) - 0.5f);
  }

  /** The row of a feature of the unpadded grid. */
  private int cell(Size kept, int y, int x) {
    int row = y + (picture.rows() * side - kept.height()) / 2;
    int column = x + (picture.columns() * side - kept.width()) / 2;
    int square = 1 + row / side * picture.columns() + column / side;
    return square * features + row % side * side + column % side;
  }
}
