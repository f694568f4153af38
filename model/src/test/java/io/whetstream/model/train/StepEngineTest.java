package io.whetstream.model.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.Golden;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.AdapterLayout;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.lvlm.Row;
import io.whetstream.model.train.TrainingConfig.FalseNegatives;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** What the step engine promises about loss, gradient and update, whatever the model. */
class StepEngineTest {
  private static final int PAIRS = 5;
  private static Checkpoint checkpoint;
  private static Lvlm model;

  @BeforeAll
  static void openModel() {
    checkpoint =
        Checkpoint.open(
            Golden.directories(Golden.holding("model.safetensors").and(Golden.holding("e2e.json")))
                .get(0));
    model = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP32, "cpu", 1));
  }

  @AfterAll
  static void closeModel() {
    model.close();
    checkpoint.close();
  }

  private static TrainingConfig config(
      double dropout, double hardness, FalseNegatives falseNegatives, int chunk) {
    AdapterConfig adapter =
        new AdapterConfig(
            4,
            8,
            false,
            dropout,
            List.of("q_proj", "v_proj", "o_proj", "up_proj", "down_proj"),
            "<image>[a]",
            "<text>[b]",
            3,
            2);
    return new TrainingConfig(
        adapter,
        new TrainingConfig.Objective(1, 0.7, 14, true, 100, hardness, falseNegatives, 0.05),
        TrainingConfig.Optimizer.defaults(),
        chunk,
        3);
  }

  /** Random weights, none of them zero, so that every path carries gradient. */
  private static float[] weights(AdapterLayout layout) {
    Random random = new Random(5);
    float[] flat = new float[layout.size()];
    for (int i = 0; i < flat.length; i++) {
      flat[i] = (float) (0.2 * random.nextGaussian());
    }
    flat[flat.length - 1] = (float) Math.log(14);
    return flat;
  }

  /** Pairs of differing lengths, long captions, two images shared, one explicit exclusion. */
  private static TrainingBatch batch(ModelConfig config) {
    Random random = new Random(9);
    int edge = config.vision().imageSize();
    ImageGeometry picture = ImageGeometry.whole(edge, edge, config.imageTokens());
    List<ModelImage> images = new ArrayList<>();
    for (int i = 0; i < PAIRS - 1; i++) {
      float[] image = new float[3 * edge * edge];
      for (int j = 0; j < image.length; j++) {
        image[j] = (float) random.nextGaussian();
      }
      images.add(new ModelImage(picture, image));
    }
    List<Row> rows = new ArrayList<>();
    int[] imageRows = new int[PAIRS];
    int[] textRows = new int[PAIRS];
    for (int i = 0; i < PAIRS; i++) {
      int prompt = 1 + config.imageTokens() + 3;
      int tail = i == 2 ? 0 : 3 + 4 * i;
      long[] ids = new long[prompt + tail];
      ids[0] = config.text().bosTokenId();
      Arrays.fill(ids, 1, 1 + config.imageTokens(), config.imageTokenId());
      for (int k = 0; k < 3; k++) {
        ids[1 + config.imageTokens() + k] = -(k + 1L);
      }
      long[] targets = new long[ids.length];
      Arrays.fill(targets, -1);
      for (int t = prompt; t < ids.length; t++) {
        ids[t] = 3L + random.nextInt(200);
        targets[t - 1] = ids[t];
      }
      imageRows[i] = rows.size();
      rows.add(
          new Row(
              ids,
              new int[] {Math.min(i, PAIRS - 2)},
              null,
              false,
              prompt - 1,
              tail == 0 ? null : targets,
              77L + i));
      long[] caption = new long[4 + 3 * i];
      caption[0] = config.text().bosTokenId();
      for (int t = 1; t < caption.length - 2; t++) {
        caption[t] = 3L + random.nextInt(200);
      }
      caption[caption.length - 2] = -1;
      caption[caption.length - 1] = -2;
      textRows[i] = rows.size();
      rows.add(Row.embedding(caption, true).withSeed(770L + i));
    }
    boolean[] excluded = new boolean[PAIRS * PAIRS];
    excluded[(PAIRS - 2) * PAIRS + PAIRS - 1] = true;
    excluded[(PAIRS - 1) * PAIRS + PAIRS - 2] = true;
    return new TrainingBatch(rows, images, imageRows, textRows, excluded);
  }

  private static StepEngine.Outcome gradient(TrainingConfig config, TrainingBatch batch) {
    float[] at = weights(new AdapterLayout(model.config(), config.adapter()));
    return outcome(model, config, batch, at);
  }

  private static StepEngine.Outcome outcome(
      Lvlm model, TrainingConfig config, TrainingBatch batch, float[] at) {
    AdapterLayout layout = new AdapterLayout(model.config(), config.adapter());
    try (StepEngine engine = new StepEngine(model, layout, config, at)) {
      return engine.gradient(batch);
    }
  }

  private static double relative(double[] a, double[] b) {
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < a.length; i++) {
      difference += (a[i] - b[i]) * (a[i] - b[i]);
      norm += a[i] * a[i];
    }
    return Math.sqrt(difference / norm);
  }

  /**
   * One engine, one gradient: to the last digits in 64 bits. In 32 bits products of another shape
   * round otherwise; so the plain step is itself some 2e-6 away from the true gradient, and the
   * cached one must be no further. Of the loss no more is lost than {@link #lossBound} allows.
   */
  @Test
  void cachedGradientsEqualThePlainStepWithDropoutOn() {
    TrainingBatch batch = batch(model.config());
    TrainingConfig plain = config(0.3, 0, FalseNegatives.KEEP, 0);
    float[] at = weights(new AdapterLayout(model.config(), plain.adapter()));
    try (Lvlm exact = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP64, "cpu", 1))) {
      StepEngine.Outcome truth = outcome(exact, plain, batch, at);
      StepEngine.Outcome inSingle = outcome(model, plain, batch, at);
      double rounding = relative(truth.gradient(), inSingle.gradient());
      assertEquals(
          truth.lossContrastive(), inSingle.lossContrastive(), lossBound(truth, inSingle, at));
      assertTrue(rounding < 1e-5, "32 bits are off by " + rounding);
      for (int chunk : new int[] {1, 2, 3, 5, 7}) {
        TrainingConfig config = plain.withChunk(chunk);
        StepEngine.Outcome cached = outcome(exact, config, batch, at);
        assertEquals(truth.lossContrastive(), cached.lossContrastive(), 1e-12);
        assertEquals(truth.lossNextToken(), cached.lossNextToken(), 1e-12);
        double difference = relative(truth.gradient(), cached.gradient());
        assertTrue(difference <= 1e-12, "chunk " + chunk + " differs by " + difference);
        StepEngine.Outcome rounded = outcome(model, config, batch, at);
        assertEquals(
            truth.lossContrastive(), rounded.lossContrastive(), lossBound(truth, rounded, at));
        assertEquals(truth.lossNextToken(), rounded.lossNextToken(), 1e-5);
        double off = relative(truth.gradient(), rounded.gradient());
        assertTrue(off <= 1.5 * rounding, "chunk " + chunk + ": " + off + " against " + rounding);
      }
    }
  }

  /**
   * How far two contrastive losses may lie apart. Cross entropy moves by at most twice its largest
   * change of a logit, and a logit is the cosine times the scale: at a scale of 14 two ulps of a
   * cosine near 1 (6e-8 each) are 3e-6 of loss. To that comes the rounding of the sum itself, some
   * ulps of its value. A cosine after three layers is accurate to some tens of units of rounding
   * (6e-8 each); 1.1e-6 was the most that was seen.
   */
  private static double lossBound(StepEngine.Outcome a, StepEngine.Outcome b, float[] at) {
    double cosine = 0;
    for (int i = 0; i < a.cosines().length; i++) {
      cosine = Math.max(cosine, Math.abs(a.cosines()[i] - b.cosines()[i]));
    }
    assertTrue(cosine < 2e-6, "a cosine is off by " + cosine);
    double scale = Math.exp(at[at.length - 1]);
    return 2 * scale * cosine + 4 * Math.ulp((float) a.lossContrastive());
  }

  /** An engine whose second pass draws other masks than its first. */
  private static StepEngine forgetful(TrainingConfig config, float[] at) {
    return new StepEngine(model, new AdapterLayout(model.config(), config.adapter()), config, at) {
      @Override
      List<Row> again(List<Row> unit) {
        return unit.stream().map(row -> row.withSeed(row.seed() + 1)).toList();
      }
    };
  }

  /** The equality above rests on replayed randomness: other masks in one pass alone break it. */
  @Test
  void cachedGradientsDifferWhenOnePassAloneDrawsOtherMasks() {
    TrainingBatch batch = batch(model.config());
    TrainingConfig dropped = config(0.3, 0, FalseNegatives.KEEP, 2);
    float[] at = weights(new AdapterLayout(model.config(), dropped.adapter()));
    double[] plain = gradient(dropped.withChunk(0), batch).gradient();
    try (StepEngine engine = forgetful(dropped, at)) {
      assertTrue(relative(plain, engine.gradient(batch).gradient()) > 1e-2);
    }
    TrainingConfig undropped = config(0, 0, FalseNegatives.KEEP, 2);
    double[] without = gradient(undropped.withChunk(0), batch).gradient();
    try (StepEngine engine = forgetful(undropped, at)) {
      assertTrue(relative(without, engine.gradient(batch).gradient()) < 1e-5, "masks alone");
    }
  }

  /**
   * bfloat16 keeps 8 bits: each product rounds by up to 2^-9, and the gradient is the product of
   * many. It must point where that of 32 bits does, and cached gradients may differ from the plain
   * step's by no more than either does from 32 bits.
   */
  @Test
  void gradientsIn16BitsPointWhereThoseOf32Do() {
    TrainingBatch batch = batch(model.config());
    TrainingConfig plain = config(0.3, 0, FalseNegatives.KEEP, 0);
    float[] at = weights(new AdapterLayout(model.config(), plain.adapter()));
    StepEngine.Outcome single = outcome(model, plain, batch, at);
    try (Lvlm half = Lvlm.open(checkpoint, new LvlmOptions(Precision.BF16, "cpu", 1))) {
      StepEngine.Outcome whole = outcome(half, plain, batch, at);
      double rounding = relative(single.gradient(), whole.gradient());
      System.out.printf(
          "bf16: gradient off by %.4f, cosine %.6f, loss %.5f against %.5f%n",
          rounding,
          cosine(single.gradient(), whole.gradient()),
          whole.lossContrastive(),
          single.lossContrastive());
      assertTrue(rounding > 1e-4, "not 16 bits: " + rounding);
      assertTrue(cosine(single.gradient(), whole.gradient()) > 0.99);
      for (int chunk : new int[] {1, 3}) {
        StepEngine.Outcome cached = outcome(half, plain.withChunk(chunk), batch, at);
        double off = relative(whole.gradient(), cached.gradient());
        System.out.printf("bf16: chunk %d off by %.4f%n", chunk, off);
        assertTrue(off <= rounding, "chunk " + chunk + " is off by " + off + " of " + rounding);
        assertTrue(cosine(single.gradient(), cached.gradient()) > 0.99);
      }
    }
  }

  private static double cosine(double[] a, double[] b) {
    double product = 0;
    double squareA = 0;
    double squareB = 0;
    for (int i = 0; i < a.length; i++) {
      product += a[i] * b[i];
      squareA += a[i] * a[i];
      squareB += b[i] * b[i];
    }
    return product / Math.sqrt(squareA * squareB);
  }

  @Test
  void gradientOfTheWholeLossEqualsFiniteDifferencesIn64Bits() {
    try (Lvlm exact = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP64, "cpu", 1))) {
      for (FalseNegatives masks : FalseNegatives.values()) {
        for (double hardness : new double[] {0, 9}) {
          TrainingConfig config = config(0.2, hardness, masks, 2);
          float[] at = weights(new AdapterLayout(exact.config(), config.adapter()));
          TrainingBatch batch = batch(exact.config());
          StepEngine.Outcome here = outcome(exact, config, batch, at);
          assertTrue(here.maskedNegatives() >= 2, "the explicit exclusion counts both ways");
          assertEquals(
              here.lossContrastive(), writtenOut(config, batch, at, here, here.cosines()), 1e-12);
          double largest = Arrays.stream(here.gradient()).map(Math::abs).max().orElseThrow();
          Random random = new Random(31);
          for (int trial = 0; trial < 12; trial++) {
            int index = trial == 0 ? at.length - 1 : random.nextInt(at.length);
            double numeric = numeric(exact, config, batch, at, index, here.cosines());
            assertEquals(
                here.gradient()[index],
                numeric,
                2e-6 * largest,
                masks + ", hardness " + hardness + ", at " + index);
          }
        }
      }
    }
  }

  /** Central difference; steps are powers of two so that 32-bit weights hold them exactly. */
  private static double numeric(
      Lvlm exact,
      TrainingConfig config,
      TrainingBatch batch,
      float[] at,
      int index,
      double[] fixed) {
    double h = Math.max(Math.ulp(at[index]) * 512, 0x1p-16);
    double[] loss = new double[2];
    double[] place = new double[2];
    for (int side = 0; side < 2; side++) {
      float[] moved = at.clone();
      moved[index] += (float) (side == 0 ? h : -h);
      place[side] = moved[index];
      StepEngine.Outcome there = outcome(exact, config, batch, moved);
      loss[side] =
          config.objective().contrastiveWeight() * writtenOut(config, batch, moved, there, fixed)
              + config.objective().nextTokenWeight() * there.lossNextToken();
    }
    return (loss[0] - loss[1]) / (place[0] - place[1]);
  }

  /**
   * Symmetric InfoNCE written out.
   *
   * @param fixed the cosines that decide on masks and hardness, through which no gradient goes
   */
  private static double writtenOut(
      TrainingConfig config,
      TrainingBatch batch,
      float[] at,
      StepEngine.Outcome outcome,
      double[] fixed) {
    TrainingConfig.Objective o = config.objective();
    double scale = Math.exp(at[at.length - 1]);
    double[] s = outcome.cosines();
    double sum = 0;
    for (int i = 0; i < PAIRS; i++) {
      double positive = fixed[i * PAIRS + i];
      double margin = o.falseNegativeMargin();
      double bound =
          switch (o.falseNegatives()) {
            case KEEP -> Double.POSITIVE_INFINITY;
            case ABSOLUTE -> positive + margin;
            case RELATIVE -> positive - Math.abs(positive) * margin;
          };
      double own = scale * s[i * PAIRS + i];
      double forward = Math.exp(own);
      double backward = Math.exp(own);
      for (int j = 0; j < PAIRS; j++) {
        for (int k : new int[] {i * PAIRS + j, j * PAIRS + i}) {
          if (j != i && !batch.excluded()[k] && fixed[k] <= bound) {
            double term = Math.exp(scale * s[k] + o.hardness() * fixed[k]);
            forward += k == i * PAIRS + j ? term : 0;
            backward += k == i * PAIRS + j ? 0 : term;
          }
        }
      }
      sum += Math.log(forward) - own + Math.log(backward) - own;
    }
    return sum / (2 * PAIRS);
  }

  @Test
  void aStepWithANonFiniteLossChangesNothing() {
    TrainingConfig config = config(0, 0, FalseNegatives.KEEP, 0);
    AdapterLayout layout = new AdapterLayout(model.config(), config.adapter());
    TrainingBatch good = batch(model.config());
    TrainingBatch bad = batch(model.config());
    bad.images().get(0).pixels()[0] = Float.NaN;
    try (StepEngine engine = new StepEngine(model, layout, config, weights(layout))) {
      engine.step(good, 0);
      float[] before = engine.flat();
      float[] first = engine.firstMoment();
      float[] second = engine.secondMoment();
      assertTrue(engine.step(bad, 1).skipped());
      assertArrayEquals(before, engine.flat());
      assertArrayEquals(first, engine.firstMoment());
      assertArrayEquals(second, engine.secondMoment());
      assertFalse(engine.step(good, 1).skipped());
      assertFalse(Arrays.equals(before, engine.flat()));
    }
  }

  @Test
  void theLogitScaleStaysWithinItsBounds() {
    TrainingConfig config = config(0, 0, FalseNegatives.KEEP, 0);
    AdapterLayout layout = new AdapterLayout(model.config(), config.adapter());
    float[] flat = weights(layout);
    flat[flat.length - 1] = (float) Math.log(100);
    try (StepEngine engine = new StepEngine(model, layout, config, flat)) {
      for (int step = 0; step < 5; step++) {
        engine.step(batch(model.config()), step);
        float scale = engine.flat()[flat.length - 1];
        assertEquals(scale, engine.logScale(), "read where it lies");
        assertTrue(scale >= 0 && scale <= (float) Math.log(100), "scale " + scale);
      }
    }
  }

  /** A logarithm of 0 is a bound like any other. */
  @Test
  void aScaleOfOneStaysOne() {
    TrainingConfig config = config(0, 0, FalseNegatives.KEEP, 0);
    TrainingConfig.Objective o = config.objective();
    config =
        config.withObjective(
            new TrainingConfig.Objective(
                o.contrastiveWeight(),
                o.nextTokenWeight(),
                1,
                true,
                1,
                o.hardness(),
                o.falseNegatives(),
                o.falseNegativeMargin()));
    AdapterLayout layout = new AdapterLayout(model.config(), config.adapter());
    float[] flat = weights(layout);
    flat[flat.length - 1] = 0;
    try (StepEngine engine = new StepEngine(model, layout, config, flat)) {
      for (int step = 0; step < 3; step++) {
        engine.step(batch(model.config()), step);
        assertEquals(0, engine.logScale());
      }
    }
  }

  @Test
  void unitsHoldEveryRowOnceInOrderOfLength() {
    List<Row> rows = batch(model.config()).rows();
    for (int chunk : new int[] {2, Integer.MAX_VALUE}) {
      List<List<Integer>> units = StepEngine.units(rows, chunk);
      List<Integer> all = units.stream().flatMap(List::stream).toList();
      assertEquals(rows.size(), all.stream().distinct().count());
      assertEquals(rows.size(), all.size());
      for (int i = 1; i < all.size(); i++) {
        assertTrue(rows.get(all.get(i - 1)).length() <= rows.get(all.get(i)).length());
      }
      units.forEach(unit -> assertTrue(unit.size() <= chunk));
    }
  }
}
