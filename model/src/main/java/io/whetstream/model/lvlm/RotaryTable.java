package io.whetstream.model.lvlm;

import io.whetstream.model.checkpoint.TextConfig;

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
  public static RotaryTable of(TextConfig text) {
    int half = text.headDim() / 2;
    double[] frequencies = text.rotaryFrequencies();
    float[] cos = new float[text.maxPositions() * half];
    float[] sin = new float[text.maxPositions() * half];
    for (int position = 0; position < text.maxPositions(); position++) {
      for (int i = 0; i < half; i++) {
        float angle = position * (float) frequencies[i];
        cos[position * half + i] = (float) Math.cos(angle);
        sin[position * half + i] = (float) Math.sin(angle);
      }
    }
    return new RotaryTable(cos, sin);
  }
}
