package io.whetstream.model.image;

import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * How a picture must be turned to stand upright, values 1 to 8: tag 0x0112 of EXIF, or where that
 * has none {@code tiff:Orientation} of XMP. The rules are those of Pillow's {@code exif_transpose}.
 *
 * @param value 1 for as it is
 */
record Orientation(int value) {
  private static final int TAG = 0x0112;
  private static final String PREFIX = "Exif\0\0";
  private static final Pattern XMP = Pattern.compile("tiff:Orientation(=\"|>)([0-9])");
  private static final Orientation UPRIGHT = new Orientation(1);

  /**
   * The orientation that annotations give. What is absent or damaged gives none: a picture is not
   * refused for its annotations.
   *
   * @param exif a TIFF header and its first directory, perhaps after the prefix of JPEG files, or
   *     null
   * @param xmp a packet, or null
   */
  static Orientation of(byte[] exif, byte[] xmp) {
    Integer value = exif == null ? null : inExif(exif);
    if (value == null && xmp != null) {
      Matcher found = XMP.matcher(new String(xmp, StandardCharsets.ISO_8859_1));
      value = found.find() ? Integer.valueOf(found.group(2)) : null;
    }
    return value == null || value < 1 || value > 8 ? UPRIGHT : new Orientation(value);
  }

  /** What the tag holds, or null where there is none. */
  private static Integer inExif(byte[] exif) {
    int from = 0;
    while (new String(exif, from, Math.min(6, exif.length - from), StandardCharsets.ISO_8859_1)
        .equals(PREFIX)) {
      from += PREFIX.length();
    }
    try {
      ByteBuffer tiff = ByteBuffer.wrap(exif, from, exif.length - from).slice();
      tiff.order(tiff.get(0) == 'I' ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN);
      tiff.position(tiff.getInt(4));
      for (int entries = tiff.getShort() & 0xffff; entries > 0; entries--) {
        int at = tiff.position();
        if ((tiff.getShort(at) & 0xffff) == TAG) {
          return number(tiff, at);
        }
        tiff.position(at + 12);
      }
    } catch (IndexOutOfBoundsException | IllegalArgumentException | BufferUnderflowException e) {
      return null;
    }
    return null;
  }

  /** The first number of a directory entry, whatever its type; 0 for what is none. */
  private static int number(ByteBuffer tiff, int entry) {
    int type = tiff.getShort(entry + 2);
    long count = tiff.getInt(entry + 4) & 0xffffffffL;
    int width =
        switch (type) {
          case 6 -> 1;
          case 3, 8 -> 2;
          case 4, 9, 11, 13 -> 4;
          case 5, 10, 12, 16 -> 8;
          default -> 0;
        };
    if (width == 0 || count == 0) {
      return 0;
    }
    int at = width * count <= 4 ? entry + 8 : tiff.getInt(entry + 8);
    double value =
        switch (type) {
          case 6 -> tiff.get(at);
          case 3, 8 -> tiff.getShort(at);
          case 5, 10 -> (double) tiff.getInt(at) / tiff.getInt(at + 4);
          case 11 -> tiff.getFloat(at);
          case 12 -> tiff.getDouble(at);
          case 16 -> tiff.getLong(at);
          default -> tiff.getInt(at);
        };
    return value == (int) value ? (int) value : 0;
  }

  RgbImage apply(RgbImage image) {
    if (value == 1) {
      return image;
    }
    int w = image.width();
    int h = image.height();
    boolean turned = value >= 5;
    int width = turned ? h : w;
    int height = turned ? w : h;
    byte[] from = image.rgb();
    byte[] to = new byte[from.length];
    int out = 0;
    for (int y = 0; y < height; y++) {
      for (int x = 0; x < width; x++) {
        int sourceX =
            switch (value) {
              case 2, 3 -> w - 1 - x;
              case 5, 6 -> y;
              case 7, 8 -> w - 1 - y;
              default -> x;
            };
        int sourceY =
            switch (value) {
              case 3, 4 -> h - 1 - y;
              case 5, 8 -> x;
              case 6, 7 -> h - 1 - x;
              default -> y;
            };
        int in = 3 * (sourceY * w + sourceX);
        to[out++] = from[in];
        to[out++] = from[in + 1];
        to[out++] = from[in + 2];
      }
    }
    return new RgbImage(width, height, to);
  }
}
