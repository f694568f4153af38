package io.whetstream.model.image;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * A BMP file as the JDK's reader wants it: it believes fields that writers leave at zero or fill
 * with anything, because other readers do without them.
 */
final class BmpFile {
  private static final int FILE_HEADER = 14;
  private static final int INFO_HEADER = 40;
  private static final int OS2_HEADER = 64;

  private BmpFile() {}

  /** The same pixels, with a file size and an offset that are true and a header that it knows. */
  static byte[] repaired(byte[] encoded) {
    if (encoded.length < FILE_HEADER + INFO_HEADER) {
      return encoded;
    }
    byte[] bytes = encoded.clone();
    ByteBuffer fields = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    int header = fields.getInt(FILE_HEADER);
    int depth = fields.getShort(FILE_HEADER + 14);
    if (fields.getInt(10) == 0 && header >= INFO_HEADER && depth >= 24) {
      // No palette: pixels follow the header.
      fields.putInt(10, FILE_HEADER + header);
    }
    if (header == OS2_HEADER) {
      // Its first 40 bytes are those of the usual header.
      int cut = OS2_HEADER - INFO_HEADER;
      fields.putInt(10, fields.getInt(10) - cut);
      fields.putInt(FILE_HEADER, INFO_HEADER);
      System.arraycopy(
          bytes,
          FILE_HEADER + OS2_HEADER,
          bytes,
          FILE_HEADER + INFO_HEADER,
          bytes.length - FILE_HEADER - OS2_HEADER);
      bytes = Arrays.copyOf(bytes, bytes.length - cut);
      fields = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }
    fields.putInt(2, bytes.length);
    return bytes;
  }
}
