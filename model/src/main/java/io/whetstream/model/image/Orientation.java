package io.whetstream.model.image;

import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * How a picture must be turned to stand upright: tag 0x0112 of EXIF, values 1 to 8.
 *
 * @param value 1 for as it is
 */
record Orientation(int value) {
  private static final int TAG = 0x0112;

  /**
   * The orientation in EXIF data (a TIFF header and its first directory). Data that is absent or
   * damaged means upright: a picture is not refused for its annotations.
   */
  static Orientation of(byte[] exif) {
    if (exif == null) {
      return new Orientation(1);
    }
    try {
      ByteBuffer tiff = ByteBuffer.wrap(exif);
      tiff.order(exif[0] == 'I' ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN);
      tiff.position(tiff.getInt(4));
      for (int entries = tiff.getShort() & 0xffff; entries > 0; entries--) {
        int at = tiff.position();
        if ((tiff.getShort(at) & 0xffff) == TAG) {
          int value = tiff.getShort(at + 8) & 0xffff;
          return new Orientation(value >= 1 && value <= 8 ? value : 1);
        }
        tiff.position(at + 12);
      }
    } catch (IndexOutOfBoundsException | IllegalArgumentException | BufferUnderflowException e) {
      return new Orientation(1);
    }
    return new Orientation(1);
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
