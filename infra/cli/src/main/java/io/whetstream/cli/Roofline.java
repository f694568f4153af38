package io.whetstream.cli;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import io.whetstream.model.lvlm.Lvlm;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * What the machine could do: products of two 2048 x 2048 matrices in 32 bit on the threads that
 * train, measured between steps, because a machine's speed changes while one looks.
 */
final class Roofline implements AutoCloseable {
  private static final int SIDE = 2048;
  private static final double FLOPS = 2.0 * SIDE * SIDE * SIDE;

  private final Lvlm model;
  private final NDArray matrix;
  private final List<Double> gflops = new ArrayList<>();

  Roofline(Lvlm model) {
    this.model = model;
    SplittableRandom random = new SplittableRandom(1);
    float[] values = new float[SIDE * SIDE];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextDouble(-1, 1);
    }
    matrix = model.manager().create(values, new Shape(SIDE, SIDE));
    time();
  }

  void measure() {
    gflops.add(FLOPS / time() / 1e9);
  }

  private double time() {
    return model.step(
        step -> {
          long start = System.nanoTime();
          NDArray product = matrix.matMul(matrix);
          // Reading an element waits for a device that computes on its own.
          if (Float.isNaN(product.getFloat(0, 0))) {
            throw new IllegalStateException("a product of finite matrices is not finite");
          }
          return (System.nanoTime() - start) / 1e9;
        });
  }

  /** Median of the measurements, in 10^9 floating-point operations per second. */
  double median() {
    return Quantiles.of(gflops, 0.5);
  }

  @Override
  public void close() {
    matrix.close();
  }
}
