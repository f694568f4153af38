package io.whetstream.model.image;

import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.List;

/**
 * The rule of LLaVA-NeXT and LLaVA-OneVision: of several canvases the one that shows most of a
 * picture is chosen, the picture is fitted into it and centred, and the canvas is cut into squares;
 * the whole picture, squeezed into one more square, comes first. What the vision tower makes of the
 * black borders is cut away afterwards.
 *
 * @param side of a square, in pixels
 * @param canvases sizes in pixels, multiples of {@code side}
 */
public record AnyResolution(int side, List<Size> canvases) {

  /** The canvas that keeps most pixels of a picture, then wastes least. */
  Size canvas(Size picture) {
    Size best = null;
    long mostKept = 0;
    long leastWasted = Long.MAX_VALUE;
    for (Size canvas : canvases) {
      double scale =
          Math.min(
              (double) canvas.width() / picture.width(),
              (double) canvas.height() / picture.height());
      long shown = (long) (picture.width() * scale) * (long) (picture.height() * scale);
      long kept = Math.min(shown, picture.area());
      long wasted = canvas.area() - kept;
      if (kept > mostKept || (kept == mostKept && wasted < leastWasted)) {
        mostKept = kept;
        leastWasted = wasted;
        best = canvas;
      }
    }
    return best;
  }

  /** A picture's size inside a canvas. */
  Size inside(Size picture, Size canvas) {
    double across = (double) canvas.width() / picture.width();
    double down = (double) canvas.height() / picture.height();
    return across < down
        ? new Size(
            (int) Math.min(Math.ceil(picture.height() * across), canvas.height()), canvas.width())
        : new Size(
            canvas.height(), (int) Math.min(Math.ceil(picture.width() * down), canvas.width()));
  }

  /** Squares a canvas is cut into. */
  Size grid(Size canvas) {
    return new Size(canvas.height() / side, canvas.width() / side);
  }

  /**
   * What is left of a grid of features over a canvas when those over its borders are cut away: the
   * same number of rows (or columns) on both sides. It may be nothing.
   */
  static Size unpadded(Size grid, Size picture) {
    double wanted = (double) picture.width() / picture.height();
    double current = (double) grid.width() / grid.height();
    if (wanted > current) {
      int rows = rounded(picture.height() * ((double) grid.width() / picture.width()));
      return new Size(grid.height() - 2 * ((grid.height() - rows) / 2), grid.width());
    }
    int columns = rounded(picture.width() * ((double) grid.height() / picture.height()));
    return new Size(grid.height(), grid.width() - 2 * ((grid.width() - columns) / 2));
  }

  /** Python's {@code int(round(x, 7))}. */
  private static int rounded(double value) {
    return new BigDecimal(value).setScale(7, RoundingMode.HALF_EVEN).intValue();
  }

  /**
   * OneVision's bound: a grid with more features than {@code squares} of {@code features} a side is
   * reduced to about that; a little above it stays.
   */
  public static Size bounded(Size grid, int squares, int features) {
    double ratio = Math.sqrt(grid.area() / ((double) squares * features * features));
    return ratio > 1.1
        ? new Size(floorDivide(grid.height(), ratio), floorDivide(grid.width(), ratio))
        : grid;
  }

  /** Python's {@code //} of floats: exact for the remainder, so not the floor of the quotient. */
  private static int floorDivide(double value, double divisor) {
    double exact = (value - value % divisor) / divisor;
    double floor = Math.floor(exact);
    return (int) (exact - floor > 0.5 ? floor + 1 : floor);
  }
}
