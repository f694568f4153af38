package io.whetstream.model.onnx;

import io.whetstream.model.checkpoint.Activation;
import io.whetstream.model.checkpoint.Architecture.Linear;
import io.whetstream.model.checkpoint.Architecture.Norm;
import io.whetstream.model.checkpoint.Architecture.NormKind;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.DType;
import io.whetstream.model.checkpoint.TensorInfo;

/** What the parts of a graph are made of: weights where they lie, layers, norms, activations. */
final class Operators {
  private static final float SLOPE = (float) Activation.QUICK_GELU_SLOPE;

  private final GraphBuilder g;
  private final Checkpoint checkpoint;
  private final WeightFiles files;
  private final LinearMath math;

  Operators(GraphBuilder builder, Checkpoint checkpoint, WeightFiles files, boolean int8) {
    g = builder;
    this.checkpoint = checkpoint;
    this.files = files;
    math = int8 ? new Int8Math(builder, this) : new Float32Math(this);
  }

  // Weights

  /** A tensor as it is stored. */
  String raw(String name) {
    TensorInfo info = checkpoint.info(name);
    return g.external(
        name,
        info.dtype(),
        info.shape(),
        files.location(name),
        info.begin(),
        info.end() - info.begin());
  }

  /** Whether it is stored in 32 bit. */
  boolean isFloat(String name) {
    return checkpoint.info(name).dtype() == DType.F32;
  }

  /** A tensor in 32 bit. */
  String weight(String name) {
    String raw = raw(name);
    return isFloat(name) ? raw : cast(raw, GraphBuilder.FLOAT);
  }

  /** The weight of a linear layer, [in, out]. */
  String transposed(Linear linear) {
    return g.node(
        "Transpose", GraphBuilder.attributes().integers("perm", 1, 0), weight(linear.weightName()));
  }

  // Layers

  String node(String operator, String... operands) {
    return g.node(operator, operands);
  }

  String cast(String value, int type) {
    return g.node("Cast", GraphBuilder.attributes().integer("to", type), value);
  }

  String values(Scaled x) {
    return x.factor() == null ? x.unscaled() : g.node("Mul", x.unscaled(), x.factor());
  }

  Scaled multiply(Scaled x, String weight, long inputs) {
    return math.multiply(x, weight, inputs);
  }

  /** A linear layer without its bias. */
  Scaled product(Scaled x, Linear linear) {
    return multiply(x, transposed(linear), linear.inputs());
  }

  /** A linear layer with its bias. */
  String linear(String x, Linear linear) {
    String product = values(product(Scaled.of(x), linear));
    return linear.bias() ? g.node("Add", product, weight(linear.biasName())) : product;
  }

  /** A linear layer of a constant vector. */
  String affine(String vector, Linear linear) {
    String product = g.node("MatMul", vector, transposed(linear));
    return linear.bias() ? g.node("Add", product, weight(linear.biasName())) : product;
  }

  /** The bias of a linear layer that also does for the bias of the normalisation before it. */
  String shift(Norm norm, Linear linear) {
    return affine(weight(norm.biasName()), linear);
  }

  /** A linear layer with its LoRA: {@code x W + (x A) B}. */
  Scaled adapted(Scaled x, Linear linear) {
    // A name of its own for each rank: ONNX Runtime plans memory by the names, and modules that
    // an adapter leaves out keep rank 0.
    String rank = "r." + linear.name();
    String a = g.overridable(linear.name() + ".lora_A", math.narrowType(), linear.inputs(), rank);
    String b = g.overridable(linear.name() + ".lora_B", GraphBuilder.FLOAT, rank, linear.outputs());
    Scaled base = product(x, linear);
    String low = math.narrow(x, a, linear.inputs());
    Scaled sum = new Scaled(g.node("Gemm", low, b, base.unscaled()), base.factor());
    return linear.bias() ? Scaled.of(g.node("Add", values(sum), weight(linear.biasName()))) : sum;
  }

  /**
   * Two linear layers with an activation between. {@code x sigmoid(a x)} is {@code silu(a x) / a},
   * and ONNX Runtime has a faster kernel for silu; the weights take the factors.
   *
   * @param shift bias of the first layer, with what else does for one; null for none
   */
  String perceptron(Scaled x, Linear first, Linear second, Activation activation, String shift) {
    boolean quick = activation == Activation.QUICK_GELU;
    String slope = g.scalar(SLOPE);
    String up = quick ? g.node("Mul", transposed(first), slope) : transposed(first);
    String down = quick ? g.node("Div", transposed(second), slope) : transposed(second);
    String y = values(multiply(x, up, first.inputs()));
    if (shift != null) {
      y = g.node("Add", y, quick ? g.node("Mul", shift, slope) : shift);
    }
    y = activation(quick ? Activation.SILU : activation, y);
    y = values(multiply(Scaled.of(y), down, second.inputs()));
    return second.bias() ? g.node("Add", y, weight(second.biasName())) : y;
  }

  String activation(Activation activation, String x) {
    return switch (activation) {
      case QUICK_GELU -> g.node("Mul", x, g.node("Sigmoid", g.node("Mul", x, g.scalar(SLOPE))));
      case GELU -> g.node("Gelu", x);
      case GELU_TANH -> g.node("Gelu", GraphBuilder.attributes().string("approximate", "tanh"), x);
      case SILU -> g.node("Mul", x, g.node("Sigmoid", x));
      case RELU -> g.node("Relu", x);
    };
  }

  // Norms

  /** Over one axis, which is kept with length 1. */
  String reduce(String operator, String value, int axis) {
    return g.node(
        operator, GraphBuilder.attributes().integer("keepdims", 1), value, g.constant(axis));
  }

  /** Of operators that ONNX Runtime vectorises on the CPU: its own works number by number. */
  Scaled rmsNorm(String x, Norm norm) {
    String meanSquare = reduce("ReduceMean", g.node("Mul", x, x), -1);
    String root = g.node("Sqrt", g.node("Add", meanSquare, g.scalar((float) norm.epsilon())));
    return math.normalised(x, g.node("Reciprocal", root), weight(norm.weightName()));
  }

  /**
   * Layer normalisation without its bias, as RMS normalisation of what is centred: the same by
   * definition. The layers after it take the bias into theirs.
   */
  Scaled layerNorm(String x, Norm norm) {
    return rmsNorm(g.node("Sub", x, reduce("ReduceMean", x, -1)), norm);
  }

  /** Either normalisation with all it has. */
  String norm(String x, Norm norm) {
    return norm.kind() == NormKind.RMS
        ? values(rmsNorm(x, norm))
        : g.node("Add", values(layerNorm(x, norm)), weight(norm.biasName()));
  }

  /** To length 1, as an output of the graph. */
  void unitLength(String x, String output) {
    String norm = reduce("ReduceL2", x, -1);
    g.nodeTo(output, "Div", GraphBuilder.attributes(), x, g.node("Max", norm, g.scalar(1e-12f)));
  }
}
