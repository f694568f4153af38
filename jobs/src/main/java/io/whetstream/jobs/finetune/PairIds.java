package io.whetstream.jobs.finetune;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** Hashes that decide a pair's fate, so that it never depends on when or where it is seen. */
final class PairIds {
  private PairIds() {}

  /** The first 128 bits of SHA-256 of an id, as two words. */
  record Hash(long high, long low) {}

  static Hash hash(String id) {
    ByteBuffer digest = ByteBuffer.wrap(sha256(id.getBytes(StandardCharsets.UTF_8)));
    return new Hash(digest.getLong(), digest.getLong());
  }

  /** Whether a pair is held out, for a share of all ids. */
  static boolean heldOut(String id, double share) {
    return share > 0 && unit(hash(id).low()) < share;
  }

  /** A content digest, 128 bits in hexadecimal. */
  static String digest(byte[] content) {
    return HexFormat.of().formatHex(sha256(content), 0, 16);
  }

  /**
   * A well-mixed word from a seed and two counters (Steele et al. 2014, SplitMix64's finaliser).
   */
  static long mix(long seed, long first, long second) {
    return finish(finish(finish(seed + 0x9E3779B97F4A7C15L) + first) + second);
  }

  /** A word as a number in [0, 1). */
  static double unit(long word) {
    return (word >>> 11) * 0x1.0p-53;
  }

  private static long finish(long word) {
    long z = (word ^ (word >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }

  private static byte[] sha256(byte[] content) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(content);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }
}
