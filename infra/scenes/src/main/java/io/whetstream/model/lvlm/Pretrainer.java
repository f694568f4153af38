package io.whetstream.model.lvlm;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.JniUtils;
import io.whetstream.model.checkpoint.FloatTensor;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.image.ModelImage;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.SortedMap;
import java.util.SplittableRandom;
import java.util.TreeMap;

/**
 * Trains all weights of a small model from scratch with next-token losses only: how the demo's base
 * came to be. It is a generative model afterwards; nothing here is contrastive. Not thread-safe.
 */
public final class Pretrainer implements AutoCloseable {
  /** Rows of one forward pass may differ in length by this factor. */
  private static final double LONGEST_TO_SHORTEST = 1.3;

  /** What is no weight among the decoder's. */
  private static final List<String> ROTARY = List.of("cos", "sin");

  private final Lvlm model;
  private final List<WeightSlot> slots = new ArrayList<>();
  private final NDArray flat;
  private final NDArray firstMoment;
  private final NDArray secondMoment;
  private final NDArray shapes;
  private final NDArray scalars;
  private final int size;
  private long stepNumber;

  /**
   * One line to learn.
   *
   * @param image null for a line of text alone
   * @param prompt ids that are given
   * @param text ids that are to be predicted, EOS after them
   */
  public record Example(ModelImage image, long[] prompt, long[] text) {}

  /**
   * A step's result.
   *
   * @param loss mean cross entropy per predicted token
   * @param accuracy share of predicted tokens ranked first
   */
  public record Report(long step, double loss, double accuracy, double gradientNorm) {}

  /** A model with random weights; the same seed gives the same weights. */
  public Pretrainer(ModelConfig config, long seed, int threads) {
    model =
        new Lvlm(
            config,
            "pretraining",
            part -> initial(part, config, seed),
            new LvlmOptions(Precision.FP32, "cpu", threads));
    NDManager manager = model.manager();
    List<Long> dims = new ArrayList<>();
    List<float[]> values = new ArrayList<>();
    List<WeightSlot> vision = WeightSlot.vision(config.architecture()).slots();
    WeightList decoder = WeightSlot.decoder(config.architecture());
    slots.addAll(vision);
    for (WeightSlot slot : decoder.slots()) {
      if (!ROTARY.contains(slot.place()) && slot.sameAs() < 0) {
        slots.add(slot);
      }
    }
    int total = 0;
    for (WeightSlot slot : slots) {
      long rows = 0;
      long columns = 0;
      for (WeightSlot.Part part : slot.parts()) {
        boolean vector = part.shape().length == 1;
        rows = vector ? 1 : rows + part.shape()[0];
        columns = vector ? columns + part.shape()[0] : part.shape()[1];
        float[] initial = part.fixed() != null ? part.fixed() : initial(part, config, seed);
        values.add(initial);
        total += initial.length;
      }
      dims.add(rows);
      dims.add(columns);
    }
    size = total;
    float[] all = new float[size];
    int at = 0;
    for (float[] part : values) {
      System.arraycopy(part, 0, all, at, part.length);
      at += part.length;
    }
    flat = manager.create(all, new Shape(size));
    flat.setRequiresGradient(true);
    firstMoment = manager.zeros(new Shape(size));
    secondMoment = manager.zeros(new Shape(size));
    shapes =
        manager.create(
            dims.stream().mapToLong(Long::longValue).toArray(), new Shape(dims.size() / 2, 2));
    scalars = manager.create(new float[] {(float) vision.size(), config.tiedEmbeddings() ? 1 : 0});
  }

  /** Normal values: 1/sqrt(in) for products, 0.3 for image positions, 0.05 for embeddings. */
  private static float[] initial(WeightSlot.Part part, ModelConfig config, long seed) {
    float[] values = new float[part.size()];
    String name = part.name();
    if (name.endsWith("bias")) {
      return values;
    }
    if (part.shape().length == 1) {
      Arrays.fill(values, 1f);
      return values;
    }
    double deviation;
    if (name.endsWith("position_embedding.weight")) {
      deviation = 0.3; // a larger start is among what makes the model tell shapes apart early
    } else if (name.endsWith("embed_tokens.weight") || name.endsWith("class_embedding")) {
      deviation = 0.05;
    } else {
      deviation = 1 / Math.sqrt((double) part.shape()[1]);
      if (name.endsWith("o_proj.weight")
          || name.endsWith("down_proj.weight")
          || name.endsWith("out_proj.weight")
          || name.endsWith("fc2.weight")) {
        deviation /= Math.sqrt(2.0 * config.text().layers());
      }
    }
    SplittableRandom random = new SplittableRandom(seed * 0x9e3779b97f4a7c15L + name.hashCode());
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (deviation * random.nextGaussian());
    }
    return values;
  }

  /** Number of trained values. */
  public int size() {
    return size;
  }

  /** One AdamW step (betas 0.9, 0.98, gradients clipped to norm 1) on these examples. */
  public Report step(List<Example> examples, double learningRate) {
    ModelConfig config = model.config();
    List<Row> rows = new ArrayList<>();
    List<ModelImage> images = new ArrayList<>();
    for (Example example : examples) {
      rows.add(row(config, example));
      images.add(example.image());
    }
    List<Integer> order = new ArrayList<>();
    for (int i = 0; i < rows.size(); i++) {
      order.add(i);
    }
    order.sort(Comparator.comparingInt(i -> rows.get(i).length()));
    int targets = rows.stream().mapToInt(Row::targetCount).sum();
    return model.step(
        step -> {
          double loss = 0;
          double hits = 0;
          int begin = 0;
          while (begin < order.size()) {
            int end = begin + 1;
            double longest = LONGEST_TO_SHORTEST * rows.get(order.get(begin)).length();
            while (end < order.size() && rows.get(order.get(end)).length() <= longest) {
              end++;
            }
            List<Integer> unit = order.subList(begin, end);
            begin = end;
            JniUtils.setGradMode(true);
            NDList output = model.call("pretrain", arguments(step, unit, rows, images));
            NDArray share = step.create(new float[] {1f / targets}, new Shape());
            JniUtils.backward((PtNDArray) output.get(0), (PtNDArray) share, false, false);
            JniUtils.setGradMode(false);
            loss += output.get(0).getFloat();
            hits += output.get(1).toType(DataType.INT64, false).getLong();
          }
          double[] hyper = {
            learningRate,
            0.9,
            0.98,
            1e-8,
            0,
            1,
            1 - Math.pow(0.9, stepNumber + 1.0),
            1 - Math.pow(0.98, stepNumber + 1.0),
            0,
            1
          };
          double norm =
              model
                  .call(
                      "adamw",
                      new NDList(
                          flat.getGradient(), flat, firstMoment, secondMoment, step.create(hyper)))
                  .head()
                  .getFloat();
          stepNumber++;
          return new Report(stepNumber, loss / targets, hits / targets, norm);
        });
  }

  private NDList arguments(
      NDManager step, List<Integer> unit, List<Row> rows, List<ModelImage> images) {
    List<Row> unitRows = new ArrayList<>();
    List<ModelImage> unitImages = new ArrayList<>();
    for (int i : unit) {
      Row row = rows.get(i);
      int[] own = {};
      if (images.get(i) != null) {
        own = new int[] {unitImages.size()};
        unitImages.add(images.get(i));
      }
      unitRows.add(new Row(row.ids(), own, null, false, -1, row.targets(), 0));
    }
    int edge = model.config().vision().imageSize();
    // Features are made within the call, image by image: they have a gradient.
    int[] counts = ImageFeatures.counts(unitImages);
    int[] begins = new int[counts.length];
    for (int i = 1; i < begins.length; i++) {
      begins[i] = begins[i - 1] + counts[i - 1];
    }
    ImageFeatures features = new ImageFeatures(null, begins, counts, List.of());
    NDList arguments = model.rowArrays(step, unitRows, features, 0, false);
    arguments.add(
        unitImages.isEmpty()
            ? step.create(new float[0], new Shape(0, 3, edge, edge))
            : model.pixels(step, unitImages));
    arguments.add(flat);
    arguments.add(shapes);
    arguments.add(scalars);
    // Weight arrays carry the name of their list; these two are arguments of another name here.
    for (String place : ROTARY) {
      NDArray angles = model.decoderWeight(place).duplicate();
      angles.setName("rotary[]");
      arguments.add(angles);
    }
    return arguments;
  }

  private static Row row(ModelConfig config, Example example) {
    int imageTokens = example.image() == null ? 0 : example.image().tokens();
    int given = 1 + imageTokens + example.prompt().length;
    long[] ids = new long[given + example.text().length + 1];
    ids[0] = config.text().bosTokenId();
    Arrays.fill(ids, 1, 1 + imageTokens, config.imageTokenId());
    System.arraycopy(example.prompt(), 0, ids, 1 + imageTokens, example.prompt().length);
    System.arraycopy(example.text(), 0, ids, given, example.text().length);
    ids[ids.length - 1] = config.text().eosTokenId();
    long[] targets = new long[ids.length];
    Arrays.fill(targets, -1);
    for (int t = given - 1; t + 1 < ids.length; t++) {
      targets[t] = ids[t + 1];
    }
    return new Row(ids, new int[0], null, false, -1, targets, 0);
  }

  /** All weights by their names in a Hugging Face checkpoint. */
  public SortedMap<String, FloatTensor> weights() {
    float[] all = model.step(step -> flat.toFloatArray());
    SortedMap<String, FloatTensor> weights = new TreeMap<>();
    int at = 0;
    for (WeightSlot slot : slots) {
      for (WeightSlot.Part part : slot.parts()) {
        int end = at + part.size();
        if (part.fixed() == null) {
          weights.put(
              part.name(), new FloatTensor(hubShape(part), Arrays.copyOfRange(all, at, end)));
        }
        at = end;
      }
    }
    return weights;
  }

  /** Shapes as Hugging Face stores them: the patch embedding is a convolution kernel there. */
  private long[] hubShape(WeightSlot.Part part) {
    if (part.name().endsWith("patch_embedding.weight")) {
      long patch = model.config().vision().patchSize();
      return new long[] {part.shape()[0], 3, patch, patch};
    }
    if (part.name().endsWith("class_embedding")) {
      return new long[] {part.shape()[1]};
    }
    return part.shape();
  }

  @Override
  public void close() {
    model.close();
  }
}
