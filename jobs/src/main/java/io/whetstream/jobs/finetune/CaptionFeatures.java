package io.whetstream.jobs.finetune;

import java.util.Locale;

/**
 * What a caption is made of, as far as mining must know: how often each three letters stand in a
 * row in it, hashed into few signed counts whose products are those of the whole in the mean
 * (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning", section 2).
 * Letters and not words, so that no language must be known.
 */
final class CaptionFeatures {
  /** Of twice as many no more near-identical scenes find each other. */
  static final int SIZE = 128;

  private static final int LETTERS = 3;
  private static final byte[] NONE = new byte[0];

  private CaptionFeatures() {}

  /**
   * @param caption or null
   * @return [{@link #SIZE}] counts, cut off at what a byte holds; empty if there is nothing to
   *     count
   */
  static byte[] of(String caption) {
    if (caption == null || caption.isBlank()) {
      return NONE;
    }
    String text = " " + caption.strip().replaceAll("\\s+", " ").toLowerCase(Locale.ROOT) + " ";
    int[] counts = new int[SIZE];
    for (int i = 0; i + LETTERS <= text.length(); i++) {
      long letters = 0;
      for (int k = 0; k < LETTERS; k++) {
        letters = letters << Character.SIZE | text.charAt(i + k);
      }
      long hash = PairIds.mix(0, letters, 0);
      counts[(int) Math.floorMod(hash, (long) SIZE)] += hash < 0 ? -1 : 1;
    }
    byte[] features = new byte[SIZE];
    for (int i = 0; i < SIZE; i++) {
      features[i] = (byte) Math.max(-Byte.MAX_VALUE, Math.min(Byte.MAX_VALUE, counts[i]));
    }
    return features;
  }
}
