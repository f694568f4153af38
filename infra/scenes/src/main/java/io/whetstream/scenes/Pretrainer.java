package io.whetstream.scenes;

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
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.lvlm.Row;
import io.whetstream.model.lvlm.Script;
import io.whetstream.model.lvlm.ScriptPart;
import io.whetstream.model.lvlm.WholeLayout;
import io.whetstream.model.train.TrainingConfig.Optimizer;
import io.whetstream.model.train.TrainingConfig.Schedule;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.SortedMap;
import java.util.SplittableRandom;

/**
 * Trains all weights of a small model from scratch with next-token losses only: how the demo's base
 * came to be. It is a generative model afterwards; nothing here is contrastive. Not thread-safe.
 */
public final class Pretrainer implements AutoCloseable {
  /** Rows of one forward pass may differ in length by this factor. */
  private static final double LONGEST_TO_SHORTEST = 1.3;

  private static final Optimizer OPTIMIZER =
      new Optimizer(1, 0.9, 0.98, 1e-8, 0, 1, 0, Schedule.CONSTANT, 0);

  private final Lvlm model;
  private final WholeLayout layout;
  private final Script script;
  private final NDArray flat;
  private final NDArray firstMoment;
  private final NDArray secondMoment;
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
    layout = new WholeLayout(config);
    float[] all = layout.flat((name, shape) -> initial(name, shape, config, seed));
    model =
        Lvlm.of(
            config, layout, all, "pretraining", new LvlmOptions(Precision.FP32, "cpu", threads));
    script =
        model.script(
            List.of(
                ScriptPart.of(Pretrainer.class, "pretraining", layout.constants()),
                OPTIMIZER.script()));
    NDManager manager = model.manager();
    Shape shape = new Shape(layout.size());
    flat = manager.create(all, shape);
    flat.setRequiresGradient(true);
    firstMoment = manager.zeros(shape);
    secondMoment = manager.zeros(shape);
  }

  /** Normal values: 1/sqrt(in) for products, 0.3 for image positions, 0.05 for embeddings. */
  private static float[] initial(String name, long[] shape, ModelConfig config, long seed) {
    float[] values =
        new float[Math.toIntExact(Arrays.stream(shape).reduce(1, Math::multiplyExact))];
    if (name.endsWith("bias")) {
      return values;
    }
    if (shape.length == 1) {
      Arrays.fill(values, 1f);
      return values;
    }
    double deviation;
    if (name.endsWith("position_embedding.weight")) {
      deviation = 0.3; // a larger start is among what makes the model tell shapes apart early
    } else if (name.endsWith("embed_tokens.weight") || name.endsWith("class_embedding")) {
      deviation = 0.05;
    } else {
      deviation = 1 / Math.sqrt((double) shape[1]);
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
    return layout.size();
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
            NDList output = script.call("pretrain", arguments(step, unit, rows, images));
            NDArray share = step.create(new float[] {1f / targets}, new Shape());
            JniUtils.backward((PtNDArray) output.get(0), (PtNDArray) share, false, false);
            JniUtils.setGradMode(false);
            loss += output.get(0).getFloat();
            hits += output.get(1).toType(DataType.INT64, false).getLong();
          }
          double[] now = {
            learningRate,
            1 - Math.pow(OPTIMIZER.beta1(), stepNumber + 1.0),
            1 - Math.pow(OPTIMIZER.beta2(), stepNumber + 1.0)
          };
          NDList arguments =
              new NDList(flat.getGradient(), flat, firstMoment, secondMoment, step.create(now));
          double norm = script.call("adamw", arguments).head().getFloat();
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
    NDList arguments = model.inputs(step, unitRows, unitImages);
    arguments.add(flat);
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
    return layout.tensors(model.step(step -> flat.toFloatArray()));
  }

  @Override
  public void close() {
    model.close();
  }
}
