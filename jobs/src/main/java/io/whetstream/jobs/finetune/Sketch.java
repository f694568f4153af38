package io.whetstream.jobs.finetune;

import java.util.Arrays;

/**
 * What choosing partners needs of a pair.
 *
 * @param number of the pair in its bucket; slot for past pairs
 * @param vector int8, on the scale of its largest component: 8 bits cost the order of neighbours
 *     next to nothing and a quarter of the memory
 * @param norm Euclidean norm of {@code vector}
 * @param image first word of the image's digest
 * @param caption first word of the caption's digest
 * @param deadline event time after which the pair waits no longer
 * @param bytes of the whole pair in state
 */
@SuppressWarnings("ArrayRecordComponent") // millions of them: no copies
record Sketch(
    long number, byte[] vector, float norm, long image, long caption, long deadline, int bytes) {

  static Sketch of(long number, MinedPair pair, long deadline) {
    return new Sketch(
        number,
        pair.vector(),
        norm(pair.vector()),
        word(pair.imageDigest()),
        word(pair.captionDigest()),
        deadline,
        pair.bytes());
  }

  /** Cosine of two pairs' mining embeddings; 0 where one has none. */
  double cosine(Sketch other) {
    int dot = 0;
    byte[] a = vector;
    byte[] b = other.vector;
    for (int i = 0; i < a.length; i++) {
      dot += a[i] * b[i];
    }
    return cosine(other, dot);
  }

  /** The same where the product of the two vectors is known. */
  double cosine(Sketch other, int dot) {
    return norm == 0 || other.norm == 0 ? 0 : dot / ((double) norm * other.norm);
  }

  /** Whether the two show or say the same, so that neither is a negative of the other. */
  boolean sameContent(Sketch other) {
    return image == other.image || caption == other.caption;
  }

  Sketch withNumber(long other) {
    return new Sketch(other, vector, norm, image, caption, deadline, bytes);
  }

  /** Heap taken, in bytes, about. */
  int heap() {
    return 96 + vector.length;
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
        && Arrays.equals(vector, that.vector);
  }

  @Override
  public int hashCode() {
    return Long.hashCode(number) * 31 + Arrays.hashCode(vector);
  }
}
