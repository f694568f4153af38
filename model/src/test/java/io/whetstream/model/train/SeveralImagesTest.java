package io.whetstream.model.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import io.whetstream.model.Golden;
import io.whetstream.model.GoldenBatch;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.AdapterLayout;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.lvlm.Row;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/**
 * Training on rows of no, one and two images of different sizes, of every family: both losses, in
 * 64 bits, where the cached step and finite differences have to agree with the plain gradient.
 */
@Tag("golden")
class SeveralImagesTest {
  private static final AdapterConfig ADAPTER =
      new AdapterConfig(
          2, 4, false, 0, List.of("q_proj", "o_proj", "down_proj"), "<image>", "<text>", 0, 0);

  @TempDir Path scratch;

  @TestFactory
  Stream<DynamicTest> theGradientIsThatOfTheLoss() {
    return GoldenBatch.directories().stream()
        .filter(Golden.holding("batch.json"))
        .map(directory -> dynamicTest(directory.getFileName().toString(), () -> check(directory)));
  }

  private void check(Path directory) {
    try (Checkpoint checkpoint = Checkpoint.open(directory);
        Lvlm model = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP64, "cpu", 1))) {
      TrainingBatch batch = batch(directory, model.config().imageTokenId());
      AdapterLayout layout = new AdapterLayout(model.config(), ADAPTER);
      float[] at = new float[layout.size()];
      Random random = new Random(3);
      for (int i = 0; i < at.length; i++) {
        at[i] = (float) random.nextGaussian() * 0.1f;
      }
      at[at.length - 1] = (float) Math.log(1 / 0.07);
      StepEngine.Outcome plain = outcome(model, layout, batch, at, 0);
      double[] gradient = plain.gradient();
      double largest = Arrays.stream(gradient).map(Math::abs).max().orElseThrow();
      for (int chunk : new int[] {1, 2}) {
        StepEngine.Outcome cached = outcome(model, layout, batch, at, chunk);
        for (int i = 0; i < gradient.length; i++) {
          assertEquals(gradient[i], cached.gradient()[i], 1e-11 * largest, "chunk " + chunk);
        }
      }
      for (int place : random.ints(4, 0, at.length).toArray()) {
        double h = 0x1p-16;
        float[] moved = at.clone();
        moved[place] = (float) (at[place] + h);
        double above = loss(outcome(model, layout, batch, moved, 0));
        double step = moved[place];
        moved[place] = (float) (at[place] - h);
        step -= moved[place];
        double below = loss(outcome(model, layout, batch, moved, 0));
        assertEquals(gradient[place], (above - below) / step, 2e-6 * largest, "at " + place);
      }
    }
  }

  private static double loss(StepEngine.Outcome outcome) {
    return outcome.lossContrastive() + outcome.lossNextToken();
  }

  private static StepEngine.Outcome outcome(
      Lvlm model, AdapterLayout layout, TrainingBatch batch, float[] at, int chunk) {
    TrainingConfig config =
        new TrainingConfig(
            ADAPTER,
            new TrainingConfig.Objective(
                1, 1, 14, true, 100, 0, TrainingConfig.FalseNegatives.KEEP, 0),
            TrainingConfig.defaults().optimizer(),
            chunk,
            0);
    try (StepEngine engine = new StepEngine(model, layout, config, at)) {
      return engine.gradient(batch);
    }
  }

  /** Rows with images against rows without; all predict their next words. */
  private TrainingBatch batch(Path directory, int imageToken) {
    GoldenBatch golden = GoldenBatch.read(directory, "", scratch);
    GoldenBatch text = GoldenBatch.read(directory, "text.", scratch);
    List<Row> all = new ArrayList<>(golden.rows());
    all.addAll(text.rows());
    List<ModelImage> images = golden.images();
    List<Row> rows = new ArrayList<>();
    List<Integer> imageRows = new ArrayList<>();
    List<Integer> textRows = new ArrayList<>();
    for (Row row : all) {
      long[] targets = new long[row.length()];
      Arrays.fill(targets, -1);
      for (int t = 0; t + 1 < targets.length; t++) {
        targets[t] = row.ids()[t + 1] == imageToken ? -1 : row.ids()[t + 1];
      }
      boolean pictures = row.images().length > 0;
      (pictures ? imageRows : textRows).add(rows.size());
      rows.add(
          new Row(
              row.ids(),
              row.images(),
              null,
              !pictures,
              row.length() - 1,
              pictures ? targets : null,
              rows.size()));
    }
    assertTrue(rows.stream().anyMatch(row -> row.images().length == 2), "no row of two images");
    int pairs = Math.min(imageRows.size(), textRows.size());
    return new TrainingBatch(
        rows,
        images,
        imageRows.stream().limit(pairs).mapToInt(Integer::intValue).toArray(),
        textRows.stream().limit(pairs).mapToInt(Integer::intValue).toArray(),
        new boolean[pairs * pairs]);
  }
}
