package io.whetstream.model.lvlm;

/**
 * One sequence for the decoder.
 *
 * @param ids token ids [L]; the image token id stands once per image feature, a negative id {@code
 *     -(k+1)} for soft vector k of the row's side
 * @param image index of the image whose features are spliced in, or -1
 * @param textSide whether soft vectors are those of the text side
 * @param readout the position whose final state is the embedding, or -1 for none
 * @param targets the token that each position should predict next, -1 where it counts for nothing;
 *     null for none at all
 * @param seed what LoRA dropout of this row is derived from
 */
public record Row(long[] ids, int image, boolean textSide, int readout, long[] targets, long seed) {

  /** A row that is only embedded, at its last position. */
  public static Row embedding(long[] ids, int image, boolean textSide) {
    return new Row(ids, image, textSide, ids.length - 1, null, 0);
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
    return new Row(java.util.Arrays.copyOf(ids, readout + 1), image, textSide, readout, null, seed);
  }

  public int length() {
    return ids.length;
  }
}
