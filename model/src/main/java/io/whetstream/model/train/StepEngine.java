package io.whetstream.model.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.NDScope;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.JniUtils;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.AdapterLayout;
import io.whetstream.model.lvlm.ImageFeatures;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.Row;
import io.whetstream.model.lvlm.Script;
import io.whetstream.model.train.TrainingConfig.Objective;
import io.whetstream.model.train.TrainingConfig.Optimizer;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Loss, gradient and update on one flat trainable vector.
 *
 * <p>There is one path for all batch sizes (GradCache, Gao et al. 2021): embed every unit of rows;
 * compute the contrastive loss on the embeddings and its gradient towards them; then, unit by unit,
 * push that gradient and the unit's share of the next-token loss back. If the batch fits one chunk
 * per row the first pass keeps its graph and nothing is computed twice; otherwise the first pass
 * keeps only embeddings and each unit is computed again. Dropout is a function of the row's seed,
 * so both passes see the same model.
 */
class StepEngine implements AutoCloseable {
  /** Tokens of one unit, about: more is no faster, and needs more memory at once. */
  private static final int UNIT_TOKENS = 4096;

  /** Images that go through the vision tower at once when chunks do not bound them. */
  private static final int VISION_CHUNK = 64;

  /** Bytes written at once. */
  private static final int PIECE = 1 << 16;

  private final Lvlm model;
  private final AdapterLayout layout;
  private final TrainingConfig config;
  private final Script script;
  private final NDArray flat;
  private final NDArray firstMoment;
  private final NDArray secondMoment;
  private final long available;
  private long momentSteps;

  /** What a step measured. Gradients are those before clipping, only if asked for. */
  record Outcome(
      boolean skipped,
      double lossContrastive,
      double lossNextToken,
      double nextTokenAccuracy,
      double gradientNorm,
      int maskedNegatives,
      double[] cosines,
      double[] gradient) {}

  StepEngine(Lvlm model, AdapterLayout layout, TrainingConfig config, float[] initial) {
    this.model = model;
    this.layout = layout;
    this.config = config;
    script =
        model.script(
            List.of(
                config.objective().script(),
                config
                    .optimizer()
                    .script(
                        config.objective().trainLogitScale(),
                        Math.log(config.objective().maxLogitScale()))));
    NDManager manager = model.manager();
    Shape shape = new Shape(layout.size());
    flat = model.wide(manager, initial, shape);
    flat.setRequiresGradient(true);
    firstMoment = manager.zeros(shape, model.wideType());
    secondMoment = manager.zeros(shape, model.wideType());
    available = config.chunk() == TrainingConfig.AUTO ? availableToSteps() : 0;
  }

  /** Less the gradient and the adapter's copies of a step. */
  private long availableToSteps() {
    long copies = layout.size() * (4L + 2 * 4);
    return (long) (AvailableMemory.SHARE * AvailableMemory.bytes(model.manager().getDevice()))
        - copies;
  }

  /** Rows at once of a batch, {@link Integer#MAX_VALUE} for all. */
  int chunk(List<Row> rows, List<ImageGeometry> images) {
    int chunk = config.chunk();
    if (chunk == TrainingConfig.AUTO) {
      // What does not fit at the least is tried all the same: the plan is an estimate.
      int fitting = fitting(rows, images, available);
      chunk = fitting < 0 ? 1 : fitting;
    }
    return chunk == 0 ? Integer.MAX_VALUE : chunk;
  }

  /** As {@link MemoryPlan#chunk}. */
  int fitting(List<Row> rows, List<ImageGeometry> images, long most) {
    return MemoryPlan.chunk(
        model.architecture(), config.adapter().rank(), rows, images, model.precision(), most);
  }

  long available() {
    return available;
  }

  float[] flat() {
    return model.step(step -> flat.toType(DataType.FLOAT32, true).toFloatArray());
  }

  /** The logarithm of the logit scale now. */
  float logScale() {
    return model.step(
        step -> {
          NDArray last = script.call("last", new NDList(flat)).head();
          return last.toType(DataType.FLOAT32, true).toFloatArray()[0];
        });
  }

  /** Steps that the moments have seen: what their bias is corrected by. */
  long momentSteps() {
    return momentSteps;
  }

  float[] firstMoment() {
    return model.step(step -> firstMoment.toType(DataType.FLOAT32, true).toFloatArray());
  }

  float[] secondMoment() {
    return model.step(step -> secondMoment.toType(DataType.FLOAT32, true).toFloatArray());
  }

  /**
   * Writes weights, first and second moments, each value as a big-endian 32-bit number: from where
   * they lie and in small pieces, because arrays of their size take longer to come by than to fill.
   */
  void write(OutputStream out) throws IOException {
    try {
      model.step(
          step -> {
            for (NDArray values : List.of(flat, firstMoment, secondMoment)) {
              ByteBuffer native32 = values.toType(DataType.FLOAT32, false).toByteBuffer(true);
              write(native32.order(ByteOrder.nativeOrder()).asIntBuffer(), out);
            }
            return null;
          });
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
  }

  private static void write(IntBuffer values, OutputStream out) {
    byte[] piece = new byte[PIECE];
    IntBuffer bigEndian = ByteBuffer.wrap(piece).asIntBuffer();
    try {
      while (values.hasRemaining()) {
        int count = Math.min(values.remaining(), bigEndian.capacity());
        bigEndian.clear().put(values.slice(values.position(), count));
        values.position(values.position() + count);
        out.write(piece, 0, count * Integer.BYTES);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * Replaces weights and moments.
   *
   * @param steps those that the moments have seen
   */
  void restore(float[] weights, float[] first, float[] second, long steps) {
    momentSteps = steps;
    model.step(
        step -> {
          Shape shape = new Shape(layout.size());
          assign(flat, model.wide(step, weights, shape));
          assign(firstMoment, model.wide(step, first, shape));
          assign(secondMoment, model.wide(step, second, shape));
          return null;
        });
  }

  private void assign(NDArray target, NDArray source) {
    script.call("assign", new NDList(source, target));
  }

  /**
   * One optimizer step.
   *
   * @param number steps taken before this one: what the schedule counts from
   */
  Outcome step(TrainingBatch batch, long number) {
    return step(batch, number, 1);
  }

  /**
   * The same at another learning rate.
   *
   * @param rateFactor on the scheduled learning rate
   */
  Outcome step(TrainingBatch batch, long number, double rateFactor) {
    return run(batch, number, rateFactor, true);
  }

  /** Losses and the gradient of their weighted sum; changes nothing. */
  Outcome gradient(TrainingBatch batch) {
    return run(batch, 0, 1, false);
  }

  private Outcome run(TrainingBatch batch, long number, double rateFactor, boolean update) {
    return model.step(
        step -> {
          Objective objective = config.objective();
          int chunk =
              chunk(batch.rows(), batch.images().stream().map(ModelImage::geometry).toList());
          List<List<Integer>> units = units(batch.rows(), chunk);
          boolean recompute = batch.rows().size() > chunk;
          // Made once: units are differentiated towards these tensors, and what they collect is
          // pushed back to the flat vector at the end.
          JniUtils.setGradMode(true);
          Lvlm.NativeAdapter made = model.adapter(step, layout, flat, config.adapter().dropout());
          JniUtils.setGradMode(false);
          Lvlm.NativeAdapter adapter = leaves(step, made);
          ImageFeatures features =
              model.features(step, batch.images(), Math.min(chunk, VISION_CHUNK));
          int targets = batch.rows().stream().mapToInt(Row::targetCount).sum();

          // First pass: embeddings of all units, with their graphs if nothing is to be recomputed.
          List<Lvlm.UnitOutput> outputs = new ArrayList<>();
          NDList embeddings = new NDList(step.create(0));
          int[] place = new int[batch.rows().size()];
          int embedded = 0;
          boolean contrastive = batch.imageRows().length > 0 && objective.contrastiveWeight() > 0;
          for (List<Integer> unit : units) {
            List<Row> rows = unit.stream().map(batch.rows()::get).toList();
            if (recompute) {
              rows = rows.stream().filter(row -> row.readout() >= 0).map(Row::prefix).toList();
            }
            for (int row : unit) {
              if (batch.rows().get(row).readout() >= 0) {
                place[row] = embedded++;
              }
            }
            if (rows.isEmpty() || (recompute && !contrastive)) {
              continue;
            }
            JniUtils.setGradMode(!recompute);
            Lvlm.UnitOutput output = model.unit(step, rows, features, adapter);
            JniUtils.setGradMode(false);
            outputs.add(output);
            NDArray detached = output.embeddings().duplicate();
            detached.setName("parts[]");
            embeddings.add(detached);
          }

          // The contrastive loss and its gradient towards every embedding.
          double lossContrastive = Double.NaN;
          int masked = 0;
          double[] cosines = new double[0];
          NDArray upstream = null;
          if (contrastive) {
            NDArray leaf = script.call("stack", embeddings).head();
            leaf.setRequiresGradient(true);
            int n = batch.imageRows().length;
            NDList arguments =
                new NDList(
                    leaf,
                    step.create(places(place, batch.imageRows()), new Shape(n)),
                    step.create(places(place, batch.textRows()), new Shape(n)),
                    flat,
                    step.create(batch.excluded(), new Shape(n, n)));
            JniUtils.setGradMode(true);
            NDList result = script.call("contrastive", arguments);
            JniUtils.setGradMode(false);
            lossContrastive = scalar(result.get(0));
            masked = (int) result.get(2).toType(DataType.INT64, false).getLong();
            cosines = result.get(1).toType(DataType.FLOAT64, false).toDoubleArray();
            backward(result.get(0), model.wide(step, weight(objective.contrastiveWeight()), ONE));
            upstream = leaf.getGradient();
          }

          // Second pass: push back, unit by unit.
          double nextTokenSum = 0;
          double hits = 0;
          double tokenWeight = targets > 0 ? objective.nextTokenWeight() / targets : 0;
          int from = 0;
          for (int u = 0; u < units.size(); u++) {
            List<Row> rows = units.get(u).stream().map(batch.rows()::get).toList();
            int count = (int) rows.stream().filter(row -> row.readout() >= 0).count();
            boolean tokens =
                tokenWeight > 0 && rows.stream().anyMatch(row -> row.targetCount() > 0);
            boolean pushed = upstream != null && count > 0;
            if (recompute && !pushed && !tokens) {
              from += count;
              continue;
            }
            JniUtils.setGradMode(true);
            Lvlm.UnitOutput output =
                recompute ? model.unit(step, again(rows), features, adapter) : outputs.get(u);
            nextTokenSum += scalar(output.nextTokenSum());
            hits += output.nextTokenHits().toType(DataType.INT64, false).getLong();
            if (pushed || tokens) {
              NDArray share =
                  pushed
                      ? upstream.get(new ai.djl.ndarray.index.NDIndex("{}:{}", from, from + count))
                      : output.embeddings().zerosLike();
              NDList arguments =
                  new NDList(
                      output.embeddings(),
                      share,
                      output.nextTokenSum(),
                      model.wide(step, weight(tokenWeight), ONE));
              NDArray surrogate = script.call("surrogate", arguments).head();
              backward(surrogate, model.wide(step, weight(1), ONE));
            }
            JniUtils.setGradMode(false);
            if (recompute) {
              // The unit's graph is freed here, before the next one is built.
              output.embeddings().close();
              output.nextTokenSum().close();
              output.nextTokenHits().close();
            }
            from += count;
          }
          collect(step, made, adapter);
          double lossNextToken = targets > 0 ? nextTokenSum / targets : Double.NaN;
          boolean finite =
              (Double.isFinite(lossContrastive) || !contrastive)
                  && (Double.isFinite(lossNextToken) || targets == 0);
          double[] gradient = null;
          double norm;
          if (!update) {
            NDArray values = flat.getGradient().toType(DataType.FLOAT64, true);
            gradient = values.toDoubleArray();
            script.call("clear", new NDList(flat.getGradient()));
            norm = Double.NaN;
          } else if (!finite) {
            script.call("clear", new NDList(flat.getGradient()));
            norm = Double.NaN;
          } else {
            norm =
                scalar(script.call("adamw", optimizerArguments(step, number, rateFactor)).head());
            finite = Double.isFinite(norm);
            momentSteps += finite ? 1 : 0;
          }
          return new Outcome(
              !finite,
              lossContrastive,
              lossNextToken,
              targets > 0 ? hits / targets : Double.NaN,
              norm,
              masked,
              cosines,
              gradient);
        });
  }

  /**
   * A unit's rows as the second pass computes them: as the first did, seeds and all. With others
   * the gradient is of a model that nobody embedded with; tests show that they would notice.
   */
  List<Row> again(List<Row> unit) {
    return unit;
  }

  /** The adapter's tensors without their past, each with a gradient of zeros to add to. */
  private Lvlm.NativeAdapter leaves(NDManager step, Lvlm.NativeAdapter made) {
    Lvlm.NativeAdapter leaves = made.with(made.script().call("leaves", made.tensors()));
    leaves.tensors().forEach(leaf -> leaf.setRequiresGradient(true));
    JniUtils.setGradMode(true);
    backward(
        leaves.script().call("nothing", leaves.tensors()).head(), model.wide(step, weight(1), ONE));
    JniUtils.setGradMode(false);
    return leaves;
  }

  /** Pushes what the leaves have collected back to the flat vector. */
  private void collect(NDManager step, Lvlm.NativeAdapter made, Lvlm.NativeAdapter leaves) {
    NDList arguments = new NDList(made.tensors());
    for (NDArray leaf : leaves.tensors()) {
      NDArray gradient = leaf.getGradient();
      gradient.setName("gradients[]");
      arguments.add(gradient);
    }
    JniUtils.setGradMode(true);
    backward(made.script().call("collected", arguments).head(), model.wide(step, weight(1), ONE));
    JniUtils.setGradMode(false);
  }

  private static final Shape ONE = new Shape();

  private static float[] weight(double value) {
    return new float[] {(float) value};
  }

  private static double scalar(NDArray array) {
    return array.toType(DataType.FLOAT64, true).getDouble();
  }

  private static void backward(NDArray of, NDArray upstream) {
    JniUtils.backward((PtNDArray) of, (PtNDArray) upstream, false, false);
  }

  private NDList optimizerArguments(NDManager step, long number, double rateFactor) {
    Optimizer optimizer = config.optimizer();
    // What differs from step to step: the rate by schedule and drift, the corrections by count.
    double[] now = {
      optimizer.rate(number) * rateFactor,
      1 - Math.pow(optimizer.beta1(), momentSteps + 1.0),
      1 - Math.pow(optimizer.beta2(), momentSteps + 1.0)
    };
    NDArray host = Lvlm.host(step).create(now);
    return new NDList(flat.getGradient(), flat, firstMoment, secondMoment, host);
  }

  private static long[] places(int[] place, int[] rows) {
    return IntStream.of(rows).mapToLong(row -> place[row]).toArray();
  }

  /**
   * Cuts rows into units of at most {@code chunk} rows and about {@link #UNIT_TOKENS} tokens, in
   * order of length. Sorting is stable, so a unit's content depends on the batch alone.
   */
  static List<List<Integer>> units(List<Row> rows, int chunk) {
    List<Integer> order =
        IntStream.range(0, rows.size())
            .boxed()
            .sorted(Comparator.comparing(i -> rows.get(i).length()))
            .toList();
    List<List<Integer>> units = new ArrayList<>();
    List<Integer> unit = new ArrayList<>();
    int tokens = 0;
    for (int row : order) {
      if (!unit.isEmpty() && (unit.size() == chunk || tokens >= UNIT_TOKENS)) {
        units.add(unit);
        unit = new ArrayList<>();
        tokens = 0;
      }
      unit.add(row);
      tokens += rows.get(row).length();
    }
    if (!unit.isEmpty()) {
      units.add(unit);
    }
    return units;
  }

  @Override
  public void close() {
    script.close();
    for (NDArray array : List.of(flat, firstMoment, secondMoment)) {
      NDScope.unregister(array);
      array.close();
    }
  }
}
