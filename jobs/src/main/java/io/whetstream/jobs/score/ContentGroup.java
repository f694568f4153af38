package io.whetstream.jobs.score;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.text.Normalizer;
import java.util.Locale;
import java.util.regex.Pattern;

/**
 * Near-duplicate group of a content. It depends on the content only, never on an adapter, so that a
 * model update neither splits nor joins groups.
 *
 * <p>Images: difference hash (D. Krawetz, "Kind of like that", hackerfactor.com, 2013) on each
 * colour channel, so that a red and a green circle differ; a difference must exceed {@value
 * #NOISE_LEVELS} of 255 levels, because the sign of a smaller one is noise on flat areas. Texts:
 * SHA-256 of the text in NFKC, lower case, letters and digits only, single spaces.
 *
 * @param image whether this is the hash of an image
 * @param red 64 bits of an image's red channel, or the first 64 of a text's hash
 * @param green as red
 * @param blue as red
 */
public record ContentGroup(boolean image, long red, long green, long blue) {
  private static final int NOISE_LEVELS = 8;
  private static final int CELLS = 8;
  private static final Pattern NOT_WORDS = Pattern.compile("[^\\p{L}\\p{N}]+");

  /** The number of differing bits, or a number above every bound if the sides differ. */
  int distance(ContentGroup other) {
    if (image != other.image) {
      return Integer.MAX_VALUE;
    }
    return Long.bitCount(red ^ other.red)
        + Long.bitCount(green ^ other.green)
        + Long.bitCount(blue ^ other.blue);
  }

  /**
   * Whether two contents belong together: equal texts, or images at most {@code maxBits} of 192
   * bits apart.
   */
  boolean isNear(ContentGroup other, int maxBits) {
    return image == other.image && distance(other) <= (image ? maxBits : 0);
  }

  /** The group of an image given as rows of red, green, blue bytes. */
  static ContentGroup of(int width, int height, byte[] rgb) {
    long[] channels = new long[3];
    for (int channel = 0; channel < 3; channel++) {
      double[][] means = means(width, height, rgb, channel);
      long bits = 0;
      for (int y = 0; y < CELLS; y++) {
        for (int x = 0; x < CELLS; x++) {
          bits = bits << 1 | (means[y][x + 1] - means[y][x] > NOISE_LEVELS ? 1 : 0);
        }
      }
      channels[channel] = bits;
    }
    return new ContentGroup(true, channels[0], channels[1], channels[2]);
  }

  /** Mean of one channel over {@value #CELLS} rows and one column more of equal cells. */
  private static double[][] means(int width, int height, byte[] rgb, int channel) {
    int columns = CELLS + 1;
    double[][] means = new double[CELLS][columns];
    for (int row = 0; row < CELLS; row++) {
      int top = row * height / CELLS;
      int bottom = Math.max(top + 1, (row + 1) * height / CELLS);
      for (int column = 0; column < columns; column++) {
        int left = column * width / columns;
        int right = Math.max(left + 1, (column + 1) * width / columns);
        long sum = 0;
        for (int y = top; y < bottom; y++) {
          for (int x = left; x < right; x++) {
            sum += rgb[(y * width + x) * 3 + channel] & 0xFF;
          }
        }
        means[row][column] = (double) sum / ((long) (bottom - top) * (right - left));
      }
    }
    return means;
  }

  static ContentGroup of(String text) {
    String plain = Normalizer.normalize(text, Normalizer.Form.NFKC).toLowerCase(Locale.ROOT);
    String words = NOT_WORDS.matcher(plain).replaceAll(" ").strip();
    // A text of signs only would otherwise fall together with every other such text.
    ByteBuffer hash =
        ByteBuffer.wrap(
            Digests.hash((words.isEmpty() ? plain : words).getBytes(StandardCharsets.UTF_8)));
    return new ContentGroup(false, hash.getLong(), hash.getLong(), hash.getLong());
  }
}
