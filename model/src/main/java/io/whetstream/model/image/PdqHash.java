package io.whetstream.model.image;

import java.util.Arrays;

/**
 * PDQ, a perceptual hash: pictures that look alike have hashes few bits apart. Written after its
 * description ("The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm",
 * Facebook, 2019): luminance, two passes of a box filter each way ("Jarosz"), 64 x 64 samples, the
 * 16 x 16 lowest frequencies of a discrete cosine transform without the constant ones, one bit for
 * each that says whether it is above their median.
 *
 * <p>The quality says how much there is to compare: the sum of differences between neighbouring
 * samples. Of a blank picture the bits are noise, so hashes of low quality say nothing about
 * likeness; the description asks for {@value #GOOD_QUALITY}.
 *
 * @param bits0 0 to 63, most significant first
 * @param bits1 64 to 127
 * @param bits2 128 to 191
 * @param bits3 192 to 255
 * @param quality 0 to 100
 */
public record PdqHash(long bits0, long bits1, long bits2, long bits3, int quality) {
  /** Number of bits. */
  public static final int LENGTH = 256;

  /** Hashes of at least this quality can be compared. */
  public static final int GOOD_QUALITY = 50;

  /** Hashes at most this many bits apart are of the same picture, says the description. */
  public static final int SAME_PICTURE = 31;

  private static final int SAMPLES = 64;
  private static final int FREQUENCIES = 16;

  /** A larger picture is averaged down to this first. */
  private static final int LARGEST = 512;

  private static final int PASSES = 2;
  private static final float[][] COSINES = cosines();

  private static float[][] cosines() {
    float[][] matrix = new float[FREQUENCIES][SAMPLES];
    for (int i = 0; i < FREQUENCIES; i++) {
      for (int j = 0; j < SAMPLES; j++) {
        matrix[i][j] =
            (float)
                (Math.sqrt(2.0 / SAMPLES)
                    * Math.cos(Math.PI / 2 / SAMPLES * (i + 1) * (2 * j + 1)));
      }
    }
    return matrix;
  }

  /** The hash of a picture. */
  public static PdqHash of(RgbImage image) {
    int width = Math.min(LARGEST, image.width());
    int height = Math.min(LARGEST, image.height());
    float[] luma = luminance(image, width, height);
    float[] spare = new float[luma.length];
    int across = window(width);
    int down = window(height);
    for (int pass = 0; pass < PASSES; pass++) {
      for (int y = 0; y < height; y++) {
        box(luma, spare, y * width, 1, width, across);
      }
      for (int x = 0; x < width; x++) {
        box(spare, luma, x, width, height, down);
      }
    }
    float[][] samples = new float[SAMPLES][SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
      int y = (int) ((i + 0.5) * height / SAMPLES);
      for (int j = 0; j < SAMPLES; j++) {
        samples[i][j] = luma[y * width + (int) ((j + 0.5) * width / SAMPLES)];
      }
    }
    return of(frequencies(samples), quality(samples));
  }

  /** Luminance by area, 0 to 255. */
  private static float[] luminance(RgbImage image, int width, int height) {
    float[] luma = new float[width * height];
    byte[] rgb = image.rgb();
    for (int y = 0; y < height; y++) {
      int top = (int) ((long) y * image.height() / height);
      int bottom = (int) ((long) (y + 1) * image.height() / height);
      for (int x = 0; x < width; x++) {
        int left = (int) ((long) x * image.width() / width);
        int right = (int) ((long) (x + 1) * image.width() / width);
        double sum = 0;
        for (int v = top; v < bottom; v++) {
          for (int u = left; u < right; u++) {
            int at = 3 * (v * image.width() + u);
            sum +=
                0.299 * (rgb[at] & 0xFF)
                    + 0.587 * (rgb[at + 1] & 0xFF)
                    + 0.114 * (rgb[at + 2] & 0xFF);
          }
        }
        luma[y * width + x] = (float) (sum / ((long) (bottom - top) * (right - left)));
      }
    }
    return luma;
  }

  private static int window(int length) {
    return (length + 2 * SAMPLES - 1) / (2 * SAMPLES);
  }

  /** Means over {@code window} values around each, fewer at the ends. */
  private static void box(float[] in, float[] out, int start, int step, int length, int window) {
    int before = (window - 1) / 2;
    int after = window / 2;
    double sum = 0;
    for (int i = 0; i < Math.min(after, length); i++) {
      sum += in[start + i * step];
    }
    for (int i = 0; i < length; i++) {
      if (i + after < length) {
        sum += in[start + (i + after) * step];
      }
      if (i - before > 0) {
        sum -= in[start + (i - before - 1) * step];
      }
      int count = Math.min(length - 1, i + after) - Math.max(0, i - before) + 1;
      out[start + i * step] = (float) (sum / count);
    }
  }

  private static int quality(float[][] samples) {
    int sum = 0;
    for (int i = 0; i < SAMPLES; i++) {
      for (int j = 0; j < SAMPLES; j++) {
        if (i + 1 < SAMPLES) {
          sum += Math.abs((int) ((samples[i][j] - samples[i + 1][j]) * 100 / 255));
        }
        if (j + 1 < SAMPLES) {
          sum += Math.abs((int) ((samples[i][j] - samples[i][j + 1]) * 100 / 255));
        }
      }
    }
    return Math.min(100, sum / 90);
  }

  private static float[] frequencies(float[][] samples) {
    float[][] half = new float[FREQUENCIES][SAMPLES];
    for (int i = 0; i < FREQUENCIES; i++) {
      for (int j = 0; j < SAMPLES; j++) {
        float sum = 0;
        for (int k = 0; k < SAMPLES; k++) {
          sum += COSINES[i][k] * samples[k][j];
        }
        half[i][j] = sum;
      }
    }
    float[] all = new float[FREQUENCIES * FREQUENCIES];
    for (int i = 0; i < FREQUENCIES; i++) {
      for (int j = 0; j < FREQUENCIES; j++) {
        float sum = 0;
        for (int k = 0; k < SAMPLES; k++) {
          sum += half[i][k] * COSINES[j][k];
        }
        all[i * FREQUENCIES + j] = sum;
      }
    }
    return all;
  }

  private static PdqHash of(float[] frequencies, int quality) {
    float[] sorted = frequencies.clone();
    Arrays.sort(sorted);
    float median = sorted[sorted.length / 2 - 1];
    long[] words = new long[LENGTH / Long.SIZE];
    for (int i = 0; i < LENGTH; i++) {
      words[i / Long.SIZE] = words[i / Long.SIZE] << 1 | (frequencies[i] > median ? 1 : 0);
    }
    return new PdqHash(words[0], words[1], words[2], words[3], quality);
  }

  /** The number of bits that differ. */
  public int distance(PdqHash other) {
    return Long.bitCount(bits0 ^ other.bits0)
        + Long.bitCount(bits1 ^ other.bits1)
        + Long.bitCount(bits2 ^ other.bits2)
        + Long.bitCount(bits3 ^ other.bits3);
  }
}
