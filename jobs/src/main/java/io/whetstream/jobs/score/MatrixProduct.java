package io.whetstream.jobs.score;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import io.whetstream.model.onnx.OnnxRuntime;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.IntBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;

/**
 * The filter in front of the scores: products of 8-bit codes of a micro-batch of item vectors with
 * those of the watchlist, exact in integers, slab by slab in ONNX Runtime. Where a watchlist is
 * large the slabs are divided among threads, as far as cores are idle.
 *
 * <p>Thread-safe and shared by the subtasks of a process.
 */
final class MatrixProduct implements AutoCloseable {
  /** Multiplications from which a further thread is worth waking: about a millisecond of one. */
  private static final long WORTH_A_THREAD = 100_000_000;

  private final OrtEnvironment environment = OnnxRuntime.environment();
  private final OrtSession session;
  private final int dimension;
  private final IdleCores idleCores;

  /** Results of one thread, reused. */
  private static final class Scratch {
    private ByteBuffer direct = allocate(0);
    private int[] products = new int[0];

    IntBuffer direct(int size) {
      if (direct.capacity() < size * Integer.BYTES) {
        direct = allocate((long) size * Integer.BYTES);
      }
      return direct.duplicate().order(ByteOrder.nativeOrder()).asIntBuffer().limit(size).slice();
    }

    int[] products(IntBuffer from) {
      if (products.length < from.remaining()) {
        products = new int[from.remaining()];
      }
      from.duplicate().get(products, 0, from.remaining());
      return products;
    }
  }

  private final ThreadLocal<Scratch> scratch = ThreadLocal.withInitial(Scratch::new);

  /**
   * @param cores may help; they stay the caller's
   */
  MatrixProduct(int dimension, IdleCores cores) {
    this.dimension = dimension;
    this.idleCores = cores;
    try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
      // Slabs are divided here, over threads that all subtasks share.
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

  /** Native-order direct memory. */
  static ByteBuffer allocate(long bytes) {
    return ByteBuffer.allocateDirect(Math.toIntExact(bytes)).order(ByteOrder.nativeOrder());
  }

  /** Item vectors in 8 bits, all in one scale. Immutable. */
  final class Items {
    private final ByteBuffer codes;
    private final int count;
    private final EightBits bits;

    private Items(float[][] vectors) {
      count = vectors.length;
      codes = allocate((long) dimension * count);
      float scale = EightBits.scaleOfItems(vectors);
      EightBits worst = new EightBits(scale, 0, 0, 0);
      for (int i = 0; i < count; i++) {
        worst = worst.worst(EightBits.ofItem(vectors[i], scale, codes, i, count));
      }
      bits = worst;
    }

    /** What holds for each of them. */
    EightBits bits() {
      return bits;
    }
  }

  /** Prepares item vectors, [n, dimension]. */
  Items items(float[][] vectors) {
    return new Items(vectors);
  }

  /** What is done with the products of a slab. */
  interface Work {
    /**
     * May be called by several threads at once, with different slabs.
     *
     * @param index of the slab
     * @param products of codes, [rows, items] row-major; only during the call
     */
    void multiplied(int index, VectorSlabs.Slab slab, int rows, int[] products);
  }

  /**
   * Multiplies the items with the first {@code rows} rows. Returns when {@code work} is done with
   * all slabs.
   */
  void multiply(Items items, VectorSlabs slabs, int rows, Work work) {
    int count = (rows + VectorSlabs.ROWS_PER_SLAB - 1) / VectorSlabs.ROWS_PER_SLAB;
    AtomicInteger next = new AtomicInteger();
    CountDownLatch left = new CountDownLatch(count);
    AtomicReference<RuntimeException> failure = new AtomicReference<>();
    Runnable some =
        () -> {
          for (int i = next.getAndIncrement(); i < count; i = next.getAndIncrement()) {
            try {
              VectorSlabs.Slab slab = slabs.slab(i);
              int here = Math.min(VectorSlabs.ROWS_PER_SLAB, rows - i * VectorSlabs.ROWS_PER_SLAB);
              slab.reading().lock();
              try {
                work.multiplied(i, slab, here, products(items, slab, here));
              } finally {
                slab.reading().unlock();
              }
            } catch (RuntimeException e) {
              failure.compareAndSet(null, e);
            } finally {
              left.countDown();
            }
          }
        };
    long multiplications = (long) rows * items.count * dimension;
    long worthIt =
        Math.min(Math.min(idleCores.count() - 1, count - 1), multiplications / WORTH_A_THREAD);
    for (int i = 0; i < worthIt; i++) {
      // One that no core is idle for finds nothing left.
      idleCores.execute(some);
    }
    some.run();
    await(left);
    if (failure.get() != null) {
      throw failure.get();
    }
  }

  /** Others are in the middle of a slab: they take a millisecond and read what is then reused. */
  private static void await(CountDownLatch left) {
    boolean interrupted = false;
    while (true) {
      try {
        left.await();
        break;
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private int[] products(Items items, VectorSlabs.Slab slab, int rows) {
    Scratch mine = scratch.get();
    IntBuffer out = mine.direct(rows * items.count);
    ByteBuffer left = slab.codes().duplicate().clear().limit(rows * dimension).slice();
    ByteBuffer right = items.codes.duplicate().clear();
    try (OnnxTensor a =
            OnnxTensor.createTensor(
                environment, left, new long[] {rows, dimension}, OnnxJavaType.UINT8);
        OnnxTensor b =
            OnnxTensor.createTensor(
                environment, right, new long[] {dimension, items.count}, OnnxJavaType.INT8);
        OnnxTensor y = OnnxTensor.createTensor(environment, out, new long[] {rows, items.count});
        OrtSession.Result result = session.run(Map.of("a", a, "b", b), Map.of("y", y))) {
      return mine.products(out);
    } catch (OrtException e) {
      throw new IllegalStateException("matrix product of the watchlist failed", e);
    }
  }

  /** y[m,n] = (a[m,d] - zero) . b[d,n] as an ONNX model, opset 13. */
  private static byte[] productModel(int dimension) {
    byte[] node =
        new Message()
            .text(1, "a")
            .text(1, "b")
            .text(1, "zero")
            .text(2, "y")
            .text(4, "MatMulInteger")
            .bytes();
    byte[] zero =
        new Message()
            .number(2, UINT8)
            .text(8, "zero")
            .message(9, new byte[] {(byte) EightBits.ZERO})
            .bytes();
    byte[] graph =
        new Message()
            .message(1, node)
            .text(2, "watchlist")
            .message(5, zero)
            .message(11, matrix("a", UINT8, named("m"), fixed(dimension)))
            .message(11, matrix("b", INT8, fixed(dimension), named("n")))
            .message(12, matrix("y", INT32, named("m"), named("n")))
            .bytes();
    return new Message()
        .number(1, 8)
        .message(7, graph)
        .message(8, new Message().text(1, "").number(2, 13).bytes())
        .bytes();
  }

  private static final int UINT8 = 2;
  private static final int INT8 = 3;
  private static final int INT32 = 6;

  private static byte[] named(String size) {
    return new Message().text(2, size).bytes();
  }

  private static byte[] fixed(int size) {
    return new Message().number(1, size).bytes();
  }

  private static byte[] matrix(String name, int type, byte[] rows, byte[] columns) {
    byte[] shape = new Message().message(1, rows).message(1, columns).bytes();
    byte[] tensor = new Message().number(1, type).message(2, shape).bytes();
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
