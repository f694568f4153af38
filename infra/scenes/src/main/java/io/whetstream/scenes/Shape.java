package io.whetstream.scenes;

import java.util.Locale;

/**
 * Form of a drawn shape, as a region of the unit square [-1, 1] x [-1, 1] with y pointing down. The
 * last four are held back: only drift streams show them.
 */
public enum Shape {
  CIRCLE {
    @Override
    boolean contains(double x, double y) {
      return x * x + y * y <= 0.94 * 0.94;
    }
  },
  SQUARE {
    @Override
    boolean contains(double x, double y) {
      return Math.abs(x) <= 0.84 && Math.abs(y) <= 0.84;
    }
  },
  TRIANGLE {
    @Override
    boolean contains(double x, double y) {
      return y <= 0.82 && Math.abs(x) <= (y + 0.98) / 1.8;
    }
  },
  CROSS {
    @Override
    boolean contains(double x, double y) {
      double a = Math.abs(x);
      double b = Math.abs(y);
      return Math.max(a, b) <= 0.96 && Math.min(a, b) <= 0.33;
    }
  },
  STAR {
    @Override
    boolean contains(double x, double y) {
      return Star.contains(x, y);
    }
  },
  DIAMOND {
    @Override
    boolean contains(double x, double y) {
      return Math.abs(x) / 0.72 + Math.abs(y) <= 1;
    }
  },
  HEART {
    @Override
    boolean contains(double x, double y) {
      double u = x * 1.18;
      double v = 0.12 - y * 1.18;
      double r = u * u + v * v - 1;
      return r * r * r - u * u * v * v * v <= 0;
    }
  },
  BAR {
    @Override
    boolean contains(double x, double y) {
      return Math.abs(x) <= 1 && Math.abs(y) <= 0.38;
    }
  },
  MOON {
    @Override
    boolean contains(double x, double y) {
      double dx = x - 0.5;
      return x * x + y * y <= 0.96 * 0.96 && dx * dx + y * y > 0.72 * 0.72;
    }
  },
  ARROW {
    @Override
    boolean contains(double x, double y) {
      return x <= 0 ? x >= -1 && Math.abs(y) <= 0.28 : Math.abs(y) <= 0.9 * (1 - x);
    }
  },
  HOURGLASS {
    @Override
    boolean contains(double x, double y) {
      return Math.abs(y) <= 0.95 && Math.abs(x) <= 0.1 + 0.72 * Math.abs(y);
    }
  },
  ELL {
    @Override
    boolean contains(double x, double y) {
      return (x >= -0.78 && x <= -0.14 && Math.abs(y) <= 0.95)
          || (Math.abs(x) <= 0.78 && y >= 0.31 && y <= 0.95);
    }
  };

  abstract boolean contains(double x, double y);

  /** The word captions use. */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** Whether only drift streams show it. */
  public boolean heldBack() {
    return compareTo(MOON) >= 0;
  }

  /** Whether another shape has room inside it (see {@link Relation#INSIDE}). */
  boolean roomy() {
    return this == CIRCLE || this == SQUARE || this == DIAMOND;
  }

  /** Five points: ten corners, alternately on an outer and an inner circle. */
  private static final class Star {
    private static final double[] X = new double[10];
    private static final double[] Y = new double[10];

    static {
      for (int i = 0; i < 10; i++) {
        double radius = i % 2 == 0 ? 1.05 : 0.48;
        // StrictMath: the same bits on every machine.
        X[i] = radius * StrictMath.sin(i * Math.PI / 5);
        Y[i] = -radius * StrictMath.cos(i * Math.PI / 5) + 0.06;
      }
    }

    static boolean contains(double x, double y) {
      boolean inside = false;
      for (int i = 0, j = 9; i < 10; j = i++) {
        if ((Y[i] > y) != (Y[j] > y) && x < (X[j] - X[i]) * (y - Y[i]) / (Y[j] - Y[i]) + X[i]) {
          inside = !inside;
        }
      }
      return inside;
    }
  }
}
