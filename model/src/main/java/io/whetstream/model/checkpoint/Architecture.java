package io.whetstream.model.checkpoint;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * The network of a model, described once: its modules with canonical names, roles, dimensions,
 * biases, norms, activations and schemes of positions. Whoever loads weights, lays out adapters,
 * counts operations, parameters or memory, assembles forward passes or writes graphs reads this and
 * nothing else. A family makes one from its configuration; a pure value.
 *
 * @param tower from pixels to features
 * @param connector from features to the decoder's width
 * @param decoder the language model
 */
public record Architecture(Tower tower, Connector connector, Decoder decoder) {

  /** What a linear layer does. */
  public enum Role {
    PATCHES,
    /** Queries, keys and values in one, as their rows. */
    ATTENTION,
    QUERY,
    KEY,
    VALUE,
    /** From attention back to the width. */
    OUTPUT,
    GATE,
    UP,
    DOWN,
    CONNECTOR,
    HEAD
  }

  /** How values are normalised. */
  public enum NormKind {
    /** To mean 0 and variance 1; weight and bias. */
    LAYER,
    /** To mean square 1; weight alone. */
    RMS
  }

  /** How positions come into attention. */
  public enum Positions {
    /** A table of learnt vectors, one for each place, is added to the input. */
    LEARNT,
    /**
     * The same, but places find their rows as Idefics3 does, by buckets of their share of a side.
     */
    LEARNT_BY_BUCKETS,
    /**
     * The same, but the table is resampled to the picture's grid, and queries and keys are turned
     * by rows and columns beside it (Qwen3-VL).
     */
    LEARNT_RESAMPLED,
    /** Queries and keys are turned by angles (RoFormer, 2104.09864), one axis. */
    ROTARY,
    /** The same with several axes that share a head's pairs (Qwen2-VL, 2409.12191). */
    ROTARY_AXES
  }

  /** Something that has tensors. */
  public sealed interface Module permits Linear, Norm, Table {
    /** Canonical name. */
    String name();

    /** Its tensors by canonical name, with their shapes in a checkpoint. */
    Map<String, long[]> tensors();
  }

  /**
   * A linear layer.
   *
   * @param name the canonical name without {@code .weight}
   * @param bias whether it has a bias; a tensor of that name that stands in a file without being
   *     named here is nobody's
   * @param kernel shape of the inputs where a checkpoint holds the weight as a convolution, such as
   *     [3, p, p]; empty for a plain layer
   */
  public record Linear(
      String name, Role role, int outputs, int inputs, boolean bias, List<Integer> kernel)
      implements Module {
    public Linear {
      kernel = List.copyOf(kernel);
    }

    public Linear(String name, Role role, int outputs, int inputs, boolean bias) {
      this(name, role, outputs, inputs, bias, List.of());
    }

    public String weightName() {
      return name + ".weight";
    }

    public String biasName() {
      return name + ".bias";
    }

    /** Values of the weight. */
    public long size() {
      return (long) outputs * inputs;
    }

    @Override
    public Map<String, long[]> tensors() {
      long[] shape =
          kernel.isEmpty()
              ? new long[] {outputs, inputs}
              : Stream.concat(Stream.of(outputs), kernel.stream())
                  .mapToLong(Integer::longValue)
                  .toArray();
      Map<String, long[]> tensors = new LinkedHashMap<>();
      tensors.put(weightName(), shape);
      if (bias) {
        tensors.put(biasName(), new long[] {outputs});
      }
      return tensors;
    }
  }

  /**
   * A normalisation.
   *
   * @param name the canonical name without {@code .weight}
   */
  public record Norm(String name, NormKind kind, int width, double epsilon) implements Module {
    public String weightName() {
      return name + ".weight";
    }

    public String biasName() {
      return name + ".bias";
    }

    @Override
    public Map<String, long[]> tensors() {
      Map<String, long[]> tensors = new LinkedHashMap<>();
      tensors.put(weightName(), new long[] {width});
      if (kind == NormKind.LAYER) {
        tensors.put(biasName(), new long[] {width});
      }
      return tensors;
    }
  }

  /**
   * A table of vectors.
   *
   * @param name the canonical name of its tensor
   * @param rows its vectors; 0 for a single one that is stored without a dimension for rows
   */
  public record Table(String name, int rows, int width) implements Module {
    @Override
    public Map<String, long[]> tensors() {
      return Map.of(name, rows == 0 ? new long[] {width} : new long[] {rows, width});
    }
  }

  /**
   * A layer of attention and perceptron, each after its norm and beside a residual; of a tower or
   * of the decoder.
   *
   * @param query of attention, as are key, value and output; where key and value are null it makes
   *     all three
   * @param queryNorm of each head of the queries before they are turned, or null; the same for keys
   * @param inner from the width inwards: one, or a gate and what it multiplies
   */
  public record Layer(
      Norm attentionNorm,
      Linear query,
      Linear key,
      Linear value,
      Norm queryNorm,
      Norm keyNorm,
      Linear output,
      Norm perceptronNorm,
      List<Linear> inner,
      Activation activation,
      Linear down) {
    public Layer {
      inner = List.copyOf(inner);
    }

    /** What reads the first norm. */
    public List<Linear> projections() {
      return key == null ? List.of(query) : List.of(query, key, value);
    }

    /** All linear layers in the order of their use: in the decoder what LoRA can stand beside. */
    public List<Linear> linears() {
      List<Linear> all = new ArrayList<>(projections());
      all.add(output);
      all.addAll(inner);
      all.add(down);
      return all;
    }

    List<Module> modules() {
      List<Module> all = new ArrayList<>();
      all.add(attentionNorm);
      all.addAll(projections());
      if (queryNorm != null) {
        all.add(queryNorm);
        all.add(keyNorm);
      }
      all.add(output);
      all.add(perceptronNorm);
      all.addAll(inner);
      all.add(down);
      return all;
    }
  }

  /**
   * A vision tower.
   *
   * @param kind names the part that computes it
   * @param patches the patch embedding
   * @param classToken a vector before the patches, or null
   * @param positions what learnt positions come from
   * @param before the norm of the first layer's input, or null
   * @param layers those that are run: what later ones would make reaches nobody
   * @param after the norm of what the connector reads, or null
   * @param dropped how many features at the beginning do not reach the connector
   * @param dynamic what it has where it takes pictures of any size; null with square inputs
   */
  public record Tower(
      String kind,
      int imageSize,
      int patchSize,
      Linear patches,
      Table classToken,
      Positions scheme,
      Table positions,
      Norm before,
      int heads,
      List<Layer> layers,
      Norm after,
      int dropped,
      DynamicVision dynamic) {
    public Tower {
      layers = List.copyOf(layers);
    }

    public int width() {
      return patches.outputs();
    }

    /** Patches along a side. */
    public int grid() {
      return imageSize / patchSize;
    }

    /** Inner width of the perceptrons. */
    public int innerWidth() {
      return layers.isEmpty() ? 0 : layers.get(0).down().inputs();
    }

    /** Positions of the encoder with an input of this size in pixels. */
    public int places(int height, int width) {
      return dynamic == null ? places() : height / patchSize * (width / patchSize);
    }

    /** Positions of the encoder with a square input. */
    public int places() {
      return grid() * grid() + (classToken == null ? 0 : 1);
    }

    List<Module> modules() {
      List<Module> all = new ArrayList<>();
      all.add(patches);
      Stream.of(classToken, positions, before).filter(m -> m != null).forEach(all::add);
      layers.forEach(layer -> all.addAll(layer.modules()));
      if (after != null) {
        all.add(after);
      }
      return all;
    }
  }

  /**
   * What makes features as wide as the decoder.
   *
   * @param kind names the part that computes it
   * @param layers its linear layers in order
   * @param activation between two of them, or null
   * @param square patches along a side of the square that becomes one feature
   * @param tokens features of one input of the tower
   * @param packing what becomes of the features of a picture's pieces, or null: they stand one
   *     behind another
   * @param norm of what it reads, by patches or by squares of them as its width says, or null
   * @param deepstack connectors of earlier layers of the tower: feature k is added to the output of
   *     the decoder's layer k
   */
  public record Connector(
      String kind,
      List<Linear> layers,
      Activation activation,
      int square,
      int tokens,
      Packing packing,
      Norm norm,
      List<Connector> deepstack) {
    public Connector {
      layers = List.copyOf(layers);
      deepstack = List.copyOf(deepstack);
    }

    /** A connector without a norm, of the tower's last layer alone. */
    public Connector(
        String kind,
        List<Linear> layers,
        Activation activation,
        int square,
        int tokens,
        Packing packing) {
      this(kind, layers, activation, square, tokens, packing, null, List.of());
    }

    List<Module> modules() {
      List<Module> all = new ArrayList<>(layers);
      if (packing != null) {
        all.add(packing.lineEnd());
      }
      if (norm != null) {
        all.add(norm);
      }
      deepstack.forEach(connector -> all.addAll(connector.modules()));
      return all;
    }
  }

  /**
   * Features of a picture's squares as one grid (LLaVA-NeXT): the whole picture's come first.
   *
   * @param lineEnd a vector behind each line of the grid
   * @param maxSquares a grid is reduced where it is larger than that of this many squares; 0: never
   */
  public record Packing(Table lineEnd, int maxSquares) {}

  /**
   * The angles of rotary positions.
   *
   * @param places how many positions there are
   * @param frequencies radians that a position turns each pair of a head's dimensions
   * @param axes the axis whose positions turn each pair; empty where there is one
   */
  public record Rotary(int places, List<Double> frequencies, List<Integer> axes) {
    /** Axes of positions: time, height, width. */
    public static final int AXES = 3;

    public Rotary {
      frequencies = List.copyOf(frequencies);
      axes = List.copyOf(axes);
    }

    /** For each axis and pair 1 where the one turns the other, else 0: [axes, pairs], row-major. */
    public float[] chosen() {
      float[] chosen = new float[AXES * axes.size()];
      for (int j = 0; j < axes.size(); j++) {
        chosen[axes.get(j) * axes.size() + j] = 1;
      }
      return chosen;
    }
  }

  /**
   * A decoder.
   *
   * @param norm after the last layer
   * @param head null where the embeddings are the head too
   */
  public record Decoder(
      Table embeddings,
      int heads,
      int keyValueHeads,
      int headDim,
      Positions scheme,
      Rotary rotary,
      List<Layer> layers,
      Norm norm,
      Linear head) {
    public Decoder {
      layers = List.copyOf(layers);
    }

    public int width() {
      return embeddings.width();
    }

    public int vocabulary() {
      return embeddings.rows();
    }

    /** Width of all queries. */
    public int queries() {
      return heads * headDim;
    }

    /** Width of all keys, and of all values. */
    public int keys() {
      return keyValueHeads * headDim;
    }

    /** Inner width of the perceptrons. */
    public int innerWidth() {
      return layers.get(0).down().inputs();
    }

    List<Module> modules() {
      List<Module> all = new ArrayList<>();
      all.add(embeddings);
      layers.forEach(layer -> all.addAll(layer.modules()));
      all.add(norm);
      if (head != null) {
        all.add(head);
      }
      return all;
    }
  }

  /** Width of an image feature: what deepstack adds stands beside what the decoder reads. */
  public int featureWidth() {
    return decoder.width() * (1 + connector.deepstack().size());
  }

  /** All modules. */
  public List<Module> modules() {
    List<Module> all = new ArrayList<>(tower.modules());
    all.addAll(connector.modules());
    all.addAll(decoder.modules());
    return all;
  }

  /** The tensors it needs, by canonical name, with their shapes in a checkpoint. */
  public Map<String, long[]> tensors() {
    Map<String, long[]> tensors = new LinkedHashMap<>();
    modules().forEach(module -> tensors.putAll(module.tensors()));
    return Collections.unmodifiableMap(tensors);
  }

  /** How many values its tensors hold. */
  public long parameters() {
    long sum = 0;
    for (long[] shape : tensors().values()) {
      long size = 1;
      for (long dimension : shape) {
        size = Math.multiplyExact(size, dimension);
      }
      sum = Math.addExact(sum, size);
    }
    return sum;
  }
}
