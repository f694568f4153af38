package io.whetstream.model.image;

import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * What a PNG file's chunks say. A file without its last chunk is truncated.
 *
 * @param exif content of the eXIf chunk, or null
 */
@SuppressWarnings("ArrayRecordComponent") // Never compared.
record PngFile(int width, int height, byte[] exif) {
  private static final int IHDR = 0x49484452;
  private static final int EXIF = 0x65584966;
  private static final int IEND = 0x49454e44;

  static PngFile parse(byte[] bytes) {
    if (bytes.length < 33) {
      throw new BadImage("the picture is truncated");
    }
    ByteBuffer buffer = ByteBuffer.wrap(bytes);
    if (buffer.getInt(12) != IHDR) {
      throw new BadImage("the PNG file does not begin with its header");
    }
    byte[] exif = null;
    int at = 8;
    while (at + 12 <= bytes.length) {
      int length = buffer.getInt(at);
      int type = buffer.getInt(at + 4);
      if (length < 0 || length > bytes.length - at - 12) {
        break;
      }
      if (type == EXIF) {
        exif = Arrays.copyOfRange(bytes, at + 8, at + 8 + length);
      } else if (type == IEND) {
        return new PngFile(buffer.getInt(16), buffer.getInt(20), exif);
      }
      at += 12 + length;
    }
    throw new BadImage("the picture is truncated");
  }
}
