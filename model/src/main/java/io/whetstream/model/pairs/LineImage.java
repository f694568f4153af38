package io.whetstream.model.pairs;

import io.whetstream.model.BadInputException;
import io.whetstream.model.image.ImageDecoder;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Base64;

/**
 * The image of a line: a file, or its bytes, which the line itself holds as base64 or as a {@code
 * data:} URI.
 *
 * @param file null where the line holds the image
 * @param bytes the encoded picture, or null; not to be changed
 */
@SuppressWarnings("ArrayRecordComponent") // Pictures are not compared, files are.
public record LineImage(Path file, byte[] bytes) {
  private static final int SHOWN = 60;

  /** No picture has fewer bytes; the digests that files are named after have. */
  private static final int SMALLEST = 34;

  private static final int LONGEST_PATH = 4096;
  private static final String DATA = "data:";

  /** An image in a file. */
  public static LineImage of(Path file) {
    return new LineImage(file, null);
  }

  /**
   * The picture that a text itself is, or null if it is none and so must be a path.
   *
   * @throws BadInputException if it begins as one and cannot be read
   */
  public static LineImage inline(String text) {
    if (text.regionMatches(true, 0, DATA, 0, DATA.length())) {
      int comma = text.indexOf(',');
      boolean base64 = comma > 0 && text.substring(0, comma).endsWith(";base64");
      byte[] bytes = base64 ? decoded(text.substring(comma + 1)) : null;
      if (bytes == null) {
        throw new BadInputException(
            "'" + shortened(text) + "' is no data: URI of a picture in base64");
      }
      return new LineImage(null, bytes);
    }
    // What begins as a picture in base64 does is not the path of a file.
    byte[] start = text.length() < 32 ? null : decoded(text.substring(0, 32));
    if (start == null || !ImageDecoder.isPicture(start)) {
      return null;
    }
    byte[] bytes = decoded(text);
    if (bytes == null || bytes.length < SMALLEST) {
      if (text.length() <= LONGEST_PATH) {
        // A name of random letters, perhaps.
        return null;
      }
      throw new BadInputException(
          "'"
              + shortened(text)
              + "' begins like a picture in base64, but is not base64 to its end");
    }
    return new LineImage(null, bytes);
  }

  /** Base64 as the world writes it: either alphabet, with or without padding and line breaks. */
  private static byte[] decoded(String text) {
    byte[] plain = text.replace('-', '+').replace('_', '/').getBytes(StandardCharsets.ISO_8859_1);
    int length = 0;
    for (byte each : plain) {
      if (each != '\r' && each != '\n' && each != ' ') {
        plain[length++] = each;
      }
    }
    try {
      return Base64.getDecoder().decode(java.util.Arrays.copyOf(plain, length));
    } catch (IllegalArgumentException e) {
      return null;
    }
  }

  /**
   * The encoded picture.
   *
   * @param where what names the line in an error
   * @throws BadInputException if its file cannot be read
   */
  public byte[] read(String where) {
    if (bytes != null) {
      return bytes;
    }
    try {
      return Files.readAllBytes(file);
    } catch (NoSuchFileException e) {
      throw new BadInputException(where + ": no image " + this, e);
    } catch (AccessDeniedException e) {
      throw new BadInputException(where + ": image " + this + " may not be read", e);
    } catch (IOException e) {
      String reason = String.valueOf(e.getMessage()).replace(file.toString(), toString());
      throw new BadInputException(where + ": image " + this + " cannot be read: " + reason, e);
    }
  }

  /**
   * How many bytes it has.
   *
   * @return -1 if its file is none that can be read
   */
  public long size() {
    if (bytes != null) {
      return bytes.length;
    }
    try {
      return Files.isRegularFile(file) && Files.isReadable(file) ? Files.size(file) : -1;
    } catch (IOException e) {
      return -1;
    }
  }

  /** A text in a message: its two ends where it is long. */
  static String shortened(String text) {
    return text.length() <= 2 * SHOWN + 20
        ? text
        : text.substring(0, SHOWN)
            + " ... ("
            + text.length()
            + " characters) ... "
            + text.substring(text.length() - SHOWN);
  }

  /** What to call it in a message. */
  @Override
  public String toString() {
    return file == null ? "in the line" : shortened(file.toString());
  }
}
