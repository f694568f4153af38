package io.whetstream.model.lvlm;

import io.whetstream.model.BadInputException;
import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.checkpoint.Architecture.Connector;
import io.whetstream.model.checkpoint.Architecture.Decoder;
import io.whetstream.model.checkpoint.Architecture.Layer;
import io.whetstream.model.checkpoint.Architecture.Linear;
import io.whetstream.model.checkpoint.Architecture.Norm;
import io.whetstream.model.checkpoint.Architecture.NormKind;
import io.whetstream.model.checkpoint.Architecture.Positions;
import io.whetstream.model.checkpoint.Architecture.Rotary;
import io.whetstream.model.checkpoint.Architecture.Table;
import io.whetstream.model.checkpoint.Architecture.Tower;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.TensorInfo;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * One place in a weight list of the TorchScript passes and the checkpoint tensors that fill it,
 * stacked by rows: what reads the same input is one product.
 *
 * @param place what the scripts call it; equal in every layer
 * @param sameAs index of the slot whose array stands here too, or -1
 */
record WeightSlot(String place, List<Part> parts, int sameAs) {

  /**
   * One tensor.
   *
   * @param name canonical name in the checkpoint
   * @param shape one or two dimensions
   * @param fixed values that come from no checkpoint, or null
   * @param rows which row of the checkpoint's tensor stands in each row; null for all in order
   */
  @SuppressWarnings("ArrayRecordComponent") // Never compared.
  record Part(String name, long[] shape, float[] fixed, int[] rows) {
    Part(String name, long[] shape, float[] fixed) {
      this(name, shape, fixed, null);
    }

    /** Elements of the checkpoint's tensor. */
    long size() {
      return Arrays.stream(shape).reduce(1, Math::multiplyExact);
    }

    void check(Checkpoint checkpoint) {
      if (!checkpoint.has(name)) {
        throw new BadInputException(
            checkpoint.directory() + ": the model has no tensor " + name + ", which it needs");
      }
      TensorInfo info = checkpoint.info(name);
      long actual = Arrays.stream(info.shape()).reduce(1, Math::multiplyExact);
      boolean firstMatches = shape[0] == 1 || info.shape()[0] == shape[0];
      if (actual != size() || !firstMatches) {
        throw new BadInputException(
            checkpoint.directory()
                + ": tensor "
                + name
                + " has shape "
                + Arrays.toString(info.shape())
                + ", config.json asks for "
                + Arrays.toString(shape));
      }
    }
  }

  /** The shape of the array: the parts' rows one below the other. */
  long[] shape() {
    long[] shape = parts.get(0).shape().clone();
    shape[0] = 0;
    for (Part part : parts) {
      shape[0] += part.rows() == null ? part.shape()[0] : part.rows().length;
    }
    return shape;
  }

  private static WeightSlot tensor(String place, String name, long... shape) {
    return new WeightSlot(place, List.of(new Part(name, shape, null)), -1);
  }

  private static WeightSlot fixed(String place, float[] values, long... shape) {
    return new WeightSlot(place, List.of(new Part("", shape, values)), -1);
  }

  private static WeightSlot none(String place, long... shape) {
    return fixed(place, new float[0], shape);
  }

  /** Of linear layers that read the same input: weights, then biases, none where none has one. */
  private static List<WeightSlot> linear(String place, List<Linear> stacked) {
    List<Part> weights = new ArrayList<>();
    List<Part> biases = new ArrayList<>();
    boolean biased = stacked.stream().anyMatch(Linear::bias);
    for (Linear linear : stacked) {
      weights.add(
          new Part(linear.weightName(), new long[] {linear.outputs(), linear.inputs()}, null));
      biases.add(
          linear.bias()
              ? new Part(linear.biasName(), new long[] {linear.outputs()}, null)
              : new Part("", new long[] {linear.outputs()}, new float[linear.outputs()]));
    }
    return List.of(
        new WeightSlot(place, weights, -1),
        biased ? new WeightSlot(place + "_bias", biases, -1) : none(place + "_bias", 0));
  }

  private static List<WeightSlot> linear(String place, Linear linear) {
    return linear(place, List.of(linear));
  }

  private static List<WeightSlot> norm(String place, Norm norm) {
    WeightSlot weight = tensor(place, norm.weightName(), norm.width());
    return norm.kind() == NormKind.RMS
        ? List.of(weight)
        : List.of(weight, tensor(place + "_bias", norm.biasName(), norm.width()));
  }

  /** The same, with an empty bias where it has none: towers norm in either way. */
  private static List<WeightSlot> eitherNorm(String place, Norm norm) {
    List<WeightSlot> slots = new ArrayList<>(norm(place, norm));
    if (norm.kind() == NormKind.RMS) {
      slots.add(none(place + "_bias", 0));
    }
    return slots;
  }

  private static List<WeightSlot> decoderLayer(Layer layer) {
    return layer(
        layer, norm("norm1", layer.attentionNorm()), norm("norm2", layer.perceptronNorm()));
  }

  private static List<WeightSlot> towerLayer(Layer layer) {
    return layer(
        layer,
        eitherNorm("norm1", layer.attentionNorm()),
        eitherNorm("norm2", layer.perceptronNorm()));
  }

  private static List<WeightSlot> layer(
      Layer layer, List<WeightSlot> attentionNorm, List<WeightSlot> perceptronNorm) {
    List<WeightSlot> slots = new ArrayList<>(attentionNorm);
    slots.addAll(linear("qkv", layer.projections()));
    if (layer.queryNorm() != null) {
      slots.add(
          new WeightSlot(
              "head_norms",
              List.of(
                  headNorm(layer.queryNorm(), layer.query()),
                  headNorm(layer.keyNorm(), layer.key())),
              -1));
    }
    slots.addAll(linear("out", layer.output()));
    slots.addAll(perceptronNorm);
    slots.addAll(linear("inner", layer.inner()));
    slots.addAll(linear("down", layer.down()));
    return slots;
  }

  /** Once for each head, the two values that an angle turns side by side. */
  private static Part headNorm(Norm norm, Linear heads) {
    int width = norm.width();
    int[] rows = new int[heads.outputs()];
    for (int i = 0; i < rows.length; i++) {
      int j = i % width;
      rows[i] = j % 2 * (width / 2) + j / 2;
    }
    return new Part(norm.weightName(), new long[] {width}, null, rows);
  }

  /** List {@code v}: what stands before the tower's layers, the layers, the connector. */
  static WeightList vision(Architecture architecture) {
    Tower tower = architecture.tower();
    long width = tower.width();
    List<WeightSlot> before = new ArrayList<>();
    Linear patches = tower.patches();
    before.add(tensor("patches", patches.weightName(), width, patches.inputs()));
    before.add(
        patches.bias()
            ? tensor("patches_bias", patches.biasName(), width)
            : fixed("patches_bias", new float[patches.outputs()], width));
    before.add(
        tower.classToken() == null
            ? none("class_token", 0, width)
            : tensor("class_token", tower.classToken().name(), 1, width));
    before.add(positions(tower));
    if (tower.before() == null) {
      before.add(none("before", 0));
      before.add(none("before_bias", 0));
    } else {
      before.addAll(norm("before", tower.before()));
    }
    List<WeightSlot> after = new ArrayList<>();
    if (tower.after() == null) {
      after.add(none("after", 0));
      after.add(none("after_bias", 0));
    } else {
      after.addAll(norm("after", tower.after()));
    }
    after.addAll(connector("connector", architecture.connector()));
    List<Connector> deepstack = architecture.connector().deepstack();
    for (int k = 0; k < deepstack.size(); k++) {
      after.addAll(connector("deepstack" + k + "_", deepstack.get(k)));
    }
    return new WeightList(
        "V", before, tower.layers().stream().map(WeightSlot::towerLayer).toList(), after);
  }

  private static WeightSlot positions(Tower tower) {
    if (tower.positions() == null) {
      return none("positions", 0, tower.width());
    }
    int[] rows =
        tower.scheme() == Positions.LEARNT_BY_BUCKETS ? SquarePositions.of(tower.grid()) : null;
    long[] shape = {tower.positions().rows(), tower.width()};
    return new WeightSlot(
        "positions", List.of(new Part(tower.positions().name(), shape, null, rows)), -1);
  }

  private static List<WeightSlot> connector(String place, Connector connector) {
    List<WeightSlot> slots = new ArrayList<>();
    if (connector.norm() != null) {
      slots.addAll(eitherNorm(place + "_norm", connector.norm()));
    }
    for (int i = 0; i < connector.layers().size(); i++) {
      slots.addAll(linear(place + (i + 1), connector.layers().get(i)));
    }
    return slots;
  }

  /** How many slots a connector has: what lies between those of deepstack. */
  static int connectorSize(Architecture architecture) {
    return connector("connector", architecture.connector()).size();
  }

  /** The vector that ends a line of features; none where pictures are not packed. */
  static WeightList lineEnd(Architecture architecture) {
    List<WeightSlot> slots = new ArrayList<>();
    if (architecture.connector().packing() != null) {
      Table lineEnd = architecture.connector().packing().lineEnd();
      slots.add(tensor("line_end", lineEnd.name(), lineEnd.width()));
    }
    return new WeightList("E", slots, List.of(), List.of());
  }

  /** List {@code w}: what stands before the decoder's layers, and the layers. */
  static WeightList decoder(Architecture architecture) {
    Decoder decoder = architecture.decoder();
    long width = decoder.width();
    RotaryTable rotary = RotaryTable.of(decoder.rotary());
    long[] angles = {decoder.rotary().places(), decoder.headDim() / 2};
    List<WeightSlot> before = new ArrayList<>();
    before.add(tensor("embeddings", decoder.embeddings().name(), decoder.vocabulary(), width));
    before.addAll(norm("norm", decoder.norm()));
    before.add(
        decoder.head() == null
            ? new WeightSlot("head", List.of(), 0)
            : tensor("head", decoder.head().weightName(), decoder.vocabulary(), width));
    before.add(fixed("cos", rotary.cos(), angles));
    before.add(fixed("sin", rotary.sin(), angles));
    if (decoder.scheme() == Positions.ROTARY_AXES) {
      before.add(
          fixed("axes", decoder.rotary().chosen(), Rotary.AXES, decoder.rotary().axes().size()));
    }
    return new WeightList(
        "W", before, decoder.layers().stream().map(WeightSlot::decoderLayer).toList(), List.of());
  }
}
