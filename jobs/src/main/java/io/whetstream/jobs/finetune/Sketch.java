package io.whetstream.jobs.finetune;

import java.util.Arrays;

/**
 * What choosing partners needs of a pair.
 *
 * @param number of the pair in its bucket; slot for past pairs
 * @param vector int8, on the scale of its largest component: 8 bits cost the order of neighbours
 *     next to nothing and a quarter of the memory
 * @param norm Euclidean norm of {@code vector}
 * @param words {@link CaptionFeatures} of the caption; empty where captions do not count
 * @param wordsNorm Euclidean norm of {@code words}
 * @param image first word of the image's digest
 * @param caption first word of the caption's digest
 * @param deadline event time after which the pair waits no longer
 * @param bytes of the whole pair in state
 */
@SuppressWarnings("ArrayRecordComponent") // millions of them: no copies
record Sketch(
    long number,
    byte[] vector,
    float norm,
    byte[] words,
    float wordsNorm,
    long image,
    long caption,
    long deadline,
    int bytes) {

  /**
   * @param words features of the caption, or none
   */
  static Sketch of(long number, MinedPair pair, byte[] words, long deadline) {
    return new Sketch(
        number,
        pair.vector(),
        norm(pair.vector()),
        words,
        norm(words),
        word(pair.imageDigest()),
        word(pair.captionDigest()),
        deadline,
        pair.bytes());
  }

  /** Cosine of two mining embeddings; 0 where one is empty. */
  static double cosine(byte[] one, byte[] other) {
    double norms = (double) norm(one) * norm(other);
    return norms == 0 || one.length != other.length ? 0 : dot(one, other) / norms;
  }

  /** Cosine of two pairs' mining embeddings; 0 where one has none. */
  double cosine(Sketch other) {
    return cosine(other, dot(vector, other.vector));
  }

  /** The same where the product of the two vectors is known. */
  double cosine(Sketch other, int dot) {
    return norm == 0 || other.norm == 0 ? 0 : dot / ((double) norm * other.norm);
  }

  /**
   * How hard two pairs are to tell apart: the mean of the cosines of pictures and of captions, the
   * latter with a weight; that of the pictures where one has no features of its caption.
   */
  double likeness(Sketch other, double captionWeight) {
    return comparesWords(other)
        ? likeness(other, cosine(other), dot(words, other.words), captionWeight)
        : cosine(other);
  }

  /** Whether both have features of their captions. */
  boolean comparesWords(Sketch other) {
    return wordsNorm > 0 && other.wordsNorm > 0;
  }

  /** Their likeness where the pictures' cosine and the product of the captions' are known. */
  double likeness(Sketch other, double cosine, int dot, double captionWeight) {
    double captions = dot / ((double) wordsNorm * other.wordsNorm);
    return (cosine + captionWeight * captions) / (1 + captionWeight);
  }

  private static int dot(byte[] a, byte[] b) {
    int dot = 0;
    for (int i = 0; i < a.length; i++) {
      dot += a[i] * b[i];
    }
    return dot;
  }

  /** Whether the two show or say the same, so that neither is a negative of the other. */
  boolean sameContent(Sketch other) {
    return image == other.image || caption == other.caption;
  }

  Sketch withNumber(long other) {
    return new Sketch(other, vector, norm, words, wordsNorm, image, caption, deadline, bytes);
  }

  /** Heap taken, in bytes, about. */
  int heap() {
    return 120 + vector.length + words.length;
  }

  static byte[] quantize(float[] vector) {
    float largest = 0;
    for (float value : vector) {
      largest = Math.max(largest, Math.abs(value));
    }
    byte[] quantized = new byte[vector.length];
    if (largest > 0 && Float.isFinite(largest)) {
      float scale = 127 / largest;
      for (int i = 0; i < vector.length; i++) {
        quantized[i] = (byte) Math.round(vector[i] * scale);
      }
    }
    return quantized;
  }

  static float norm(byte[] vector) {
    long squares = 0;
    for (byte value : vector) {
      squares += value * value;
    }
    return (float) Math.sqrt((double) squares);
  }

  private static long word(String digest) {
    return Long.parseUnsignedLong(digest.substring(0, 16), 16);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Sketch that
        && number == that.number
        && image == that.image
        && caption == that.caption
        && deadline == that.deadline
        && bytes == that.bytes
        && Arrays.equals(vector, that.vector)
        && Arrays.equals(words, that.words);
  }

  @Override
  public int hashCode() {
    return Long.hashCode(number) * 31 + Arrays.hashCode(vector);
  }
}
