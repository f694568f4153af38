package io.whetstream.connectors.format;

import java.nio.charset.StandardCharsets;

/** Base64 (RFC 4648, padded) into the middle of an array, which the JDK's encoder cannot do. */
final class Base64Writer {
  private static final byte[] ALPHABET =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
          .getBytes(StandardCharsets.US_ASCII);

  private Base64Writer() {}

  static int length(int bytes) {
    return Math.multiplyExact((bytes + 2) / 3, 4);
  }

  /** Returns the index after the last character. */
  static int write(byte[] from, byte[] to, int at) {
    int i = 0;
    int o = at;
    int whole = from.length / 3 * 3;
    while (i < whole) {
      int bits = (from[i] & 0xFF) << 16 | (from[i + 1] & 0xFF) << 8 | (from[i + 2] & 0xFF);
      to[o] = ALPHABET[bits >>> 18];
      to[o + 1] = ALPHABET[bits >>> 12 & 63];
      to[o + 2] = ALPHABET[bits >>> 6 & 63];
      to[o + 3] = ALPHABET[bits & 63];
      i += 3;
      o += 4;
    }
    int left = from.length - whole;
    if (left > 0) {
      int bits = (from[i] & 0xFF) << 16 | (left == 2 ? (from[i + 1] & 0xFF) << 8 : 0);
      to[o] = ALPHABET[bits >>> 18];
      to[o + 1] = ALPHABET[bits >>> 12 & 63];
      to[o + 2] = left == 2 ? ALPHABET[bits >>> 6 & 63] : (byte) '=';
      to[o + 3] = '=';
      o += 4;
    }
    return o;
  }
}
