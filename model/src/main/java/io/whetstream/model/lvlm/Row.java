package io.whetstream.model.lvlm;

import java.util.Arrays;

/**
 * One sequence for the decoder. Arrays are shared, not copied: nobody changes them.
 *
 * @param ids token ids [L]; the image token id stands once per image feature, a negative id {@code
 *     -(k+1)} for soft vector k of the row's side
 * @param images indices of the images whose features take the places of the image tokens, one image
 *     after another, each as many as it has tokens; empty for none
 * @param positions where tokens stand for rotary embeddings, [1][L] or, with time, height and
 *     width, [3][L]; null for 0 to L-1
 * @param textSide whether soft vectors are those of the text side
 * @param readout the position whose final state is the embedding, or -1 for none
 * @param targets the token that each position should predict next, -1 where it counts for nothing;
 *     null for none at all
 * @param seed what LoRA dropout of this row is derived from
 */
@SuppressWarnings("ArrayRecordComponent") // Handed over, never compared.
public record Row(
    long[] ids,
    int[] images,
    long[][] positions,
    boolean textSide,
    int readout,
    long[] targets,
    long seed) {

  /** A row that is only embedded, at its last position. */
  public static Row embedding(long[] ids, boolean textSide, int... images) {
    return new Row(ids, images, null, textSide, ids.length - 1, null, 0);
  }

  /** How many positions predict a next token. */
  public int targetCount() {
    int count = 0;
    if (targets != null) {
      for (long target : targets) {
        if (target >= 0) {
          count++;
        }
      }
    }
    return count;
  }

  /** The same row cut after its read-out position, without next-token targets. */
  public Row prefix() {
    int length = readout + 1;
    long[][] cut =
        positions == null
            ? null
            : Arrays.stream(positions)
                .map(axis -> Arrays.copyOf(axis, length))
                .toArray(long[][]::new);
    return new Row(Arrays.copyOf(ids, length), images, cut, textSide, readout, null, seed);
  }

  /** The same row with dropout derived from something else. */
  public Row withSeed(long other) {
    return new Row(ids, images, positions, textSide, readout, targets, other);
  }

  public int length() {
    return ids.length;
  }
}
