package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.Calibration;
import io.whetstream.model.scenes.Scene;
import io.whetstream.model.scenes.SceneGenerator;
import io.whetstream.model.scenes.SceneLook;
import io.whetstream.model.scenes.SceneRenderer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Rates asked for and rates measured, with ONNX Runtime on drawn scenes. */
class FalsePositiveRateTest {
  private static final int CALIBRATION = 1000;
  private static final int QUERIES = 250;
  private static final int ITEMS = 500;

  @TempDir Path directory;

  /**
   * The measured rate is within a factor of 2 of the asked one under each of three adapters. Scores
   * of one image go together, so what counts is the number of different images, not of comparisons.
   */
  @Tag("slow")
  @Test
  void theMeasuredRateIsTheOneAskedForUnderSuccessiveAdapters() {
    Path model = TinyModel.copy(directory.resolve("base"));
    ScoreConfig config = ScoreConfig.parse("base: {model: '" + model + "', threads: 1}", List.of());
    try (OnnxEmbedder embedder = OnnxEmbedder.open(config.base(), 1_000_000, 32);
        MatrixProduct product = new MatrixProduct(embedder.dimension())) {
      for (long n = 1; n <= 3; n++) {
        AdapterArtifact artifact = TinyModel.adapter(n, 4, embedder.baseDigest(), Calibration.NONE);
        Calibration calibration = calibrate(embedder, artifact);
        for (double rate : new double[] {1e-2, 1e-3}) {
          int[] counts = measure(embedder, product, artifact, calibration, rate);
          double measured = (double) counts[0] / counts[1];
          double error = 1.96 * Math.sqrt(measured * (1 - measured) / counts[1]);
          String report =
              String.format(
                  "adapter %d, asked %.0e: %d of %d non-matching, %.2e +- %.1e; planted found %d of"
                      + " %d",
                  n, rate, counts[0], counts[1], measured, error, counts[2], counts[3]);
          System.out.println(report);
          assertTrue(counts[1] >= 20_000, report);
          assertTrue(measured >= rate / 2 && measured <= rate * 2, report);
          assertEquals(counts[3], counts[2], report);
        }
      }
    }
  }

  private static Scene scene(long seed, int index) {
    return new SceneGenerator(seed, SceneLook.STANDARD).scene(index);
  }

  private static float[][] images(
      OnnxEmbedder embedder, Embedder.Adapter adapter, long seed, int count) {
    float[][] vectors = new float[count][];
    for (int i = 0; i < count; i += 25) {
      List<float[]> pixels = new ArrayList<>();
      for (int j = i; j < i + 25; j++) {
        pixels.add(pixels(embedder, seed, j));
      }
      System.arraycopy(embedder.images(adapter, pixels), 0, vectors, i, 25);
    }
    return vectors;
  }

  private static float[] pixels(OnnxEmbedder embedder, long seed, int index) {
    return embedder.pixels(SceneRenderer.png(SceneRenderer.render(scene(seed, index))), "scene");
  }

  /** Thresholds of image-image and text-text comparisons of different scenes of another stream. */
  private static Calibration calibrate(OnnxEmbedder embedder, AdapterArtifact artifact) {
    try (Embedder.Adapter adapter = embedder.load(artifact)) {
      float[][] vectors = images(embedder, adapter, 77, CALIBRATION);
      double[] scores = new double[CALIBRATION * (CALIBRATION - 1) / 2];
      int count = 0;
      for (int i = 0; i < CALIBRATION; i++) {
        for (int j = i + 1; j < CALIBRATION; j++) {
          scores[count++] = MatchEngine.dot(vectors[i], vectors[j]);
        }
      }
      Arrays.sort(scores);
      List<Double> rates = new ArrayList<>();
      List<Double> thresholds = new ArrayList<>();
      for (double rate = 5e-4; rate < 1; rate *= 1.15) {
        rates.add(rate);
        thresholds.add(scores[count - Math.max(1, (int) Math.round(rate * count))]);
      }
      return new Calibration(
          new TreeMap<>(Map.of("image-image", new Calibration.Curve(count, rates, thresholds))));
    }
  }

  /** Hits among non-matching comparisons, their number, planted matches found, their number. */
  private static int[] measure(
      OnnxEmbedder embedder,
      MatrixProduct product,
      AdapterArtifact artifact,
      Calibration calibration,
      double rate) {
    Map<String, Boolean> accepted = new HashMap<>();
    MatchEngine.Events events =
        new MatchEngine.Events() {
          @Override
          public void queryAccepted(
              WatchedQuery query, Map<MatchKind, Double> thresholds, String note) {
            accepted.put(query.id(), true);
          }

          @Override
          public void queryRefused(WatchedQuery query, String reason) {
            throw new AssertionError(reason);
          }

          @Override
          public void adapterRefused(AdapterVersion version, String reason) {
            throw new AssertionError(reason);
          }

          @Override
          public void flipped(AdapterVersion from, AdapterVersion to, long nanos) {}
        };
    int[] counts = new int[4];
    try (MatchEngine engine =
        new MatchEngine(
            embedder,
            new WatchlistTable(embedder.dimension()),
            product,
            null,
            new MatchEngine.Settings(25, 50, 10_000, 0, 64),
            wanted -> null,
            Runnable::run,
            events)) {
      AdapterVersion version = new AdapterVersion(0, 1, artifact.digest());
      engine.start(new LoadedAdapter(version, embedder.load(artifact), calibration));
      for (int i = 0; i < QUERIES; i++) {
        byte[] image = SceneRenderer.png(SceneRenderer.render(scene(5, i)));
        engine.upsert(
            new WatchedQuery(
                "q" + i,
                i,
                new Coordinates("queries", 0, i),
                null,
                image,
                Set.of(MatchKind.IMAGE_IMAGE),
                null,
                rate,
                null),
            false);
      }
      while (engine.hasWork()) {
        engine.work();
      }
      assertEquals(QUERIES, accepted.size());
      for (int i = 0; i < ITEMS; i += 25) {
        List<MatchEngine.Prepared> batch = new ArrayList<>();
        for (int j = i; j < i + 25; j++) {
          // One item in ten shows what a query watches for.
          boolean planted = j % 10 == 0 && j < QUERIES;
          batch.add(new MatchEngine.Prepared(pixels(embedder, planted ? 5 : 6, j), null));
        }
        for (MatchEngine.Match match : engine.match(batch).matches()) {
          int item = i + match.item();
          boolean planted =
              item % 10 == 0 && item < QUERIES && match.query().id().equals("q" + item);
          counts[planted ? 2 : 0]++;
        }
        engine.work();
      }
    }
    counts[3] = QUERIES / 10;
    counts[1] = ITEMS * QUERIES - counts[3];
    return counts;
  }
}
