package io.whetstream.model.checkpoint;

import java.util.Arrays;
import java.util.Objects;

/**
 * Where one tensor lies in a safetensors file.
 *
 * @param name name in that file
 * @param dtype element type
 * @param shape dimensions, empty for a scalar; shared, not copied: treat it as read-only
 * @param begin absolute offset of the first byte in the file
 * @param end absolute offset behind the last byte
 */
@SuppressWarnings("ArrayRecordComponent") // equals and hashCode compare contents.
public record TensorInfo(String name, DType dtype, long[] shape, long begin, long end) {

  /** Number of elements. */
  public long size() {
    return (end - begin) / dtype.bytes();
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof TensorInfo that
        && name.equals(that.name)
        && dtype == that.dtype
        && Arrays.equals(shape, that.shape)
        && begin == that.begin
        && end == that.end;
  }

  @Override
  public int hashCode() {
    return Objects.hash(name, dtype, Arrays.hashCode(shape), begin, end);
  }

  @Override
  public String toString() {
    return name + " " + dtype + Arrays.toString(shape) + " at " + begin + ".." + end;
  }
}
