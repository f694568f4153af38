package io.whetstream.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.jobs.finetune.JobSpeed;
import io.whetstream.jobs.finetune.MiningSpeed;
import io.whetstream.local.LocalOptions;
import io.whetstream.local.StopSignal;
import io.whetstream.local.demo.Demo;
import io.whetstream.local.demo.DemoOptions;
import io.whetstream.scenes.DemoBase;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * The figures that are compared between versions, measured in one run, each ratio of two that took
 * turns on the same machine. Nothing else should run meanwhile.
 */
public final class Bench {
  private final boolean quick;
  private final int threads;
  private final Path work;
  private final Consumer<String> progress;
  private final Map<String, Double> figures = new TreeMap<>();

  /** Something that is measured; it may fail without the others. */
  private interface Part {
    void run() throws Exception;
  }

  /**
   * What came out.
   *
   * @param figures by dotted name; what could not be measured is not among them
   * @param failed parts that ended with an exception, in order
   */
  public record Result(Map<String, Double> figures, List<String> failed) {}

  private Bench(boolean quick, int threads, Path work, Consumer<String> progress) {
    this.quick = quick;
    this.threads = threads;
    this.work = work;
    this.progress = progress;
  }

  /** Names of the parts, in the order in which they are measured. */
  public static List<String> parts() {
    return List.copyOf(new Bench(true, 1, Path.of(""), line -> {}).all().keySet());
  }

  /**
   * Measures.
   *
   * @param only parts to measure; empty: all
   * @param quick some minutes, with few turns; else about half an hour
   * @param threads of libtorch in training
   * @param progress told what is going on
   */
  public static Result run(List<String> only, boolean quick, int threads, Consumer<String> progress)
      throws IOException, InterruptedException {
    Path work = Files.createTempDirectory("whetstream-bench");
    try {
      return new Bench(quick, threads, work, progress).measure(only);
    } finally {
      try (Stream<Path> files = Files.walk(work)) {
        files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
      }
    }
  }

  private Result measure(List<String> only) throws InterruptedException {
    List<String> failed = new ArrayList<>();
    for (Map.Entry<String, Part> part : all().entrySet()) {
      String name = part.getKey();
      if (!only.isEmpty() && !only.contains(name)) {
        continue;
      }
      progress.accept(name + " ...");
      long start = System.nanoTime();
      try {
        part.getValue().run();
        progress.accept(String.format("%s: %.0f s", name, (System.nanoTime() - start) / 1e9));
      } catch (InterruptedException e) {
        throw e;
      } catch (Exception | OutOfMemoryError e) {
        failed.add(name);
        progress.accept(name + " failed: " + e);
      }
    }
    put("bench.quick", quick ? 1 : 0);
    put("bench.threads", threads);
    return new Result(figures, failed);
  }

  private Map<String, Part> all() {
    Map<String, Part> parts = new LinkedHashMap<>();
    parts.put("training.S", () -> training("S", RandomModel.Shape.small(), 64, quick ? 8 : 60));
    parts.put(
        "training.M",
        () -> training("M", RandomModel.Shape.quoted(), quick ? 16 : 32, quick ? 2 : 12));
    parts.put("training.bf16", this::bf16);
    parts.put("scoring.engine", this::engine);
    parts.put("scoring.job", this::scoringJob);
    parts.put("mining", this::mining);
    parts.put("matching.1000", () -> matching(1_000, 20));
    parts.put("matching.100000", () -> matching(100_000, quick ? 20 : 200));
    parts.put("matching.1000000", this::million);
    parts.put("freshness", this::freshness);
    return parts;
  }

  /** What is no number was not measured. */
  private void put(String name, double figure) {
    if (Double.isFinite(figure)) {
      figures.put(name, figure);
    } else {
      progress.accept(name + ": not measured");
    }
  }

  private Path model(RandomModel.Shape shape) throws IOException {
    Path model = work.resolve(shape.width() + "x" + shape.layers());
    if (!Files.exists(model)) {
      RandomModel.write(model, shape, 1);
    }
    return model;
  }

  private void training(String name, RandomModel.Shape shape, int batch, int steps)
      throws Exception {
    boolean recovery = name.equals("S");
    JobSpeed.Figures measured = JobSpeed.measure(model(shape), batch, steps, threads, recovery);
    put("training.pairsPerSecond." + name, measured.barePairsPerSecond());
    put("training.jobPairsPerSecond." + name, measured.jobPairsPerSecond());
    put("training.jobOverBare." + name, measured.jobOverBare());
    if (recovery) {
      put("recovery.firstStepSeconds", measured.recoverySeconds());
    }
  }

  private void bf16() throws IOException {
    Path middle = model(RandomModel.Shape.quoted());
    put(
        "training.bf16OverFp32.M",
        TrainingSpeed.bf16OverFp32(middle, quick ? 8 : 32, quick ? 3 : 7, threads));
  }

  private ScoringSpeed.Ratios ratios() throws Exception {
    return ScoringSpeed.ratios(model(RandomModel.Shape.quoted()), quick ? 5 : 25);
  }

  private void engine() throws Exception {
    ScoringSpeed.Ratios ratios = ratios();
    put("scoring.scorerOverSession", ratios.overSession());
    put("scoring.int8OverFp32", ratios.int8OverFp32());
  }

  /**
   * The session's inputs are what the scorer makes of items, so the job is held against the scorer,
   * and the scorer against the session.
   */
  private void scoringJob() throws Exception {
    double overSession =
        figures.containsKey("scoring.scorerOverSession")
            ? figures.get("scoring.scorerOverSession")
            : ratios().overSession();
    double overScorer = ScoringLatency.jobOverScorer(quick ? 3_000 : 20_000);
    put("scoring.jobOverScorer", overScorer);
    put("scoring.jobOverSession", overScorer * overSession);
  }

  private void mining() throws Exception {
    MiningSpeed.Figures measured = MiningSpeed.measure(quick ? 4_096 : 20_480);
    put("mining.pairsPerSecondPerCore", measured.pairsPerSecondPerCore());
    put("mining.siblingShare.defaults", measured.siblingShare());
  }

  private void matching(int queries, int flips) {
    WatchlistScale.Figures measured = WatchlistScale.measure(queries, flips);
    put("matching.microsPerItem." + queries, measured.itemMicros());
    if (queries == 100_000) {
      put("matching.flipP99Millis.100000", measured.flipP99Micros() / 1e3);
    }
  }

  /** Vectors of two digests are in memory at once while one takes the place of the other. */
  private void million() {
    long needed = 6L << 30;
    if (quick) {
      progress.accept("a watchlist of a million is measured without --quick only");
    } else if (Runtime.getRuntime().maxMemory() < needed) {
      progress.accept("a watchlist of a million needs WHETSTREAM_JAVA_OPTS=-Xmx8g");
    } else {
      matching(1_000_000, 3);
    }
  }

  private void freshness() throws Exception {
    Path report = work.resolve("report.json");
    new Demo(
            DemoOptions.of(quick ? 60 : 180, 1),
            LocalOptions.in(work.resolve("demo")).withFresh(true),
            DemoBase.directory(),
            report,
            StopSignal.manual(),
            Demo.lines(line -> {}))
        .run();
    JsonNode median = new ObjectMapper().readTree(report.toFile()).at("/freshnessSeconds/p50");
    put("freshness.pairToScoredSeconds", median.isNumber() ? median.doubleValue() : Double.NaN);
  }
}
