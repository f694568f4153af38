package io.whetstream.jobs.score;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import io.whetstream.model.onnx.OnnxRuntime;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * Scores of a micro-batch of item vectors against a slice of the watchlist: one matrix product in
 * ONNX Runtime.
 *
 * <p>The session is thread-safe and shared by the subtasks of a process; a {@link Workspace} holds
 * the reused direct buffers of one thread.
 */
final class MatrixProduct implements AutoCloseable {
  private final OrtEnvironment environment = OnnxRuntime.environment();
  private final OrtSession session;
  private final int dimension;

  MatrixProduct(int dimension) {
    this.dimension = dimension;
    try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
      // Subtasks are the unit of parallelism: a pool of its own would only oversubscribe the cores.
      options.setIntraOpNumThreads(1);
      options.setInterOpNumThreads(1);
      session = environment.createSession(productModel(dimension), options);
    } catch (OrtException e) {
      throw new IllegalStateException("could not create the matrix product", e);
    }
  }

  int dimension() {
    return dimension;
  }

  @Override
  public void close() {
    try {
      session.close();
    } catch (OrtException e) {
      throw new IllegalStateException("could not close the matrix product", e);
    }
  }

  /** Native-order direct memory for {@code rows} vectors. */
  static FloatBuffer allocate(long floats) {
    return ByteBuffer.allocateDirect(Math.toIntExact(floats * Float.BYTES))
        .order(ByteOrder.nativeOrder())
        .asFloatBuffer();
  }

  Workspace workspace(int maxItems) {
    return new Workspace(maxItems);
  }

  /** Buffers of one thread. Not thread-safe. */
  final class Workspace {
    private final int maxItems;
    private final FloatBuffer items;
    private FloatBuffer scores;
    private int itemCount;

    private Workspace(int maxItems) {
      this.maxItems = maxItems;
      this.items = allocate((long) maxItems * dimension);
      this.scores = allocate((long) maxItems * VectorSlabs.ROWS_PER_SLAB);
    }

    /** Loads the item vectors of the coming products, [n, dimension]. */
    void items(float[][] vectors) {
      if (vectors.length > maxItems) {
        throw new IllegalArgumentException(vectors.length + " items, room for " + maxItems);
      }
      items.clear();
      for (float[] vector : vectors) {
        items.put(vector);
      }
      itemCount = vectors.length;
    }

    /**
     * Scores of the loaded items against the first {@code rows} vectors of a slab.
     *
     * @return [items, rows] row-major, valid until the next call
     */
    FloatBuffer scores(FloatBuffer slab, int rows) {
      int wanted = itemCount * rows;
      if (scores.capacity() < wanted) {
        scores = allocate(wanted);
      }
      FloatBuffer out = scores.duplicate().clear().limit(wanted).slice();
      FloatBuffer left = items.duplicate().clear().limit(itemCount * dimension).slice();
      FloatBuffer right = slab.duplicate().clear().limit(rows * dimension).slice();
      try (OnnxTensor a =
              OnnxTensor.createTensor(environment, left, new long[] {itemCount, dimension});
          OnnxTensor b = OnnxTensor.createTensor(environment, right, new long[] {rows, dimension});
          OnnxTensor y = OnnxTensor.createTensor(environment, out, new long[] {itemCount, rows});
          OrtSession.Result result = session.run(Map.of("a", a, "b", b), Map.of("y", y))) {
        return out;
      } catch (OrtException e) {
        throw new IllegalStateException("matrix product of the watchlist failed", e);
      }
    }
  }

  /** y[m,n] = a[m,d] · b[n,d]ᵀ as an ONNX model, opset 13. */
  private static byte[] productModel(int dimension) {
    byte[] transposed =
        new Message().text(1, "transB").number(3, 1).number(20, /* INT */ 2).bytes();
    byte[] node =
        new Message()
            .text(1, "a")
            .text(1, "b")
            .text(2, "y")
            .text(4, "Gemm")
            .message(5, transposed)
            .bytes();
    byte[] graph =
        new Message()
            .message(1, node)
            .text(2, "watchlist")
            .message(11, matrix("a", "m", dimension))
            .message(11, matrix("b", "n", dimension))
            .message(12, matrix("y", "m", -1))
            .bytes();
    return new Message()
        .number(1, 8)
        .message(7, graph)
        .message(8, new Message().text(1, "").number(2, 13).bytes())
        .bytes();
  }

  private static byte[] matrix(String name, String rows, int columns) {
    Message second = columns < 0 ? new Message().text(2, "n") : new Message().number(1, columns);
    byte[] shape =
        new Message()
            .message(1, new Message().text(2, rows).bytes())
            .message(1, second.bytes())
            .bytes();
    byte[] tensor = new Message().number(1, /* FLOAT */ 1).message(2, shape).bytes();
    return new Message().text(1, name).message(2, new Message().message(1, tensor).bytes()).bytes();
  }

  /** The two protobuf wire types this model needs. */
  private static final class Message {
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    Message number(int field, long value) {
      varint(field << 3);
      varint(value);
      return this;
    }

    Message text(int field, String value) {
      return message(field, value.getBytes(StandardCharsets.UTF_8));
    }

    Message message(int field, byte[] value) {
      varint(field << 3 | 2);
      varint(value.length);
      out.writeBytes(value);
      return this;
    }

    byte[] bytes() {
      return out.toByteArray();
    }

    private void varint(long value) {
      long rest = value;
      while ((rest & ~0x7FL) != 0) {
        out.write((int) (rest & 0x7F | 0x80));
        rest >>>= 7;
      }
      out.write((int) rest);
    }
  }
}
