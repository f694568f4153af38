package io.whetstream.jobs.score;

import io.whetstream.model.image.PdqHash;
import io.whetstream.model.image.RgbImage;
import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.text.Normalizer;
import java.util.Locale;
import java.util.regex.Pattern;

/**
 * Near-duplicate group of a content. It depends on the content only, never on an adapter, so that a
 * model update neither splits nor joins groups.
 *
 * <p>Images: {@link PdqHash}, which knows nothing of colour, and the mean colour of 4 x 4 cells
 * beside it, so that a red and a green circle differ. An image of which PDQ says that there is too
 * little to compare, a blank one or a gradient, is near nothing but an image of the same pixels.
 * Other size, encoding, brightness, blur or noise leave an image in its group; cutting its edges
 * moves what it shows, and at PDQ's recommended bound about one in ten leaves its group when 2 %
 * are cut off.
 *
 * <p>Texts: SHA-256 of the text in NFKC, lower case, letters and digits only, single spaces.
 *
 * @param image whether this is of an image
 * @param quality of an image's hash, see {@link PdqHash#quality}
 * @param hash0 256 bits: an image's hash, or the digest of what is only near its equals
 * @param hash1 as {@code hash0}
 * @param hash2 as {@code hash0}
 * @param hash3 as {@code hash0}
 * @param colour0 a signed byte for each of Cb and Cr of each cell, rows top to bottom
 * @param colour1 as {@code colour0}
 * @param colour2 as {@code colour0}
 * @param colour3 as {@code colour0}
 */
public record ContentGroup(
    boolean image,
    int quality,
    long hash0,
    long hash1,
    long hash2,
    long hash3,
    long colour0,
    long colour1,
    long colour2,
    long colour3) {
  private static final int CELLS = 4;

  /** Levels by which a channel's mean may differ for reasons of encoding. */
  private static final int COLOUR_NOISE = 2;

  /** How much of the colour may be gone or have been added. */
  private static final double COLOUR_CHANGE = 0.5;

  private static final Pattern NOT_WORDS = Pattern.compile("[^\\p{L}\\p{N}]+");

  /** Whether likeness of this and another can be judged, and not only equality. */
  boolean isComparable() {
    return image && quality >= PdqHash.GOOD_QUALITY;
  }

  private PdqHash hash() {
    return new PdqHash(hash0, hash1, hash2, hash3, quality);
  }

  /** The number of differing bits. */
  int distance(ContentGroup other) {
    return hash().distance(other.hash());
  }

  /**
   * Whether two contents belong together: equal ones, or images of good quality and like colour at
   * most {@code maxBits} of 256 bits apart.
   */
  boolean isNear(ContentGroup other, int maxBits) {
    if (image != other.image || isComparable() != other.isComparable()) {
      return false;
    }
    return isComparable() ? distance(other) <= maxBits && hasColourOf(other) : distance(other) == 0;
  }

  private boolean hasColourOf(ContentGroup other) {
    byte[] mine = colours();
    byte[] theirs = other.colours();
    int difference = 0;
    int all = 0;
    int otherAll = 0;
    for (int i = 0; i < mine.length; i++) {
      difference += Math.max(0, Math.abs(mine[i] - theirs[i]) - COLOUR_NOISE);
      all += Math.abs(mine[i]);
      otherAll += Math.abs(theirs[i]);
    }
    return difference <= COLOUR_CHANGE * Math.max(all, otherAll);
  }

  private byte[] colours() {
    return ByteBuffer.allocate(4 * Long.BYTES)
        .putLong(colour0)
        .putLong(colour1)
        .putLong(colour2)
        .putLong(colour3)
        .array();
  }

  /** The group of a decoded image. */
  static ContentGroup of(RgbImage picture) {
    PdqHash pdq = PdqHash.of(picture);
    if (pdq.quality() < PdqHash.GOOD_QUALITY) {
      ByteBuffer pixels =
          ByteBuffer.allocate(2 * Integer.BYTES + picture.rgb().length)
              .putInt(picture.width())
              .putInt(picture.height())
              .put(picture.rgb());
      return exact(true, pdq.quality(), pixels.array());
    }
    ByteBuffer colours = ByteBuffer.wrap(colours(picture));
    return new ContentGroup(
        true,
        pdq.quality(),
        pdq.bits0(),
        pdq.bits1(),
        pdq.bits2(),
        pdq.bits3(),
        colours.getLong(),
        colours.getLong(),
        colours.getLong(),
        colours.getLong());
  }

  /** Cb and Cr (BT.601, from -128 to 127) of each cell. */
  private static byte[] colours(RgbImage picture) {
    byte[] colours = new byte[2 * CELLS * CELLS];
    for (int row = 0; row < CELLS; row++) {
      int top = row * picture.height() / CELLS;
      int bottom = Math.max(top + 1, (row + 1) * picture.height() / CELLS);
      for (int column = 0; column < CELLS; column++) {
        int left = column * picture.width() / CELLS;
        int right = Math.max(left + 1, (column + 1) * picture.width() / CELLS);
        long[] sums = new long[3];
        for (int y = top; y < bottom; y++) {
          for (int x = left; x < right; x++) {
            int at = 3 * (y * picture.width() + x);
            for (int channel = 0; channel < 3; channel++) {
              sums[channel] += picture.rgb()[at + channel] & 0xFF;
            }
          }
        }
        double pixels = (double) (bottom - top) * (right - left);
        double red = sums[0] / pixels;
        double green = sums[1] / pixels;
        double blue = sums[2] / pixels;
        int at = 2 * (row * CELLS + column);
        colours[at] = signed(-0.168736 * red - 0.331264 * green + 0.5 * blue);
        colours[at + 1] = signed(0.5 * red - 0.418688 * green - 0.081312 * blue);
      }
    }
    return colours;
  }

  private static byte signed(double value) {
    return (byte) Math.max(-128, Math.min(127, Math.round(value)));
  }

  /** The group of a text. */
  static ContentGroup of(String text) {
    String plain = Normalizer.normalize(text, Normalizer.Form.NFKC).toLowerCase(Locale.ROOT);
    String words = NOT_WORDS.matcher(plain).replaceAll(" ").strip();
    // A text of signs only would otherwise fall together with every other such text.
    return exact(false, 0, (words.isEmpty() ? plain : words).getBytes(StandardCharsets.UTF_8));
  }

  private static ContentGroup exact(boolean image, int quality, byte[] content) {
    ByteBuffer digest = ByteBuffer.wrap(Digests.hash(content));
    return new ContentGroup(
        image,
        quality,
        digest.getLong(),
        digest.getLong(),
        digest.getLong(),
        // As many bits as earlier releases kept of a text.
        0,
        0,
        0,
        0,
        0);
  }

  void write(DataOutput out) throws IOException {
    out.writeBoolean(image);
    out.writeByte(quality);
    for (long word : new long[] {hash0, hash1, hash2, hash3, colour0, colour1, colour2, colour3}) {
      out.writeLong(word);
    }
  }

  static ContentGroup read(DataInput in) throws IOException {
    return new ContentGroup(
        in.readBoolean(),
        in.readByte(),
        in.readLong(),
        in.readLong(),
        in.readLong(),
        in.readLong(),
        in.readLong(),
        in.readLong(),
        in.readLong(),
        in.readLong());
  }

  /**
   * Reads what the first version of the state holds: 192 bits, for a text the same as now, for an
   * image those of another hash, which nothing is near to.
   */
  static ContentGroup readFirstVersion(DataInput in) throws IOException {
    return new ContentGroup(
        in.readBoolean(), 0, in.readLong(), in.readLong(), in.readLong(), 0, 0, 0, 0, 0);
  }
}
