package io.whetstream.model.image;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.stream.Collectors;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/**
 * A PNG file taken apart: what its chunks say, and the file without those that pixels do not need,
 * which the JDK's reader reads strictly. A file without its last chunk is truncated.
 *
 * @param bare the header, palette, data and end
 */
@SuppressWarnings("ArrayRecordComponent") // Never compared.
record PngFile(int width, int height, byte[] bare, Orientation orientation) {
  private static final int IHDR = 0x49484452;
  private static final int PLTE = 0x504c5445;
  private static final int EXIF = 0x65584966;
  private static final int TEXT = 0x74455874;
  private static final int COMPRESSED_TEXT = 0x7a545874;
  private static final int INTERNATIONAL_TEXT = 0x69545874;
  private static final int IEND = 0x49454e44;

  /** Bit of a chunk's type that says that a picture can be shown without it. */
  private static final int ANCILLARY = 0x20000000;

  private static final int PALETTE_COLOUR = 3;
  private static final String XMP = "XML:com.adobe.xmp";
  private static final String RAW_EXIF = "Raw profile type exif";
  private static final int MAX_TEXT = 1 << 20;

  static PngFile parse(byte[] bytes) {
    if (bytes.length < 33) {
      throw new BadImage("the picture is truncated");
    }
    ByteBuffer buffer = ByteBuffer.wrap(bytes);
    if (buffer.getInt(12) != IHDR) {
      throw new BadImage("the PNG file does not begin with its header");
    }
    ByteArrayOutputStream bare = new ByteArrayOutputStream(bytes.length);
    bare.write(bytes, 0, 8);
    byte[] exif = null;
    byte[] rawExif = null;
    byte[] xmp = null;
    int at = 8;
    while (at + 12 <= bytes.length) {
      int length = buffer.getInt(at);
      int type = buffer.getInt(at + 4);
      if (length < 0 || length > bytes.length - at - 12) {
        break;
      }
      // The palette of a picture that needs none is a suggestion.
      if ((type & ANCILLARY) == 0 && (type != PLTE || bytes[25] == PALETTE_COLOUR)) {
        bare.write(bytes, at, 12 + length);
      }
      if (type == EXIF) {
        exif = Arrays.copyOfRange(bytes, at + 8, at + 8 + length);
      } else if (type == TEXT || type == COMPRESSED_TEXT || type == INTERNATIONAL_TEXT) {
        byte[] data = Arrays.copyOfRange(bytes, at + 8, at + 8 + length);
        String keyword = untilZero(data, 0);
        if (keyword.equals(XMP)) {
          xmp = text(type, data, keyword.length() + 1);
        } else if (keyword.equals(RAW_EXIF)) {
          rawExif = fromHex(text(type, data, keyword.length() + 1));
        }
      } else if (type == IEND) {
        Orientation orientation = Orientation.of(exif == null ? rawExif : exif, xmp);
        return new PngFile(buffer.getInt(16), buffer.getInt(20), bare.toByteArray(), orientation);
      }
      at += 12 + length;
    }
    throw new BadImage("the picture is truncated");
  }

  private static String untilZero(byte[] data, int from) {
    int end = from;
    while (end < data.length && data[end] != 0) {
      end++;
    }
    return new String(data, from, end - from, StandardCharsets.ISO_8859_1);
  }

  /** The text of a chunk after its keyword; nothing where the chunk is damaged. */
  private static byte[] text(int type, byte[] data, int from) {
    int at = from;
    boolean compressed = type == COMPRESSED_TEXT;
    if (type == COMPRESSED_TEXT) {
      at++;
    } else if (type == INTERNATIONAL_TEXT) {
      compressed = at < data.length && data[at] != 0;
      at += 2;
      for (int skipped = 0; skipped < 2 && at < data.length; skipped++) {
        at += untilZero(data, at).length() + 1;
      }
    }
    byte[] rest = Arrays.copyOfRange(data, Math.min(at, data.length), data.length);
    return compressed ? inflate(rest) : rest;
  }

  private static byte[] inflate(byte[] data) {
    Inflater inflater = new Inflater();
    try {
      inflater.setInput(data);
      byte[] out = new byte[MAX_TEXT];
      return Arrays.copyOf(out, inflater.inflate(out));
    } catch (DataFormatException e) {
      return new byte[0];
    } finally {
      inflater.end();
    }
  }

  /** As ImageMagick writes it: a line of its own for nothing, name and length, then digits. */
  private static byte[] fromHex(byte[] text) {
    try {
      return HexFormat.of()
          .parseHex(
              new String(text, StandardCharsets.ISO_8859_1)
                  .lines()
                  .skip(3)
                  .collect(Collectors.joining()));
    } catch (IllegalArgumentException e) {
      return null;
    }
  }
}
