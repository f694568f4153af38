package io.whetstream.model.onnx;

/** How linear layers multiply: in 32 bit ({@link Float32Math}) or in 8 ({@link Int8Math}). */
interface LinearMath {
  /**
   * A product.
   *
   * @param weight [inputs, outputs]
   */
  Scaled multiply(Scaled x, String weight, long inputs);

  /**
   * The end of a normalisation.
   *
   * @param inverse what rows are multiplied by, [.., 1]
   * @param weight what columns are multiplied by
   */
  Scaled normalised(String x, String inverse, String weight);

  /** Element type of LoRA's A. */
  int narrowType();

  /**
   * The product with LoRA's A, less the factor that {@link #multiply} of the same matrix leaves.
   *
   * @param a [inputs, rank]
   */
  String narrow(Scaled x, String a, long inputs);
}
