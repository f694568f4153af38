package io.whetstream.model.image;

import static org.junit.jupiter.api.Assertions.assertEquals;

/** Comparisons of 8-bit values. */
final class Pixels {
  private Pixels() {}

  static int largestDifference(byte[] expected, byte[] actual) {
    assertEquals(expected.length, actual.length);
    int largest = 0;
    for (int i = 0; i < expected.length; i++) {
      largest = Math.max(largest, Math.abs((expected[i] & 0xff) - (actual[i] & 0xff)));
    }
    return largest;
  }

  /** From channel, row, column to row, column, channel. */
  static byte[] interleaved(byte[] planes) {
    int plane = planes.length / 3;
    byte[] rgb = new byte[planes.length];
    for (int i = 0; i < plane; i++) {
      for (int c = 0; c < 3; c++) {
        rgb[3 * i + c] = planes[c * plane + i];
      }
    }
    return rgb;
  }
}
