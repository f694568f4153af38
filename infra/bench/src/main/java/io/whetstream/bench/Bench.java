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
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * The figures that are compared between versions, measured in one run, each ratio of two that took
 * turns on the same machine. Nothing else should run meanwhile.
 */
public final class Bench {
  private static final int SMALL_BATCH = 64;
  private static final int MIDDLE_BATCH = 32;

  private final boolean quick;
  private final int threads;
  private final Consumer<String> progress;
  private final Map<String, Double> figures = new TreeMap<>();

  private interface Part {
    void run() throws Exception;
  }

  private Bench(boolean quick, int threads, Consumer<String> progress) {
    this.quick = quick;
    this.threads = threads;
    this.progress = progress;
  }

  /**
   * Measures.
   *
   * @param quick some minutes, without the largest sizes; else about half an hour
   * @param threads of libtorch in training
   * @param progress told what is going on
   * @return figures by dotted name, see {@code whetstream bench --help}
   */
  public static Map<String, Double> run(boolean quick, int threads, Consumer<String> progress)
      throws Exception {
    Bench bench = new Bench(quick, threads, progress);
    Path work = Files.createTempDirectory("whetstream-bench");
    try {
      bench.all(work);
    } finally {
      try (Stream<Path> files = Files.walk(work)) {
        files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
      }
    }
    return bench.figures;
  }

  private void all(Path work) throws Exception {
    Path small = work.resolve("S");
    Path middle = work.resolve("M");
    RandomModel.write(small, RandomModel.Shape.small(), 1);
    RandomModel.write(middle, RandomModel.Shape.quoted(), 1);
    part("training, S", () -> training("S", small, SMALL_BATCH, quick ? 20 : 60, true));
    if (!quick) {
      part("training, M", () -> training("M", middle, MIDDLE_BATCH, 12, false));
    }
    part(
        "bf16 over fp32, M",
        () ->
            put(
                "training.bf16OverFp32.M",
                TrainingSpeed.bf16OverFp32(
                    middle, quick ? 8 : MIDDLE_BATCH, quick ? 3 : 7, threads)));
    part("scoring", () -> scoring(middle));
    part("mining", this::mining);
    part("matching", this::matching);
    part("freshness", () -> freshness(work));
  }

  private void part(String name, Part part) throws Exception {
    progress.accept(name + " ...");
    long start = System.nanoTime();
    part.run();
    progress.accept(String.format("%s: %.0f s", name, (System.nanoTime() - start) / 1e9));
  }

  private void put(String name, double figure) {
    figures.put(name, figure);
  }

  private void training(String shape, Path model, int batch, int steps, boolean recovery)
      throws Exception {
    JobSpeed.Figures measured = JobSpeed.measure(model, batch, steps, threads, recovery);
    put("training.pairsPerSecond." + shape, measured.barePairsPerSecond());
    put("training.jobPairsPerSecond." + shape, measured.jobPairsPerSecond());
    put("training.jobOverBare." + shape, measured.jobOverBare());
    if (recovery) {
      put("recovery.firstStepSeconds", measured.recoverySeconds());
    }
  }

  private void scoring(Path middle) throws Exception {
    ScoringSpeed.Ratios ratios = ScoringSpeed.ratios(middle, quick ? 7 : 25);
    put("scoring.scorerOverSession", ratios.overSession());
    put("scoring.int8OverFp32", ratios.int8OverFp32());
    // The session's inputs are what the scorer makes of items, so the job is held against the
    // scorer, and the scorer against the session.
    put(
        "scoring.jobOverSession",
        ScoringLatency.jobOverScorer(quick ? 4_000 : 20_000) * ratios.overSession());
  }

  private void mining() throws Exception {
    MiningSpeed.Figures measured = MiningSpeed.measure(quick ? 4_096 : 20_480);
    put("mining.pairsPerSecondPerCore", measured.pairsPerSecondPerCore());
    put("mining.siblingShare.defaults", measured.siblingShare());
  }

  private void matching() {
    put("matching.microsPerItem.1000", WatchlistScale.measure(1_000, 20).itemMicros());
    WatchlistScale.Figures many = WatchlistScale.measure(100_000, quick ? 20 : 200);
    put("matching.microsPerItem.100000", many.itemMicros());
    put("matching.flipP99Millis.100000", many.flipP99Micros() / 1e3);
    if (!quick) {
      put("matching.microsPerItem.1000000", WatchlistScale.measure(1_000_000, 3).itemMicros());
    }
  }

  private void freshness(Path work) throws Exception {
    Path report = work.resolve("report.json");
    new Demo(
            DemoOptions.of(quick ? 60 : 180, 1),
            LocalOptions.in(work.resolve("demo")).withFresh(true),
            DemoBase.directory(),
            report,
            StopSignal.install(),
            Demo.lines(line -> {}))
        .run();
    JsonNode median = new ObjectMapper().readTree(report.toFile()).at("/freshnessSeconds/p50");
    if (median.isNumber()) {
      put("freshness.pairToScoredSeconds", median.doubleValue());
    } else {
      progress.accept("freshness: not measured, no item was scored by an adapter of this run");
    }
  }
}
