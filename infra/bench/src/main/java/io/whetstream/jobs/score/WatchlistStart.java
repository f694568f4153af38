package io.whetstream.jobs.score;

import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.model.adapter.Calibration;
import io.whetstream.model.image.ModelImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * What a watchlist costs a TaskManager: how long it takes to have it ready when its vectors are on
 * disk, and the memory of one, two and more subtasks in one process. In this package because the
 * parts that subtasks share are not for everybody.
 */
@Command(name = "watchlist-start")
public final class WatchlistStart implements Callable<Integer> {
  @Option(names = "--queries", defaultValue = "100000")
  private int queries;

  @Option(names = "--dimension", defaultValue = "128")
  private int dimension;

  @Option(names = "--subtasks", split = ",", defaultValue = "1,2,4")
  private List<Integer> subtasks;

  /** Runs the measurement. */
  public static void main(String[] args) {
    System.exit(new CommandLine(new WatchlistStart()).execute(args));
  }

  @Override
  public Integer call() throws IOException {
    Path directory = Files.createTempDirectory("whetstream-watchlist-start");
    try {
      System.out.println(
          "| subtasks in a process | queries | dimension | ready without vectors on disk, s | with"
              + " them, s | MB of direct memory | MB of heap |\n|---|---|---|---|---|---|---|");
      for (int count : subtasks) {
        Path own = directory.resolve(Integer.toString(count));
        double without = start(own, count).seconds();
        Started with = start(own, count);
        System.out.printf(
            Locale.ROOT,
            "| %d | %d | %d | %.1f | %.1f | %.1f | %.1f |%n",
            count,
            queries,
            dimension,
            without,
            with.seconds(),
            with.directBytes() / 1e6,
            with.heapBytes() / 1e6);
      }
    } finally {
      try (Stream<Path> files = Files.walk(directory)) {
        files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
      }
    }
    return 0;
  }

  private record Started(double seconds, long directBytes, long heapBytes) {}

  private static long heap() {
    System.gc();
    return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
  }

  private Started start(Path directory, int count) {
    long before = heap();
    Vectors embedder = new Vectors(dimension);
    IdleCores cores = new IdleCores();
    MatrixProduct product = new MatrixProduct(dimension, cores);
    WatchlistTable table = new WatchlistTable(dimension);
    List<MatchEngine> engines = new ArrayList<>();
    long begin = System.nanoTime();
    VectorSpill spill = VectorSpill.open(directory, embedder.baseDigest(), dimension);
    for (int i = 0; i < count; i++) {
      MatchEngine engine =
          new MatchEngine(
              embedder,
              table,
              product,
              spill,
              new MatchEngine.Settings(32, 4096, queries, 3, 64),
              wanted -> {
                throw new IllegalStateException("no other adapter is asked for");
              },
              Runnable::run,
              new Ignored());
      engine.start(
          new LoadedAdapter(
              new AdapterVersion(0, 1, "1"),
              embedder.base(),
              new Calibration(new TreeMap<>(Map.of()))));
      engines.add(engine);
      for (int q = 0; q < queries; q++) {
        engine.upsert(
            new WatchedQuery(
                "q" + q,
                q,
                new Coordinates("queries", 0, q),
                "query " + q,
                null,
                Set.of(MatchKind.IMAGE_TEXT),
                List.of(),
                0.9,
                null,
                null),
            false);
      }
    }
    for (MatchEngine engine : engines) {
      while (engine.hasWork()) {
        engine.work();
      }
    }
    double seconds = (System.nanoTime() - begin) / 1e9;
    long direct = table.bytes();
    long heap = heap() - before;
    engines.forEach(MatchEngine::close);
    if (spill != null) {
      spill.close();
    }
    product.close();
    cores.close();
    return new Started(seconds, direct, heap);
  }

  private static final class Ignored implements MatchEngine.Events {
    @Override
    public void queryAccepted(WatchedQuery query, Map<MatchKind, Double> thresholds, String note) {}

    @Override
    public void queryRefused(WatchedQuery query, String reason) {
      throw new IllegalStateException(reason);
    }

    @Override
    public void adapterRefused(AdapterVersion version, String reason) {
      throw new IllegalStateException(reason);
    }

    @Override
    public void flipped(AdapterVersion from, AdapterVersion to, long nanos) {}
  }

  private record Named(String digest) implements Embedder.Adapter {
    @Override
    public void close() {}
  }

  /** Random vectors, so that what is measured is not the model. */
  private record Vectors(int dimension) implements Embedder {
    @Override
    public float[][] texts(Adapter adapter, List<String> texts) {
      float[][] vectors = new float[texts.size()][dimension];
      for (int i = 0; i < vectors.length; i++) {
        Random random = new Random(texts.get(i).hashCode());
        for (int k = 0; k < dimension; k++) {
          vectors[i][k] = (random.nextFloat() - 0.5f) * (float) Math.sqrt(12.0 / dimension);
        }
      }
      return vectors;
    }

    @Override
    public String baseDigest() {
      return "0".repeat(64);
    }

    @Override
    public Adapter base() {
      return new Named("1");
    }

    @Override
    public ModelImage image(byte[] encoded, String where) {
      throw new UnsupportedOperationException();
    }

    @Override
    public ContentGroup group(byte[] encoded, String where) {
      throw new UnsupportedOperationException();
    }

    @Override
    public float[][] images(Adapter adapter, List<ModelImage> images) {
      throw new UnsupportedOperationException();
    }

    @Override
    public void close() {}
  }
}
