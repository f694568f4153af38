package io.whetstream.model.lvlm;

/** The floating-point type of weights and activations inside the TorchScript passes. */
public enum Precision {
  /** 32 bit throughout. */
  FP32(6),
  /**
   * bfloat16 weights and activations; adapter, optimizer, embeddings and losses stay 32 bit. Faster
   * where the processor has AMX or a GPU is used.
   */
  BF16(15),
  /** 64 bit throughout: for checking gradients by finite differences. */
  FP64(7);

  private final int scalarType;

  Precision(int scalarType) {
    this.scalarType = scalarType;
  }

  /** PyTorch's number of the type, as serialised TorchScript names it. */
  int scalarType() {
    return scalarType;
  }
}
