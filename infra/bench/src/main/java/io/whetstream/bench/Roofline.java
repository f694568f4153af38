package io.whetstream.bench;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import io.whetstream.model.lvlm.Lvlm;
import java.util.ArrayList;
import java.util.List;

/**
 * What the processor reaches on a 2048-cube fp32 matrix product with the same engine and threads:
 * the denominator of utilisation. Take a measurement between steps now and then, so that both see
 * the same machine, and divide by the median. Not thread-safe.
 */
public final class Roofline {
  private static final int CUBE = 2048;

  /** Floating-point operations of one product. */
  public static final double FLOPS = 2.0 * CUBE * CUBE * CUBE;

  private final Lvlm model;
  private final List<Double> gflops = new ArrayList<>();

  public Roofline(Lvlm model) {
    this.model = model;
    measure(); // the first product pays for threads and memory
    gflops.clear();
  }

  /**
   * One product: about 50 ms a core.
   *
   * @return its seconds
   */
  public double measure() {
    return model.step(
        step -> {
          NDArray a = step.ones(new Shape(CUBE, CUBE));
          NDArray b = step.ones(new Shape(CUBE, CUBE));
          long start = System.nanoTime();
          // Reading one value waits for a device that works asynchronously.
          a.matMul(b).get(0).getFloat(0);
          double seconds = (System.nanoTime() - start) / 1e9;
          gflops.add(FLOPS / seconds / 1e9);
          return seconds;
        });
  }

  /** Median of the measurements so far, in GFLOP/s. */
  public double median() {
    List<Double> sorted = gflops.stream().sorted().toList();
    return sorted.isEmpty() ? Double.NaN : sorted.get(sorted.size() / 2);
  }
}
