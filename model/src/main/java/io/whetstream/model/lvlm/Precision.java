package io.whetstream.model.lvlm;

/** The floating-point type of weights and activations inside the TorchScript passes. */
public enum Precision {
  /** 32 bit throughout. */
  FP32(6, 4),
  /**
   * bfloat16 weights and activations; adapter, optimizer, embeddings and losses stay 32 bit. Faster
   * where the processor has AMX or a GPU is used.
   */
  BF16(15, 2),
  /** 64 bit throughout: for checking gradients by finite differences. */
  FP64(7, 8);

  private final int scalarType;
  private final int bytes;

  Precision(int scalarType, int bytes) {
    this.scalarType = scalarType;
    this.bytes = bytes;
  }

  /** Bytes of one value. */
  int bytes() {
    return bytes;
  }

  /** PyTorch's number of the type, as serialised TorchScript names it. */
  int scalarType() {
    return scalarType;
  }
}
