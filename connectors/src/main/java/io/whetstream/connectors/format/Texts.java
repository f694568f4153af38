package io.whetstream.connectors.format;

/** Small helpers on texts and UTF-8. */
final class Texts {
  private Texts() {}

  static String shorten(String text, int length) {
    return text.length() <= length ? text : text.substring(0, length) + "…";
  }

  /**
   * Index of the first byte that is not well-formed UTF-8 (Unicode 15, table 3-7), or -1. JSON
   * parsers pass over some malformed forms; a value that is not UTF-8 is better reported than
   * repaired.
   */
  static int firstMalformed(byte[] bytes, int from, int to) {
    int i = from;
    while (i < to) {
      int b = bytes[i];
      if (b >= 0) {
        i++;
        continue;
      }
      int length;
      int low = 0x80;
      int high = 0xBF;
      b &= 0xFF;
      if (b >= 0xC2 && b <= 0xDF) {
        length = 2;
      } else if (b >= 0xE0 && b <= 0xEF) {
        length = 3;
        low = b == 0xE0 ? 0xA0 : 0x80;
        high = b == 0xED ? 0x9F : 0xBF;
      } else if (b >= 0xF0 && b <= 0xF4) {
        length = 4;
        low = b == 0xF0 ? 0x90 : 0x80;
        high = b == 0xF4 ? 0x8F : 0xBF;
      } else {
        return i;
      }
      if (i + length > to) {
        return i;
      }
      int second = bytes[i + 1] & 0xFF;
      if (second < low || second > high) {
        return i;
      }
      for (int k = 2; k < length; k++) {
        if ((bytes[i + k] & 0xC0) != 0x80) {
          return i;
        }
      }
      i += length;
    }
    return -1;
  }
}
