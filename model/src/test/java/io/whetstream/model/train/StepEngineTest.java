package io.whetstream.model.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.Golden;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.ModelConfig;
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
    List<float[]> pixels = new ArrayList<>();
    for (int i = 0; i < PAIRS - 1; i++) {
      float[] image = new float[3 * edge * edge];
      for (int j = 0; j < image.length; j++) {
        image[j] = (float) random.nextGaussian();
      }
      pixels.add(image);
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
              ids, Math.min(i, PAIRS - 2), false, prompt - 1, tail == 0 ? null : targets, 77L + i));
      long[] caption = new long[4 + 3 * i];
      caption[0] = config.text().bosTokenId();
      for (int t = 1; t < caption.length - 2; t++) {
        caption[t] = 3L + random.nextInt(200);
      }
      caption[caption.length - 2] = -1;
      caption[caption.length - 1] = -2;
      textRows[i] = rows.size();
      rows.add(new Row(caption, -1, true, caption.length - 1, null, 770L + i));
    }
    boolean[] excluded = new boolean[PAIRS * PAIRS];
    excluded[(PAIRS - 2) * PAIRS + PAIRS - 1] = true;
    excluded[(PAIRS - 1) * PAIRS + PAIRS - 2] = true;
    return new TrainingBatch(rows, pixels, imageRows, textRows, excluded);
  }

  private static StepEngine.Outcome gradient(TrainingConfig config, TrainingBatch batch) {
    AdapterLayout layout = new AdapterLayout(model.config(), config.adapter());
    try (StepEngine engine = new StepEngine(model, layout, config, weights(layout))) {
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

  @Test
  void cachedGradientsEqualThePlainStepWithDropoutOn() {
    TrainingBatch batch = batch(model.config());
    StepEngine.Outcome plain = gradient(config(0.3, 0, FalseNegatives.KEEP, 0), batch);
    for (int chunk : new int[] {1, 2, 3, 5, 7}) {
      StepEngine.Outcome cached = gradient(config(0.3, 0, FalseNegatives.KEEP, chunk), batch);
      assertEquals(plain.lossContrastive(), cached.lossContrastive(), 1e-6);
      assertEquals(plain.lossNextToken(), cached.lossNextToken(), 1e-5);
      double difference = relative(plain.gradient(), cached.gradient());
      assertTrue(difference <= 1e-6, "chunk " + chunk + " differs by " + difference);
    }
  }

  /** The equality above rests on replayed randomness: other masks in one pass must break it. */
  @Test
  void cachedGradientsDifferWhenRandomnessIsNotReplayed() {
    TrainingBatch batch = batch(model.config());
    List<Row> reseeded =
        batch.rows().stream()
            .map(
                r ->
                    new Row(
                        r.ids(), r.image(), r.textSide(), r.readout(), r.targets(), r.seed() + 1))
            .toList();
    TrainingBatch other =
        new TrainingBatch(
            reseeded, batch.pixels(), batch.imageRows(), batch.textRows(), batch.excluded());
    StepEngine.Outcome plain = gradient(config(0.3, 0, FalseNegatives.KEEP, 0), batch);
    StepEngine.Outcome cached = gradient(config(0.3, 0, FalseNegatives.KEEP, 2), other);
    assertTrue(relative(plain.gradient(), cached.gradient()) > 1e-2);
  }

  @Test
  void dropoutDropsTheShareItIsToldTo() {
    TrainingBatch batch = batch(model.config());
    double[] without = gradient(config(0, 0, FalseNegatives.KEEP, 0), batch).gradient();
    double[] with = gradient(config(0.3, 0, FalseNegatives.KEEP, 0), batch).gradient();
    assertTrue(relative(without, with) > 1e-2, "dropout has no effect");
  }

  @Test
  void gradientOfTheWholeLossEqualsFiniteDifferencesIn64Bits() {
    try (Lvlm exact = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP64, "cpu", 1))) {
      for (FalseNegatives masks : FalseNegatives.values()) {
        TrainingConfig config = config(0.2, 0, masks, 2);
        AdapterLayout layout = new AdapterLayout(exact.config(), config.adapter());
        float[] at = weights(layout);
        TrainingBatch batch = batch(exact.config());
        double[] gradient;
        int masked;
        try (StepEngine engine = new StepEngine(exact, layout, config, at)) {
          StepEngine.Outcome outcome = engine.gradient(batch);
          gradient = outcome.gradient();
          masked = outcome.maskedNegatives();
        }
        assertTrue(masked >= 2, "the explicit exclusion counts in both directions");
        Random random = new Random(31);
        double largest = Arrays.stream(gradient).map(Math::abs).max().orElseThrow();
        for (int trial = 0; trial < 12; trial++) {
          int index = trial == 0 ? at.length - 1 : random.nextInt(at.length);
          double numeric = numeric(exact, layout, config, batch, at, index);
          assertEquals(gradient[index], numeric, 2e-6 * largest, masks + " at " + index);
        }
      }
    }
  }

  /** Central difference; steps are powers of two so that 32-bit weights hold them exactly. */
  private static double numeric(
      Lvlm exact,
      AdapterLayout layout,
      TrainingConfig config,
      TrainingBatch batch,
      float[] at,
      int index) {
    double h = Math.ulp(at[index]) * 512;
    h = Math.max(h, 0x1p-16);
    double[] loss = new double[2];
    double[] place = new double[2];
    for (int side = 0; side < 2; side++) {
      float[] moved = at.clone();
      moved[index] += (float) (side == 0 ? h : -h);
      place[side] = moved[index];
      try (StepEngine engine = new StepEngine(exact, layout, config, moved)) {
        StepEngine.Outcome outcome = engine.gradient(batch);
        loss[side] =
            config.objective().contrastiveWeight() * outcome.lossContrastive()
                + config.objective().nextTokenWeight() * outcome.lossNextToken();
      }
    }
    return (loss[0] - loss[1]) / (place[0] - place[1]);
  }

  @Test
  void hardnessRaisesTheWeightOfHardNegativesByItsFormula() {
    TrainingBatch batch = batch(model.config());
    StepEngine.Outcome plain = gradient(config(0, 0, FalseNegatives.KEEP, 0), batch);
    StepEngine.Outcome hard = gradient(config(0, 9, FalseNegatives.KEEP, 0), batch);
    double[] s = new double[PAIRS * PAIRS];
    for (int i = 0; i < s.length; i++) {
      s[i] = plain.cosines()[i];
    }
    assertEquals(loss(s, 0, batch.excluded()), plain.lossContrastive(), 1e-5);
    assertEquals(loss(s, 9, batch.excluded()), hard.lossContrastive(), 1e-5);
  }

  /** Symmetric InfoNCE written out, scale 14. */
  private static double loss(double[] s, double alpha, boolean[] excluded) {
    double sum = 0;
    for (int i = 0; i < PAIRS; i++) {
      double forward = 0;
      double backward = 0;
      for (int j = 0; j < PAIRS; j++) {
        double a = i == j ? 0 : alpha;
        if (!excluded[i * PAIRS + j]) {
          forward += Math.exp((14 + a) * s[i * PAIRS + j]);
        }
        if (!excluded[j * PAIRS + i]) {
          backward += Math.exp((14 + a) * s[j * PAIRS + i]);
        }
      }
      double own = 14 * s[i * PAIRS + i];
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
    bad.pixels().get(0)[0] = Float.NaN;
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
        assertTrue(scale >= 0 && scale <= (float) Math.log(100), "scale " + scale);
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
