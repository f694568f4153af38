package io.whetstream.model.onnx;

import java.util.HashMap;
import java.util.Map;

/**
 * Linear layers in 8-bit integers: weights symmetric per output channel, activations symmetric per
 * row, so that a row's result does not depend on its neighbours. Uses an operator that only ONNX
 * Runtime has, and only on the CPU.
 */
final class Int8Math implements LinearMath {
  /** Activations are unsigned bytes around it: signed times signed has no fast kernel. */
  private static final int ZERO_POINT = 128;

  /** A matrix as unsigned bytes around {@link #ZERO_POINT}, and its rows' scales, [.., 1]. */
  private record Quantised(String bytes, String scale) {}

  private final GraphBuilder g;
  private final Operators o;
  private final Map<String, Quantised> quantised = new HashMap<>();

  Int8Math(GraphBuilder builder, Operators operators) {
    g = builder;
    o = operators;
  }

  /**
   * The operators on the weight alone are folded when the graph is loaded. What rows are scaled by
   * does not change their bytes: it only scales the result.
   */
  @Override
  public Scaled multiply(Scaled scaled, String weight, long inputs) {
    String x = scaled.unscaled();
    String columnScale =
        g.node("Div", g.node("Max", largest(weight, 0), g.scalar(1e-12f)), g.scalar(127f));
    String columns = o.cast(g.node("Round", g.node("Div", weight, columnScale)), GraphBuilder.INT8);
    Quantised rows = quantised(x, inputs);
    String product = multiply(rows, columns, g.node("Squeeze", columnScale, g.constant(0)));
    return new Scaled(
        product, scaled.factor() == null ? rows.scale : g.node("Mul", rows.scale, scaled.factor()));
  }

  @Override
  public Scaled normalised(String x, String inverse, String weight) {
    return new Scaled(g.node("Mul", x, weight), inverse);
  }

  @Override
  public int narrowType() {
    return GraphBuilder.INT8;
  }

  /** Both products leave the same factor, as they multiply the same bytes. */
  @Override
  public String narrow(Scaled x, String a, long inputs) {
    return multiply(quantised(x.unscaled(), inputs), a, g.scalar(1f));
  }

  /** Rows in 8 bit, each with a scale of its own; made once for each matrix. */
  private Quantised quantised(String x, long inputs) {
    return quantised.computeIfAbsent(
        x,
        key -> {
          // A row of zeros has scale 0: whatever its bytes are then, its products are 0.
          String scale = g.node("Div", largest(x, -1), g.scalar(127f));
          String zeros =
              g.node(
                  "Expand", g.scalarByte(GraphBuilder.UINT8, ZERO_POINT), g.node("Shape", scale));
          String bytes =
              g.node(
                  "QuantizeLinear",
                  GraphBuilder.attributes().integer("axis", -1).integer("block_size", inputs),
                  x,
                  scale,
                  zeros);
          return new Quantised(bytes, scale);
        });
  }

  /** The product without the rows' scales. */
  private String multiply(Quantised rows, String columns, String columnScales) {
    return g.contributed(
        "MatMulIntegerToFloat",
        rows.bytes,
        columns,
        g.scalar(1f),
        columnScales,
        g.scalarByte(GraphBuilder.UINT8, ZERO_POINT));
  }

  /**
   * Largest magnitude along an axis, which is kept with length 1. Both ends are looked for, because
   * that writes no second tensor as magnitudes would be.
   */
  private String largest(String value, int axis) {
    return g.node(
        "Max",
        o.reduce("ReduceMax", value, axis),
        g.node("Neg", o.reduce("ReduceMin", value, axis)));
  }
}
