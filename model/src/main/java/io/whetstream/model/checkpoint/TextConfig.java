package io.whetstream.model.checkpoint;

/**
 * The decoder.
 *
 * @param vocabSize rows of the embedding
 * @param hiddenSize width
 * @param intermediateSize inner width of the MLP
 * @param layers decoder layers
 * @param heads query heads
 * @param keyValueHeads key and value heads; divides {@code heads}
 * @param headDim width of a head
 * @param rmsNormEps epsilon of the norms
 * @param ropeTheta base of the rotary frequencies
 * @param ropeScaling scaling of the rotary frequencies, or null
 * @param maxPositions longest sequence
 * @param activation Hugging Face's name of the MLP's activation
 * @param attentionBias whether the attention's projections of queries, keys and values have biases
 * @param mlpBias whether the MLP's projections have biases
 * @param bosTokenId begin of sequence, or -1
 * @param eosTokenId end of sequence (the first, where the configuration lists several), or -1
 * @param outputBias whether the attention's output projection has a bias
 * @param headNorms whether queries and keys are normalised head by head before they are turned
 * @param multimodalRope how three axes of positions share a head, or null for one axis
 */
public record TextConfig(
    int vocabSize,
    int hiddenSize,
    int intermediateSize,
    int layers,
    int heads,
    int keyValueHeads,
    int headDim,
    double rmsNormEps,
    double ropeTheta,
    RopeScaling ropeScaling,
    int maxPositions,
    String activation,
    boolean attentionBias,
    boolean mlpBias,
    int bosTokenId,
    int eosTokenId,
    boolean outputBias,
    boolean headNorms,
    MultimodalRope multimodalRope) {

  /** A decoder of Llama's kind: all four projections of attention are alike, one axis. */
  public TextConfig(
      int vocabSize,
      int hiddenSize,
      int intermediateSize,
      int layers,
      int heads,
      int keyValueHeads,
      int headDim,
      double rmsNormEps,
      double ropeTheta,
      RopeScaling ropeScaling,
      int maxPositions,
      String activation,
      boolean attentionBias,
      boolean mlpBias,
      int bosTokenId,
      int eosTokenId) {
    this(
        vocabSize,
        hiddenSize,
        intermediateSize,
        layers,
        heads,
        keyValueHeads,
        headDim,
        rmsNormEps,
        ropeTheta,
        ropeScaling,
        maxPositions,
        activation,
        attentionBias,
        mlpBias,
        bosTokenId,
        eosTokenId,
        attentionBias,
        false,
        null);
  }

  /**
   * Radians a position turns each pair of a head's dimensions, {@code headDim / 2} values. RoFormer
   * (2104.09864) with the scaling rules of transformers' {@code modeling_rope_utils}.
   */
  public double[] rotaryFrequencies() {
    double[] frequencies = new double[headDim / 2];
    for (int i = 0; i < frequencies.length; i++) {
      frequencies[i] = scaled(1 / Math.pow(ropeTheta, 2.0 * i / headDim));
    }
    return frequencies;
  }

  private double scaled(double frequency) {
    if (ropeScaling == null || ropeScaling.type().equals("dynamic")) {
      return frequency;
    }
    double slow = frequency / ropeScaling.factor();
    if (ropeScaling.type().equals("linear")) {
      return slow;
    }
    double turns = ropeScaling.originalMaxPositions() * frequency / (2 * Math.PI);
    double low = ropeScaling.lowFrequencyFactor();
    double high = ropeScaling.highFrequencyFactor();
    double share = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return (1 - share) * slow + share * frequency;
  }
}
