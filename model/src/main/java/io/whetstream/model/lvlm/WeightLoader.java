package io.whetstream.model.lvlm;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.whetstream.model.checkpoint.DType;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.IntBuffer;
import java.nio.ShortBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Brings weights into native memory, from the file piece by piece straight to where they stay, cast
 * on the way: what is needed beside them is one piece and, while it is folded, one weight twice.
 */
final class WeightLoader implements AutoCloseable {
  /** Elements cast at once; one piece stays in a core's cache or near it. */
  private static final int PIECE = 8 << 20;

  private final Lvlm model;
  private final WeightSource source;
  private final NDManager manager;
  private final NDManager host;
  private final NDArray like;
  private final ByteBuffer room = ByteBuffer.allocateDirect(PIECE);
  private final ByteBuffer widened =
      ByteBuffer.allocateDirect(2 * PIECE).order(ByteOrder.nativeOrder());
  private long elements;

  WeightLoader(Lvlm model, WeightSource source) {
    this.model = model;
    this.source = source;
    manager = model.manager().newSubManager();
    host = Lvlm.host(manager);
    like = manager.zeros(new Shape(1));
  }

  /** Bytes of all weights so far, as they stay. */
  long bytes() {
    return elements * model.precision().bytes();
  }

  /**
   * The arrays of a list's slots in their order, as the passes use them.
   *
   * @param folded whether norms are folded into what follows them: in the decoder
   */
  NDList load(WeightList list, boolean folded) {
    NDList weights = new NDList();
    list.before().forEach(slot -> weights.add(load(slot, weights)));
    for (List<WeightSlot> layer : list.layers()) {
      List<NDArray> arrays = new ArrayList<>();
      layer.forEach(slot -> arrays.add(load(slot, weights)));
      weights.addAll(folded ? fold(layer, arrays) : arrays);
    }
    list.after().forEach(slot -> weights.add(load(slot, weights)));
    return weights;
  }

  private NDArray load(WeightSlot slot, List<NDArray> before) {
    if (slot.sameAs() >= 0) {
      return before.get(slot.sameAs());
    }
    NDArray weight = room(slot.shape());
    elements += weight.getShape().size();
    long at = 0;
    for (WeightSlot.Part part : slot.parts()) {
      if (part.rows() == null) {
        at = fill(weight, part, at);
      } else {
        at = fillRows(weight, part, at);
      }
    }
    weight.attach(model.manager());
    return weight;
  }

  /** Puts a part where it belongs and says where the next one does. */
  private long fill(NDArray weight, WeightSlot.Part part, long at) {
    WeightSource from = part.fixed() == null ? source : WeightSource.of(fixed -> part.fixed());
    DType type = from.type(part);
    long[] next = {at};
    from.read(
        part,
        room,
        bytes -> {
          fill(weight, next[0], bytes, type);
          next[0] += bytes.remaining() / type.bytes();
        });
    return next[0];
  }

  private void fill(NDArray weight, long at, ByteBuffer bytes, DType type) {
    ByteBuffer values = type == DType.BF16 ? widened(bytes) : bytes;
    Shape shape = new Shape(bytes.remaining() / type.bytes());
    try (NDArray array = manager.create(values, shape, dataType(type))) {
      place(weight, at, array);
    }
  }

  /** bfloat16 as 32 bit, of which it is the upper half: DJL makes no arrays of it. */
  private ByteBuffer widened(ByteBuffer brains) {
    ShortBuffer from = brains.asShortBuffer();
    IntBuffer to = widened.asIntBuffer();
    int count = from.remaining();
    for (int i = 0; i < count; i++) {
      to.put(i, from.get(i) << 16);
    }
    return widened.slice(0, count * Integer.BYTES);
  }

  private void place(NDArray weight, long at, NDArray values) {
    try (NDArray begin = host.create(at)) {
      model.call("place", new NDList(weight, begin, values)).close();
    }
  }

  private long fillRows(NDArray weight, WeightSlot.Part part, long at) {
    long[] order = Arrays.stream(part.rows()).asLongStream().toArray();
    try (NDArray stored = room(part.shape());
        NDArray rows = manager.create(order, new Shape(order.length))) {
      fill(stored, part, 0);
      try (NDList chosen = model.call("rows", new NDList(stored, rows))) {
        place(weight, at, chosen.head());
        return at + chosen.head().getShape().size();
      }
    }
  }

  private NDArray room(long[] shape) {
    try (NDArray sizes = host.create(shape, new Shape(shape.length))) {
      return model.call("room", new NDList(sizes, like)).head();
    }
  }

  /** A layer of the decoder with what is folded and reordered for speed. */
  private List<NDArray> fold(List<WeightSlot> layer, List<NDArray> arrays) {
    NDArray[] norms = new NDArray[2];
    for (int i = 0; i < arrays.size(); i++) {
      norms[0] = layer.get(i).place().equals("norm1") ? arrays.get(i) : norms[0];
      norms[1] = layer.get(i).place().equals("norm2") ? arrays.get(i) : norms[1];
    }
    List<NDArray> folded = new ArrayList<>();
    for (int i = 0; i < arrays.size(); i++) {
      try (NDArray place = host.create((long) i)) {
        NDArray made =
            model.call("prepare", new NDList(arrays.get(i), place, norms[0], norms[1])).head();
        made.attach(model.manager());
        folded.add(made);
      }
      if (arrays.get(i) != norms[0] && arrays.get(i) != norms[1]) {
        arrays.get(i).close();
      }
    }
    Arrays.stream(norms).forEach(NDArray::close);
    return folded;
  }

  private static DataType dataType(DType type) {
    return switch (type) {
      case F16 -> DataType.FLOAT16;
      case F32, BF16 -> DataType.FLOAT32;
      case F64 -> DataType.FLOAT64;
      default -> throw new IllegalArgumentException("weights of type " + type);
    };
  }

  @Override
  public void close() {
    manager.close();
  }
}
