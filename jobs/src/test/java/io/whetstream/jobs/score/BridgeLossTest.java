package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.adapter.Calibration;
import io.whetstream.model.image.ModelImage;
import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What a bridged watchlist loses between successive adapters of one training run. */
class BridgeLossTest {
  private static final int QUERIES = 2000;
  private static final int ITEMS = 600;
  private static final int BATCH = 100;
  private static final double RATE = 1e-3;

  private record Vectors(float[][] texts, float[][] images) {}

  private static Vectors embedded(OnnxEmbedder embedder, AdapterWeights weights) {
    AdapterArtifact artifact =
        new AdapterArtifact(
            weights,
            AdapterManifest.builder(weights, embedder.baseDigest()).stream("default")
                .version(new AdapterManifest.Version(0, 1))
                .calibration(Calibration.NONE)
                .build());
    SceneGenerator scenes = new SceneGenerator(4711, SceneLook.STANDARD);
    List<float[]> texts = new ArrayList<>();
    List<float[]> images = new ArrayList<>();
    try (Embedder.Adapter adapter = embedder.load(artifact)) {
      for (int from = 0; from < QUERIES; from += BATCH) {
        List<String> captions = new ArrayList<>();
        List<ModelImage> pictures = new ArrayList<>();
        for (int i = from; i < from + BATCH; i++) {
          Scene scene = scenes.scene(i);
          captions.add(Captioner.shortCaption(scene));
          // Items are of the queries at the end, which are bridged.
          if (i >= QUERIES - ITEMS) {
            pictures.add(SceneRenderer.processed(SceneRenderer.render(scene)));
          }
        }
        texts.addAll(Arrays.asList(embedder.texts(adapter, captions)));
        if (!pictures.isEmpty()) {
          images.addAll(Arrays.asList(embedder.images(adapter, pictures)));
        }
      }
    }
    return new Vectors(texts.toArray(float[][]::new), images.toArray(float[][]::new));
  }

  /**
   * Recall of planted items, rate among the others.
   *
   * @param planted share of the items that reach the threshold with their own caption
   * @param others share of the other comparisons that do
   */
  private record Found(double planted, double others) {}

  private static Found found(float[][] texts, float[][] images, float threshold) {
    int first = QUERIES - ITEMS;
    int planted = 0;
    int others = 0;
    for (int i = 0; i < ITEMS; i++) {
      for (int q = 0; q < ITEMS; q++) {
        boolean reaches = MatchEngine.dot(images[i], texts[first + q]) >= threshold;
        planted += reaches && i == q ? 1 : 0;
        others += reaches && i != q ? 1 : 0;
      }
    }
    return new Found((double) planted / ITEMS, (double) others / ITEMS / (ITEMS - 1));
  }

  private static float threshold(float[][] texts, float[][] images) {
    int first = QUERIES - ITEMS;
    List<Float> scores = new ArrayList<>();
    for (int i = 0; i < ITEMS; i++) {
      for (int q = 0; q < ITEMS; q++) {
        if (i != q) {
          scores.add(MatchEngine.dot(images[i], texts[first + q]));
        }
      }
    }
    scores.sort(null);
    return scores.get((int) (scores.size() * (1 - RATE)));
  }

  @Test
  @Tag("slow")
  void aBridgedWatchlistFindsMoreThanTheOldOneWouldAndWhatItLosesIsPrinted() {
    List<AdapterWeights> trained = TrainedAdapters.get();
    ScoreConfig config = ScoreConfig.parse("base: {model: demo, threads: 1}", List.of());
    try (OnnxEmbedder embedder = OnnxEmbedder.open(config.base(), 1_000_000, BATCH)) {
      System.out.println(
          "| pairs before | pairs after | cosine to own vectors | planted found: own / bridged /"
              + " old | others found: own / bridged / old |\n"
              + "|---|---|---|---|---|");
      Vectors old = embedded(embedder, trained.get(0));
      for (int n = 1; n < trained.size(); n++) {
        Vectors now = embedded(embedder, trained.get(n));
        int samples = VectorBridge.samples(embedder.dimension());
        assertTrue(samples <= QUERIES - ITEMS, "enough to fit on beside what is measured");
        VectorBridge bridge =
            VectorBridge.fit(
                Arrays.asList(old.texts()).subList(0, samples),
                Arrays.asList(now.texts()).subList(0, samples));
        float[][] bridged = Arrays.stream(old.texts()).map(bridge::apply).toArray(float[][]::new);
        double cosine = 0;
        for (int q = QUERIES - ITEMS; q < QUERIES; q++) {
          cosine += MatchEngine.dot(bridged[q], now.texts()[q]) / ITEMS;
        }
        float threshold = threshold(now.texts(), now.images());
        Found own = found(now.texts(), now.images(), threshold);
        Found mapped = found(bridged, now.images(), threshold);
        Found unmapped = found(old.texts(), now.images(), threshold);
        System.out.printf(
            Locale.ROOT,
            "| %d | %d | %.4f | %.3f / %.3f / %.3f | %.2e / %.2e / %.2e |%n",
            TrainedAdapters.PAIRS.get(n - 1),
            TrainedAdapters.PAIRS.get(n),
            cosine,
            own.planted(),
            mapped.planted(),
            unmapped.planted(),
            own.others(),
            mapped.others(),
            unmapped.others());
        assertTrue(
            mapped.planted() > unmapped.planted(), mapped + " bridged, " + unmapped + " not");
        old = now;
      }
    }
  }
}
