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
    /** Queries and keys are turned by angles (RoFormer, 2104.09864), one axis. */
    ROTARY
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
   * @param query of attention, as are key, value and output
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
      return List.of(query, key, value);
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
      int dropped) {
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

    /** Positions of the encoder. */
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
   * @param lineEnd a vector behind each line of features, where pictures are packed; null elsewhere
   */
  public record Connector(
      String kind,
      List<Linear> layers,
      Activation activation,
      int square,
      int tokens,
      Table lineEnd) {
    public Connector {
      layers = List.copyOf(layers);
    }

    List<Module> modules() {
      List<Module> all = new ArrayList<>(layers);
      if (lineEnd != null) {
        all.add(lineEnd);
      }
      return all;
    }
  }

  /**
   * The angles of rotary positions.
   *
   * @param places how many positions there are
   * @param frequencies radians that a position turns each pair of a head's dimensions
   */
  public record Rotary(int places, List<Double> frequencies) {
    public Rotary {
      frequencies = List.copyOf(frequencies);
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
