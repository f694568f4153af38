package io.whetstream.jobs.table;

import io.whetstream.jobs.score.ScoringModel;
import io.whetstream.model.BadInputException;
import java.util.Arrays;
import java.util.HexFormat;

/**
 * A vector that says which adapter made it: {@code VECTOR_SEARCH} hands over one column alone, and
 * vectors of two adapters must never be compared.
 *
 * <p>It is the vector [d] followed by {@value #NAME} whole numbers below 2^24, which a float holds
 * exactly: the 256 bits of the adapter's digest, 24 at a time from the first, the last ones filled
 * up with zeros. For the base each of them is -1.
 */
final class Probe {
  static final int NAME = 11;
  private static final int BYTES = 3;

  private Probe() {}

  /** The vector with the digest behind it. */
  static float[] of(float[] vector, String digest) {
    float[] probe = Arrays.copyOf(vector, vector.length + NAME);
    if (digest.equals(ScoringModel.BASE)) {
      Arrays.fill(probe, vector.length, probe.length, -1);
      return probe;
    }
    byte[] bytes = Arrays.copyOf(HexFormat.of().parseHex(digest), NAME * BYTES);
    for (int i = 0; i < NAME; i++) {
      int bits = 0;
      for (int b = 0; b < BYTES; b++) {
        bits = bits << 8 | (bytes[i * BYTES + b] & 0xFF);
      }
      probe[vector.length + i] = bits;
    }
    return probe;
  }

  /**
   * The digest behind a vector.
   *
   * @param dimension of the vector
   * @throws BadInputException if this is no probe of such a vector
   */
  static String digest(float[] probe, int dimension) {
    if (probe.length != dimension + NAME) {
      throw new BadInputException(
          "a vector of "
              + probe.length
              + " values was given to search with; give the column probe of ML_PREDICT ("
              + (dimension + NAME)
              + " values), which says which adapter made it");
    }
    byte[] bytes = new byte[NAME * BYTES];
    boolean base = true;
    for (int i = 0; i < NAME; i++) {
      float value = probe[dimension + i];
      base &= value == -1;
      int bits = (int) value;
      if (!base && (bits != value || bits < 0 || bits >= 1 << 24)) {
        throw new BadInputException(
            "the vector to search with ends in " + value + ", which names no adapter");
      }
      for (int b = 0; b < BYTES; b++) {
        bytes[i * BYTES + b] = (byte) (bits >> 8 * (BYTES - 1 - b));
      }
    }
    return base ? ScoringModel.BASE : HexFormat.of().formatHex(bytes, 0, 32);
  }
}
