package io.whetstream.model.lvlm;

import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.checkpoint.FloatTensor;
import io.whetstream.model.checkpoint.ModelConfig;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * How all weights of a model lie in one flat vector: those of tower and connector, then those of
 * the decoder, in the order of the lists that the passes take. For training a base from scratch.
 */
public final class WholeLayout {
  /** What the decoder's list holds besides weights. */
  private static final List<String> TABLES = List.of("cos", "sin", "axes");

  private final Architecture architecture;
  private final List<WeightSlot> slots;
  private final int visionSlots;
  private final Map<String, Integer> offsets = new LinkedHashMap<>();
  private final int size;

  /** Initial values of one tensor. */
  public interface Initialiser {
    /**
     * Values, row-major.
     *
     * @param shape one or two dimensions, kernels of convolutions as products use them
     */
    float[] values(String name, long[] shape);
  }

  public WholeLayout(ModelConfig config) {
    architecture = config.architecture();
    slots = new ArrayList<>(WeightSlot.vision(architecture).slots());
    visionSlots = slots.size();
    WeightSlot.decoder(architecture).slots().stream()
        .filter(slot -> !TABLES.contains(slot.place()) && slot.sameAs() < 0)
        .forEach(slots::add);
    int at = 0;
    for (WeightSlot slot : slots) {
      for (WeightSlot.Part part : slot.parts()) {
        if (part.fixed() == null) {
          offsets.put(part.name(), at);
          at = Math.toIntExact(at + part.size());
        } else {
          at += part.fixed().length;
        }
      }
    }
    size = at;
  }

  /** Number of values. */
  public int size() {
    return size;
  }

  /** The vector of these values. */
  public float[] flat(Initialiser initialiser) {
    float[] flat = new float[size];
    for (WeightSlot slot : slots) {
      for (WeightSlot.Part part : slot.parts()) {
        if (part.fixed() == null) {
          float[] values = initialiser.values(part.name(), part.shape());
          System.arraycopy(values, 0, flat, offsets.get(part.name()), values.length);
        }
      }
    }
    return flat;
  }

  /** The tensors in a flat vector by canonical name, shaped as a checkpoint holds them. */
  public SortedMap<String, FloatTensor> tensors(float[] flat) {
    Map<String, long[]> shapes = architecture.tensors();
    SortedMap<String, FloatTensor> tensors = new TreeMap<>();
    offsets.forEach(
        (name, at) -> {
          long[] shape = shapes.get(name);
          int end = at + Math.toIntExact(Arrays.stream(shape).reduce(1, Math::multiplyExact));
          tensors.put(name, new FloatTensor(shape, Arrays.copyOfRange(flat, at, end)));
        });
    return tensors;
  }

  /**
   * What a script that cuts the vector is assembled with: {@code ALL_SIZES} of the pieces, {@code
   * ALL_SHAPES} rows and columns of each (a vector is one row), {@code ALL_VISION} how many of them
   * are the tower's and connector's, {@code ALL_TIED} whether the head is the embedding table.
   */
  public Map<String, String> constants() {
    List<Long> sizes = new ArrayList<>();
    List<Long> shapes = new ArrayList<>();
    for (WeightSlot slot : slots) {
      long rows = 0;
      long columns = 0;
      for (WeightSlot.Part part : slot.parts()) {
        boolean vector = part.shape().length == 1;
        rows = vector ? 1 : rows + part.shape()[0];
        columns = vector ? columns + part.shape()[0] : part.shape()[1];
      }
      sizes.add(rows * columns);
      shapes.addAll(List.of(rows, columns));
    }
    return Map.of(
        "ALL_SIZES", sizes.toString(),
        "ALL_SHAPES", shapes.toString(),
        "ALL_VISION", Integer.toString(visionSlots),
        "ALL_TIED", ScriptPart.bool(architecture.decoder().head() == null));
  }

  float[] values(float[] flat, WeightSlot.Part part) {
    int at = offsets.get(part.name());
    return Arrays.copyOfRange(flat, at, Math.toIntExact(at + part.size()));
  }
}
