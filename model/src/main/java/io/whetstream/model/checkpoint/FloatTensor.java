package io.whetstream.model.checkpoint;

import java.util.Arrays;

/**
 * A dense row-major tensor of 32-bit floats. Arrays are shared, not copied: whoever holds one
 * treats it as read-only. Two tensors are equal when shapes and the bits of all elements are.
 *
 * @param shape dimensions, empty for a scalar
 * @param data as many elements as the product of the dimensions
 */
@SuppressWarnings("ArrayRecordComponent") // equals and hashCode compare contents.
public record FloatTensor(long[] shape, float[] data) {
  public FloatTensor {
    long size = 1;
    for (long dimension : shape) {
      if (dimension < 0) {
        throw new IllegalArgumentException("negative dimension in " + Arrays.toString(shape));
      }
      size = Math.multiplyExact(size, dimension);
    }
    if (size != data.length) {
      throw new IllegalArgumentException(
          "shape " + Arrays.toString(shape) + " needs " + size + " elements, not " + data.length);
    }
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof FloatTensor that
        && Arrays.equals(shape, that.shape)
        && Arrays.equals(data, that.data);
  }

  @Override
  public int hashCode() {
    return 31 * Arrays.hashCode(shape) + Arrays.hashCode(data);
  }

  @Override
  public String toString() {
    return "FloatTensor" + Arrays.toString(shape);
  }
}
