package io.whetstream.connectors.format;

import com.fasterxml.jackson.core.JsonParser;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;

/**
 * A JSON value being read.
 *
 * @param value all of it; the parser reads from this array
 */
record JsonInput(JsonParser parser, byte[] value) {
  private static final int SCHEME_WITHIN = 32;
  private static final int MAX_URI = 8192;

  /**
   * The text at hand as bytes if it is base64 or a {@code data:} URI, else as a URI. Base64 is
   * decoded from where it lies: that is the one copy.
   */
  Object bytesOrUri(String field) throws IOException {
    long start = parser.currentTokenLocation().getByteOffset() + 1;
    if (start > 0 && start <= value.length) {
      int from = (int) start;
      int to = from;
      int firstColon = -1;
      while (to < value.length && value[to] != '"' && value[to] != '\\') {
        if (value[to] == ':' && firstColon < 0) {
          firstColon = to;
        }
        to++;
      }
      if (to < value.length && value[to] == '"' && value[from - 1] == '"') {
        return interpret(value, from, to, firstColon, field);
      }
    }
    // Escapes inside, or another encoding than UTF-8: rare, so a detour through a text.
    byte[] text = parser.getText().getBytes(StandardCharsets.UTF_8);
    int colon = -1;
    for (int i = 0; i < text.length && colon < 0; i++) {
      colon = text[i] == ':' ? i : -1;
    }
    return interpret(text, 0, text.length, colon, field);
  }

  private static Object interpret(byte[] text, int from, int to, int colon, String field) {
    if (colon >= from && colon - from <= SCHEME_WITHIN) {
      if (isData(text, from, to)) {
        int comma = colon;
        while (comma < to && text[comma] != ',') {
          comma++;
        }
        String head = new String(text, from, comma - from, StandardCharsets.US_ASCII);
        if (comma == to || !head.endsWith(";base64")) {
          throw new BadInputException("field " + field + ": a data URI must be base64");
        }
        return decode(text, comma + 1, to, field);
      }
      if (to - from > MAX_URI) {
        throw new BadInputException(
            "field " + field + " is a URI of " + (to - from) + " bytes; at most " + MAX_URI);
      }
      return new String(text, from, to - from, StandardCharsets.UTF_8);
    }
    return decode(text, from, to, field);
  }

  private static boolean isData(byte[] text, int from, int to) {
    return to - from > 5
        && text[from] == 'd'
        && text[from + 1] == 'a'
        && text[from + 2] == 't'
        && text[from + 3] == 'a'
        && text[from + 4] == ':';
  }

  private static byte[] decode(byte[] text, int from, int to, String field) {
    try {
      return decode(ByteBuffer.wrap(text, from, to - from));
    } catch (IllegalArgumentException strict) {
      // Broken into lines, or in the alphabet for URLs.
      try {
        return decode(ByteBuffer.wrap(plain(text, from, to)));
      } catch (IllegalArgumentException e) {
        throw new BadInputException(
            "field " + field + " is neither base64 nor a URI: " + e.getMessage(), e);
      }
    }
  }

  private static byte[] decode(ByteBuffer base64) {
    ByteBuffer decoded = Base64.getDecoder().decode(base64);
    return decoded.remaining() == decoded.array().length
        ? decoded.array()
        : Arrays.copyOf(decoded.array(), decoded.remaining());
  }

  /** Without white space, in the usual alphabet. */
  private static byte[] plain(byte[] text, int from, int to) {
    byte[] plain = new byte[to - from];
    int length = 0;
    for (int i = from; i < to; i++) {
      byte b = text[i];
      if (b != ' ' && b != '\n' && b != '\r' && b != '\t') {
        plain[length++] = b == '-' ? (byte) '+' : b == '_' ? (byte) '/' : b;
      }
    }
    return Arrays.copyOf(plain, length);
  }
}
