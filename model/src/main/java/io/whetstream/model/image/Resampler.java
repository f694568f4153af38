package io.whetstream.model.image;

import io.whetstream.model.BadInputException;

/**
 * Pillow's antialiased resizing of 8-bit images: two passes, rows first, with coefficients of 22
 * fractional bits and 8-bit values between the passes, so that every value is the same as Pillow's.
 */
enum Resampler {
  LANCZOS(3) {
    @Override
    double weight(double x) {
      return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
    }
  },
  BILINEAR(1) {
    @Override
    double weight(double x) {
      double d = Math.abs(x);
      return d < 1 ? 1 - d : 0;
    }
  },
  BICUBIC(2) {
    @Override
    double weight(double x) {
      double a = -0.5;
      double d = Math.abs(x);
      if (d < 1) {
        return ((a + 2) * d - (a + 3)) * d * d + 1;
      }
      return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
    }
  };

  private static final int BITS = 22;

  /** Coefficients of one pass: 64 MiB. */
  private static final int MAX_TAPS = 1 << 24;

  private final double support;

  Resampler(double support) {
    this.support = support;
  }

  abstract double weight(double x);

  private static double sinc(double x) {
    return x == 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
  }

  /**
   * Pillow's numbers for these filters, as they stand in preprocessor_config.json; null if none.
   */
  static Resampler of(int number) {
    return switch (number) {
      case 1 -> LANCZOS;
      case 2 -> BILINEAR;
      case 3 -> BICUBIC;
      default -> null;
    };
  }

  /**
   * @throws BadInputException if the picture is so long and thin that what lies between the passes
   *     would be larger than any picture
   */
  RgbImage resize(RgbImage image, int width, int height) {
    long between = (long) width * image.height();
    double taps = 2 * support * Math.max(image.width(), image.height());
    if (between > ImageDecoder.DEFAULT_MAX_PIXELS
        || (long) width * height > ImageDecoder.DEFAULT_MAX_PIXELS
        || taps > MAX_TAPS) {
      throw new BadInputException(
          "a picture of "
              + image.width()
              + "x"
              + image.height()
              + " pixels is too long and thin to be resized to "
              + width
              + "x"
              + height);
    }
    byte[] rgb = image.rgb();
    if (width != image.width()) {
      rgb = rows(rgb, image.width(), image.height(), width);
    }
    if (height != image.height()) {
      rgb = columns(rgb, width, image.height(), height);
    }
    return new RgbImage(width, height, rgb);
  }

  private byte[] rows(byte[] in, int width, int height, int target) {
    Taps taps = new Taps(width, target);
    byte[] out = new byte[3 * target * height];
    int at = 0;
    for (int y = 0; y < height; y++) {
      for (int x = 0; x < target; x++) {
        int first = 3 * (y * width + taps.first[x]);
        int[] weights = taps.weights[x];
        int r = 1 << (BITS - 1);
        int g = r;
        int b = r;
        for (int k = 0; k < weights.length; k++) {
          int pixel = first + 3 * k;
          r += (in[pixel] & 0xff) * weights[k];
          g += (in[pixel + 1] & 0xff) * weights[k];
          b += (in[pixel + 2] & 0xff) * weights[k];
        }
        out[at++] = clip(r);
        out[at++] = clip(g);
        out[at++] = clip(b);
      }
    }
    return out;
  }

  private byte[] columns(byte[] in, int width, int height, int target) {
    Taps taps = new Taps(height, target);
    int stride = 3 * width;
    byte[] out = new byte[stride * target];
    int[] sums = new int[stride];
    for (int y = 0; y < target; y++) {
      java.util.Arrays.fill(sums, 1 << (BITS - 1));
      int[] weights = taps.weights[y];
      for (int k = 0; k < weights.length; k++) {
        int row = (taps.first[y] + k) * stride;
        int weight = weights[k];
        for (int i = 0; i < stride; i++) {
          sums[i] += (in[row + i] & 0xff) * weight;
        }
      }
      for (int i = 0; i < stride; i++) {
        out[y * stride + i] = clip(sums[i]);
      }
    }
    return out;
  }

  private static byte clip(int sum) {
    return (byte) Math.max(0, Math.min(255, sum >> BITS));
  }

  /** For every target position, the source positions it is made of. */
  private final class Taps {
    final int[] first;
    final int[][] weights;

    Taps(int source, int target) {
      first = new int[target];
      weights = new int[target][];
      double scale = (double) source / target;
      double stretch = Math.max(scale, 1);
      double reach = support * stretch;
      for (int i = 0; i < target; i++) {
        double center = (i + 0.5) * scale;
        int from = Math.max(0, (int) (center - reach + 0.5));
        int to = Math.min(source, (int) (center + reach + 0.5));
        double[] exact = new double[to - from];
        double total = 0;
        for (int k = 0; k < exact.length; k++) {
          exact[k] = weight((k + from - center + 0.5) * (1 / stretch));
          total += exact[k];
        }
        first[i] = from;
        weights[i] = new int[exact.length];
        for (int k = 0; k < exact.length; k++) {
          double share = total == 0 ? exact[k] : exact[k] / total;
          weights[i][k] = (int) (share * (1 << BITS) + (share < 0 ? -0.5 : 0.5));
        }
      }
    }
  }
}
