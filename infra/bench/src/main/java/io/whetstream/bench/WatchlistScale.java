package io.whetstream.bench;

import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.jobs.score.AdapterVersion;
import io.whetstream.jobs.score.ContentGroup;
import io.whetstream.jobs.score.Embedder;
import io.whetstream.jobs.score.LoadedAdapter;
import io.whetstream.jobs.score.MatchEngine;
import io.whetstream.jobs.score.WatchedQuery;
import io.whetstream.model.adapter.Calibration;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.onnx.Scorer;
import io.whetstream.model.onnx.ScorerOptions;
import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.DemoBase;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * Watchlists of growing size: matching, flips, re-embedding and memory. Vectors are random, so this
 * measures everything but the model; what the model adds is measured beside it on the demo base.
 */
@Command(name = "watchlist-scale")
public final class WatchlistScale implements Callable<Integer> {
  @Option(names = "--queries", split = ",", defaultValue = "1000,10000,100000")
  private List<Integer> sizes;

  @Option(names = "--dimension", split = ",", defaultValue = "512")
  private List<Integer> dimensions;

  private int dimension;

  @Option(names = "--batch", defaultValue = "32")
  private int batch;

  @Option(names = "--batches", defaultValue = "30")
  private int batches;

  @Option(
      names = "--flips",
      defaultValue = "200",
      description = "0 for a million queries: vectors of two adapters need not fit.")
  private int flips;

  /** Runs the measurement. */
  public static void main(String[] args) {
    System.exit(new CommandLine(new WatchlistScale()).execute(args));
  }

  @Override
  public Integer call() {
    System.out.println(
        "| queries | dimension | us per item, batches of "
            + batch
            + " (p50) | flip us p50 | flip us p99 | flip us max | MB of vectors, one digest | MB of"
            + " heap | us per query to re-embed, without the model |\n"
            + "|---|---|---|---|---|---|---|---|---|");
    for (int each : dimensions) {
      dimension = each;
      for (int size : sizes) {
        print(measure(size));
      }
    }
    model();
    return 0;
  }

  private static long heap() {
    System.gc();
    return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
  }

  /**
   * What was measured at a size.
   *
   * @param itemMicros of one item, median
   */
  record Figures(
      int size,
      double itemMicros,
      double flipP50Micros,
      double flipP99Micros,
      double flipMaxMicros,
      double megabytes,
      double heapMegabytes,
      double reembedMicros) {}

  /** Measures one size, with as many flips. */
  static Figures measure(int size, int flips) {
    WatchlistScale scale = new WatchlistScale();
    new CommandLine(scale).parseArgs("--flips", Integer.toString(flips));
    scale.dimension = scale.dimensions.get(0);
    return scale.measure(size);
  }

  private void print(Figures figures) {
    System.out.printf(
        Locale.ROOT,
        "| %d | %d | %.1f | %.0f | %.0f | %.0f | %.1f | %.1f | %.2f |%n",
        figures.size(),
        dimension,
        figures.itemMicros(),
        figures.flipP50Micros(),
        figures.flipP99Micros(),
        figures.flipMaxMicros(),
        figures.megabytes(),
        figures.heapMegabytes(),
        figures.reembedMicros());
  }

  private Figures measure(int size) {
    List<Long> flipNanos = new ArrayList<>();
    long heapBefore = heap();
    RandomVectors embedder = new RandomVectors(dimension);
    try (MatchEngine engine =
        MatchEngine.alone(
            embedder,
            new MatchEngine.Settings(batch, 4096, size, 3, 64),
            wanted -> new LoadedAdapter(wanted, new Named(wanted.digest()), calibration()),
            new Flips(flipNanos))) {
      AdapterVersion first = new AdapterVersion(0, 1, "1");
      engine.start(new LoadedAdapter(first, new Named("1"), calibration()));
      for (int i = 0; i < size; i++) {
        boolean byRate = i % 2 == 0;
        engine.upsert(
            new WatchedQuery(
                "q" + i,
                i,
                new Coordinates("queries", 0, i),
                "query " + i,
                null,
                Set.of(MatchKind.IMAGE_TEXT),
                List.of(),
                byRate ? null : Double.valueOf(0.99),
                byRate ? Double.valueOf(0.001) : null,
                null),
            false);
      }
      drain(engine);
      double[] perItem = new double[batches];
      for (int i = -5; i < batches; i++) {
        List<MatchEngine.Prepared> items = new ArrayList<>();
        for (int j = 0; j < batch; j++) {
          items.add(new MatchEngine.Prepared(picture(i * batch + j), null));
        }
        long start = System.nanoTime();
        engine.match(items);
        if (i >= 0) {
          perItem[i] = (System.nanoTime() - start) / 1e3 / batch;
        }
      }
      long bytes = engine.watchlistBytes();
      long heap = heap() - heapBefore;
      long start = System.nanoTime();
      int turns = Math.min(flips, Math.max(3, 200_000 / size));
      for (int n = 0; n < turns; n++) {
        flip(engine, n + 2);
      }
      double reembed = turns == 0 ? 0 : (System.nanoTime() - start) / 1e3 / ((double) turns * size);
      // The flip itself is what is wanted 200 times: vectors from one array make it quick.
      embedder.constant = true;
      for (int n = turns; n < flips; n++) {
        flip(engine, n + 2);
      }
      if (flips == 0) {
        flipNanos.add(0L);
      }
      long[] sorted = flipNanos.stream().mapToLong(Long::longValue).sorted().toArray();
      Arrays.sort(perItem);
      return new Figures(
          size,
          perItem[batches / 2],
          sorted[sorted.length / 2] / 1e3,
          sorted[(int) Math.ceil(sorted.length * 0.99) - 1] / 1e3,
          sorted[sorted.length - 1] / 1e3,
          bytes / 1e6,
          heap / 1e6,
          reembed);
    }
  }

  private static void flip(MatchEngine engine, long n) {
    engine.switchTo(new AdapterVersion(0, n, Long.toString(n)));
    drain(engine);
  }

  private static void drain(MatchEngine engine) {
    while (engine.hasWork()) {
      engine.work();
    }
  }

  private static Calibration calibration() {
    return new Calibration(
        new TreeMap<>(
            Map.of(
                "image-text",
                new Calibration.Curve(
                    1_000_000, List.of(0.0001, 0.01, 1.0), List.of(0.9, 0.8, 0.1)))));
  }

  /** What one thread embeds with the demo base. */
  private void model() {
    Path directory = DemoBase.directory();
    ImageProcessor images = ImageProcessor.open(directory);
    SceneGenerator scenes = new SceneGenerator(3, SceneLook.STANDARD);
    List<String> texts = new ArrayList<>();
    List<ModelImage> pictures = new ArrayList<>();
    for (int i = 0; i < batch; i++) {
      texts.add(Captioner.shortCaption(scenes.scene(i)));
      pictures.add(images.process(SceneRenderer.render(scenes.scene(i))));
    }
    try (Scorer scorer =
        Scorer.open(directory, ScorerOptions.defaults().withThreads(1).withMaxBatch(batch))) {
      double text = Double.MAX_VALUE;
      double image = Double.MAX_VALUE;
      for (int i = 0; i < batches; i++) {
        long start = System.nanoTime();
        scorer.embedTexts(scorer.base(), texts);
        long middle = System.nanoTime();
        scorer.embedImages(scorer.base(), pictures);
        text = Math.min(text, (middle - start) / 1e9);
        image = Math.min(image, (System.nanoTime() - middle) / 1e9);
      }
      System.out.printf(
          Locale.ROOT,
          "demo base, one thread, batches of %d, best: %.0f texts/s, %.0f images/s%n",
          batch,
          batch / text,
          batch / image);
    }
  }

  private record Named(String digest) implements Embedder.Adapter {
    @Override
    public void close() {}
  }

  private record Flips(List<Long> nanos) implements MatchEngine.Events {
    @Override
    public void queryAccepted(WatchedQuery query, Map<MatchKind, Double> scores, String note) {}

    @Override
    public void queryRefused(WatchedQuery query, String reason) {
      throw new IllegalStateException(reason);
    }

    @Override
    public void adapterRefused(AdapterVersion version, String reason) {
      throw new IllegalStateException(reason);
    }

    @Override
    public void flipped(AdapterVersion from, AdapterVersion to, long taken) {
      nanos.add(taken);
    }
  }

  private static ModelImage picture(int number) {
    return new ModelImage(ImageGeometry.whole(1, 1, 1), new float[] {number, 0, 0});
  }

  /** Unit vectors that have nothing to do with content. */
  private static final class RandomVectors implements Embedder {
    private final int dimension;
    private final Random random = new Random(1);
    private boolean constant;
    private final float[] same;

    RandomVectors(int dimension) {
      this.dimension = dimension;
      this.same = vector();
    }

    private float[] vector() {
      float[] vector = new float[dimension];
      double norm = 0;
      for (int i = 0; i < dimension; i++) {
        vector[i] = random.nextFloat() - 0.5f;
        norm += vector[i] * vector[i];
      }
      for (int i = 0; i < dimension; i++) {
        vector[i] /= (float) Math.sqrt(norm);
      }
      return vector;
    }

    private float[][] vectors(int count) {
      float[][] vectors = new float[count][];
      for (int i = 0; i < count; i++) {
        vectors[i] = constant ? same : vector();
      }
      return vectors;
    }

    @Override
    public int dimension() {
      return dimension;
    }

    @Override
    public String baseDigest() {
      return "b".repeat(64);
    }

    @Override
    public Adapter base() {
      return new Named("base");
    }

    @Override
    public ModelImage image(byte[] encoded, String where) {
      throw new UnsupportedOperationException("images are given");
    }

    @Override
    public ContentGroup group(byte[] encoded, String where) {
      throw new UnsupportedOperationException("no alerts here");
    }

    @Override
    public float[][] images(Adapter adapter, List<ModelImage> images) {
      return vectors(images.size());
    }

    @Override
    public float[][] texts(Adapter adapter, List<String> texts) {
      return vectors(texts.size());
    }

    @Override
    public void close() {}
  }
}
