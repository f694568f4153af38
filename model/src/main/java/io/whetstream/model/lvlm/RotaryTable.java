package io.whetstream.model.lvlm;

import io.whetstream.model.checkpoint.Architecture.Rotary;

/**
 * Cosines and sines of rotary position embeddings (RoFormer, 2104.09864), with the scaling rules of
 * Llama configurations. Shared by both engines so that they agree to the last bit.
 *
 * @param cos [maxPositions, headDim / 2], row-major
 * @param sin the same
 */
public record RotaryTable(float[] cos, float[] sin) {

  /**
   * The table of this decoder. Frequencies and angles are rounded to 32 bit as Hugging Face rounds
   * them: at high positions the rounding is what the weights were trained with.
   */
  public static RotaryTable of(Rotary rotary) {
    int half = rotary.frequencies().size();
    float[] cos = new float[Math.multiplyExact(rotary.places(), half)];
    float[] sin = new float[cos.length];
    for (int position = 0; position < rotary.places(); position++) {
      for (int i = 0; i < half; i++) {
        float angle = position * rotary.frequencies().get(i).floatValue();
        cos[position * half + i] = (float) Math.cos(angle);
        sin[position * half + i] = (float) Math.sin(angle);
      }
    }
    return new RotaryTable(cos, sin);
  }
}
