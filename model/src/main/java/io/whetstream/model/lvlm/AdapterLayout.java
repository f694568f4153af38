package io.whetstream.model.lvlm;

import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.checkpoint.Architecture.Linear;
import io.whetstream.model.checkpoint.FloatTensor;
import io.whetstream.model.checkpoint.ModelConfig;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * How the trainable weights of an adapter lie in one flat vector: per layer A [r, in] and B [out,
 * r] of q, k, v, o, gate, up, down (rank 0 where a module is not adapted), then the soft vectors of
 * the image side [K, d] and the text side [K, d], then the logit scale. One vector makes the
 * optimizer a handful of operations and the gradient a single array.
 */
public final class AdapterLayout {
  /** One tensor of the flat vector. */
  private record Part(String name, int rows, int columns, int offset) {
    int size() {
      return rows * columns;
    }
  }

  private final AdapterConfig config;
  private final int width;
  private final List<Part> parts = new ArrayList<>();
  private final Places places;
  private final int loraParts;
  private final int size;
  private long loraAfterLastAttention;

  /** The layout of adapters of this configuration for this model. */
  public AdapterLayout(ModelConfig model, AdapterConfig config) {
    this.config = config;
    Architecture.Decoder decoder = model.architecture().decoder();
    width = decoder.width();
    int offset = 0;
    int adapted = 0;
    for (Architecture.Layer layer : decoder.layers()) {
      for (Linear linear : layer.linears()) {
        int rank = config.targets(linear.name()) ? config.rank() : 0;
        adapted += rank > 0 ? 1 : 0;
        offset = add(linear.name() + ".lora_A.weight", rank, linear.inputs(), offset);
        offset = add(linear.name() + ".lora_B.weight", linear.outputs(), rank, offset);
        if (layer == decoder.layers().get(decoder.layers().size() - 1)
            && !layer.projections().contains(linear)) {
          loraAfterLastAttention += (long) rank * (linear.inputs() + linear.outputs());
        }
      }
    }
    if (config.rank() > 0 && adapted == 0) {
      throw new BadInputException(
          "no module of the language model matches target_modules "
              + config.targetModules()
              + "; names look like language_model.model.layers.0.self_attn.q_proj");
    }
    List<String> layer = new ArrayList<>();
    for (Linear linear : decoder.layers().get(0).linears()) {
      String role = linear.role().name().toLowerCase(Locale.ROOT);
      layer.addAll(List.of(role + "_a", role + "_b"));
    }
    places = new Places("P", List.of(), layer, decoder.layers().size(), List.of("soft"));
    loraParts = parts.size();
    offset = add("soft_prompt.image", config.softImage(), width, offset);
    offset = add("soft_prompt.text", config.softText(), width, offset);
    size = offset + 1;
  }

  private int add(String name, int rows, int columns, int offset) {
    Part part = new Part(name, rows, columns, offset);
    parts.add(part);
    return Math.addExact(offset, part.size());
  }

  public AdapterConfig config() {
    return config;
  }

  /** Number of trainable values, the logit scale included (it is the last). */
  public int size() {
    return size;
  }

  /** Trainable values of LoRA alone. */
  public long loraSize() {
    return (long) size - 1 - (long) (config.softImage() + config.softText()) * width;
  }

  /** Those of them that the last layer uses after its attention. */
  long loraSizeAfterLastAttention() {
    return loraAfterLastAttention;
  }

  /** Names and places of all tensors but the logit scale: for tests and for state. */
  List<String> names() {
    return parts.stream().filter(part -> part.size() > 0).map(Part::name).toList();
  }

  /** The values of one named tensor within a flat vector. */
  float[] slice(float[] flat, String name) {
    Part part =
        parts.stream().filter(candidate -> candidate.name().equals(name)).findFirst().orElseThrow();
    return Arrays.copyOfRange(flat, part.offset(), part.offset() + part.size());
  }

  /** Initial values of one tensor. */
  public interface Initialiser {
    /** Returns rows * columns values, row-major. */
    float[] values(String name, int rows, int columns);
  }

  /** Fills a flat vector tensor by tensor; the logit scale is left alone. */
  public void fill(float[] flat, Initialiser initialiser) {
    for (Part part : parts) {
      if (part.size() > 0) {
        float[] values = initialiser.values(part.name(), part.rows(), part.columns());
        System.arraycopy(values, 0, flat, part.offset(), part.size());
      }
    }
  }

  /** Where the pairs lie in the adapter list: of projections that read the same input, one. */
  static Places pairs(Architecture architecture) {
    List<String> layer = new ArrayList<>();
    for (String pair : List.of("qkv", "out", "inner", "down")) {
      layer.add(pair);
      layer.add(pair + "_b");
    }
    int layers = architecture.decoder().layers().size();
    return new Places("A", List.of(), layer, layers, List.of("soft"));
  }

  /**
   * What {@code adapter_lora.py} is assembled with.
   *
   * @param dropout probability of LoRA dropout
   */
  Map<String, String> constants(double dropout) {
    List<Integer> sizes = new ArrayList<>();
    List<Integer> shapes = new ArrayList<>();
    for (Part part : parts.subList(0, loraParts)) {
      sizes.add(part.size());
      shapes.addAll(List.of(part.rows(), part.columns()));
    }
    // Both sides' soft vectors as one, then the logit scale.
    int soft = config.softImage() + config.softText();
    sizes.addAll(List.of(soft * width, 1));
    shapes.addAll(List.of(soft, width));
    Map<String, String> constants = new LinkedHashMap<>();
    constants.put("SIZES", sizes.toString());
    constants.put("SHAPES", shapes.toString());
    constants.put("SCALING", Double.toString(config.scaling()));
    constants.put("DROPOUT", Double.toString(dropout));
    constants.put("RANK", Integer.toString(Math.max(1, config.rank())));
    places.addTo(constants);
    return constants;
  }

  /** The flat vector of these weights. */
  public float[] flatten(AdapterWeights weights) {
    if (!weights.config().equals(config)) {
      throw new BadInputException(
          "the adapter's configuration " + weights.config() + " is not " + config);
    }
    float[] flat = new float[size];
    for (Part part : parts) {
      if (part.size() == 0) {
        continue;
      }
      FloatTensor tensor =
          switch (part.name()) {
            case "soft_prompt.image" -> weights.softImage();
            case "soft_prompt.text" -> weights.softText();
            default -> weights.lora().get(part.name());
          };
      if (tensor == null) {
        throw new BadInputException("the adapter has no tensor " + part.name());
      }
      if (tensor.shape().length != 2
          || tensor.shape()[0] != part.rows()
          || tensor.shape()[1] != part.columns()) {
        throw new BadInputException(
            "the adapter's tensor "
                + part.name()
                + " has shape "
                + Arrays.toString(tensor.shape())
                + ", this model needs ["
                + part.rows()
                + ", "
                + part.columns()
                + "]: it belongs to another base model");
      }
      System.arraycopy(tensor.data(), 0, flat, part.offset(), part.size());
    }
    for (String name : weights.lora().keySet()) {
      if (parts.stream().noneMatch(part -> part.size() > 0 && part.name().equals(name))) {
        throw new BadInputException(
            "the adapter's tensor " + name + " has no place in this model or its target_modules");
      }
    }
    flat[size - 1] = weights.logitScale();
    return flat;
  }

  /** The weights in a flat vector. */
  public AdapterWeights unflatten(float[] flat) {
    SortedMap<String, FloatTensor> lora = new TreeMap<>();
    FloatTensor softImage = null;
    FloatTensor softText = null;
    for (Part part : parts) {
      FloatTensor tensor =
          new FloatTensor(
              new long[] {part.rows(), part.columns()},
              Arrays.copyOfRange(flat, part.offset(), part.offset() + part.size()));
      switch (part.name()) {
        case "soft_prompt.image" -> softImage = tensor;
        case "soft_prompt.text" -> softText = tensor;
        default -> {
          if (part.size() > 0) {
            lora.put(part.name(), tensor);
          }
        }
      }
    }
    return new AdapterWeights(config, lora, softImage, softText, flat[size - 1]);
  }
}
