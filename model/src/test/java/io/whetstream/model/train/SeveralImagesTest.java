package io.whetstream.model.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import io.whetstream.model.Golden;
import io.whetstream.model.GoldenBatch;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.image.RgbImage;
import io.whetstream.model.lvlm.AdapterLayout;
import io.whetstream.model.lvlm.Embedder;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.lvlm.Row;
import io.whetstream.model.onnx.Scorer;
import io.whetstream.model.onnx.ScorerAdapter;
import io.whetstream.model.onnx.ScorerOptions;
import io.whetstream.model.text.TextTokenizer;
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

  /** From pictures to rows, and in both engines to the same vectors. */
  @TestFactory
  Stream<DynamicTest> aTrainerLearnsPairsOfTwoPicturesAndTheScorerAgrees() {
    return GoldenBatch.directories().stream()
        .filter(Golden.holding("batch.json"))
        .map(directory -> dynamicTest(directory.getFileName().toString(), () -> learn(directory)));
  }

  private void learn(Path directory) {
    ImageProcessor processor = ImageProcessor.open(directory);
    try (Checkpoint checkpoint = Checkpoint.open(directory);
        TextTokenizer tokenizer = TextTokenizer.open(directory);
        Lvlm model = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP32, "cpu", 1));
        Trainer trainer = Trainer.create(model, tokenizer, TrainingConfig.defaults().withSeed(2))) {
      List<PreparedPair> pairs = new ArrayList<>();
      for (int i = 0; i < 4; i++) {
        List<RgbImage> pictures = List.of(drawn(40 + 9 * i, 24, i), drawn(30, 50 + 7 * i, 9 - i));
        pairs.add(
            new PreparedPair(
                "pair" + i,
                processor.process(pictures),
                tokenizer.encode("two of kind " + i),
                tokenizer.encode("a longer text about two pictures of kind " + i),
                "digest" + i,
                null));
      }
      StepReport first = trainer.step(pairs);
      assertEquals(
          pairs.stream()
              .flatMap(pair -> pair.images().stream())
              .mapToLong(ModelImage::tokens)
              .sum(),
          first.imageTokens());
      StepReport last = first;
      for (int step = 0; step < 8; step++) {
        last = trainer.step(pairs);
      }
      double before = first.lossContrastive() + first.lossNextToken();
      double after = last.lossContrastive() + last.lossNextToken();
      assertTrue(after < before, "loss " + before + ", then " + after);
      scored(directory, trainer, model, tokenizer, pairs);
    }
  }

  private void scored(
      Path directory,
      Trainer trainer,
      Lvlm model,
      TextTokenizer tokenizer,
      List<PreparedPair> pairs) {
    AdapterWeights weights = trainer.weights();
    List<ModelImage> images = new ArrayList<>();
    List<Row> rows = new ArrayList<>();
    for (PreparedPair pair : pairs) {
      long[] ids =
          trainer
              .sequences()
              .imageRow(pair.images().stream().map(ModelImage::geometry).toList(), true);
      rows.add(Row.embedding(ids, false, images.size(), images.size() + 1));
      images.addAll(pair.images());
    }
    float[][] trained =
        new Embedder(model, tokenizer, trainer.sequences().templates(), 3)
            .embed(weights, rows, images);
    ScorerOptions options =
        ScorerOptions.defaults().withThreads(1).withCache(scratch.resolve("onnx"));
    AdapterArtifact artifact =
        new AdapterArtifact(weights, AdapterManifest.builder(weights, null).build());
    try (Scorer scorer = Scorer.open(directory, options);
        ScorerAdapter adapter = scorer.load(artifact)) {
      float[][] scored = scorer.embedRows(adapter, rows, images);
      for (int i = 0; i < scored.length; i++) {
        assertArrayEquals(trained[i], scored[i], 1e-4f, "row " + i);
      }
    }
  }

  /** Stripes whose width and colour depend on a number. */
  private static RgbImage drawn(int width, int height, int kind) {
    byte[] rgb = new byte[3 * width * height];
    for (int i = 0; i < width * height; i++) {
      boolean stripe = (i % width + i / width) / (2 + kind) % 2 == 0;
      rgb[3 * i + kind % 3] = (byte) (stripe ? 250 : 20 * kind);
    }
    return new RgbImage(width, height, rgb);
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
