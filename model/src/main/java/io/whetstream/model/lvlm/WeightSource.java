package io.whetstream.model.lvlm;

import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.DType;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.function.Consumer;
import java.util.function.Function;

/** Where weights come from. */
interface WeightSource {
  /** The type that a tensor's elements have here. */
  DType type(WeightSlot.Part part);

  /**
   * Hands over a tensor's elements in order, little-endian, in direct buffers.
   *
   * @param room a direct buffer of a multiple of 8 bytes that may be used for it
   */
  void read(WeightSlot.Part part, ByteBuffer room, Consumer<ByteBuffer> use);

  /** Those of a model directory. */
  static WeightSource of(Checkpoint checkpoint) {
    return new WeightSource() {
      @Override
      public DType type(WeightSlot.Part part) {
        part.check(checkpoint);
        return checkpoint.info(part.name()).dtype();
      }

      @Override
      public void read(WeightSlot.Part part, ByteBuffer room, Consumer<ByteBuffer> use) {
        checkpoint.read(part.name(), room, use);
      }
    };
  }

  /** Those that are made up: values, row-major, for a tensor. */
  static WeightSource of(Function<WeightSlot.Part, float[]> values) {
    return new WeightSource() {
      @Override
      public DType type(WeightSlot.Part part) {
        return DType.F32;
      }

      @Override
      public void read(WeightSlot.Part part, ByteBuffer room, Consumer<ByteBuffer> use) {
        float[] all = values.apply(part);
        int most = room.capacity() / Float.BYTES;
        for (int begin = 0; begin < all.length; begin += most) {
          int count = Math.min(most, all.length - begin);
          room.clear().limit(count * Float.BYTES);
          ByteBuffer piece = room.slice().order(ByteOrder.LITTLE_ENDIAN);
          piece.asFloatBuffer().put(all, begin, count);
          use.accept(piece);
        }
      }
    };
  }
}
