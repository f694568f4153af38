package io.whetstream.model.onnx;

/** Linear layers in 32 bit. */
final class Float32Math implements LinearMath {
  private final Operators o;

  Float32Math(Operators operators) {
    o = operators;
  }

  @Override
  public Scaled multiply(Scaled x, String weight, long inputs) {
    return Scaled.of(o.node("MatMul", o.values(x), weight));
  }

  @Override
  public Scaled normalised(String x, String inverse, String weight) {
    return Scaled.of(o.node("Mul", o.node("Mul", x, inverse), weight));
  }

  @Override
  public int narrowType() {
    return GraphBuilder.FLOAT;
  }

  @Override
  public String narrow(Scaled x, String a, long inputs) {
    return o.node("MatMul", o.values(x), a);
  }
}
