package io.whetstream.cli;

import io.whetstream.bench.Roofline;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.pairs.CaptionedImage;
import io.whetstream.model.pairs.PairsFile;
import io.whetstream.model.train.PreparedPair;
import io.whetstream.model.train.StepReport;
import io.whetstream.model.train.Trainer;
import io.whetstream.model.train.TrainingConfig;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code whetstream train}: an adapter from a pairs file, offline. */
@Command(
    name = "train",
    description = "Fine-tunes an adapter on a pairs file, so that the base model embeds.")
final class TrainCommand implements Callable<Integer> {
  private static final int ROOFLINES = 10;
  private static final int LOSS_WINDOW = 20;

  /** Median and 95th percentile. */
  record Spread(double p50, double p95) {}

  /**
   * The result with {@code --json}. Losses are means over the last 20 steps, null where there was
   * nothing to compute them on. Speed is that of the steps, data included; the first step, which
   * loads and warms up, does not count where there are others.
   */
  record Result(
      long steps,
      long pairs,
      double pairsPerSecond,
      Spread stepSeconds,
      Double lossContrastive,
      Double lossNextToken,
      double flopsPerStep,
      double gflopsPerSecond,
      double rooflineGflopsPerSecond,
      double utilisation,
      long peakRssBytes,
      String adapterDigest,
      String baseDigest,
      int skippedSteps,
      int skippedPairs,
      int truncatedCaptions,
      String out) {}

  @Mixin private ModelOptions model;
  @Mixin private TrainingOptions training;
  @Mixin private ComputeOptions compute;
  @Mixin private BadPairs badPairs;
  @Mixin private ResultOptions result;

  @Option(
      names = "--pairs",
      required = true,
      paramLabel = "FILE",
      description = "Pairs: JSON lines with id, image, caption, caption_long.")
  private Path pairsFile;

  @Option(
      names = "--out",
      required = true,
      paramLabel = "DIR",
      description = "Adapter directory to write; must not exist.")
  private Path out;

  @Option(names = "--steps", required = true, paramLabel = "N", description = "Optimizer steps.")
  private int steps;

  @Option(
      names = "--order",
      paramLabel = "shuffled|file",
      defaultValue = "shuffled",
      description =
          "How an epoch goes through the file: shuffled by the seed, or as it is, which keeps"
              + " groups of hard pairs together (default: shuffled).")
  private BatchSource.Order order;

  @Option(
      names = "--init-adapter",
      paramLabel = "DIR",
      description = "Adapter to go on from; its rank, modules and prompts are kept.")
  private Path initial;

  @Option(
      names = "--older-key-names",
      description = "Write LoRA key names as of transformers before 4.52.")
  private boolean olderKeyNames;

  @Override
  public Integer call() throws IOException {
    if (steps < 1) {
      throw new BadInputException("--steps must be at least 1, not " + steps);
    }
    if (initial != null) {
      training.requireNothingAboutTheAdapter();
    }
    requireFree();
    Path directory = model.directory();
    PrintWriter err = result.err();
    List<CaptionedImage> pairs = pairs(err);
    int batch = training.batch();
    if (pairs.size() < batch) {
      throw new BadInputException(
          pairsFile
              + ": "
              + pairs.size()
              + " pairs, fewer than a batch of "
              + batch
              + " (--batch)");
    }
    try (OfflineModel base = OfflineModel.open(directory)) {
      AdapterArtifact parent =
          initial == null ? null : base.adapter(initial, training.prompts().templates());
      TrainingConfig config = training.config(steps);
      try (Lvlm lvlm = Lvlm.open(base.checkpoint(), compute.options());
          Trainer trainer =
              parent == null
                  ? Trainer.create(lvlm, base.tokenizer(), config)
                  : Trainer.from(lvlm, base.tokenizer(), config, parent.weights())) {
        PairLoader loader = new PairLoader(base, trainer.sequences(), err);
        Result trained;
        try (BatchSource batches =
            new BatchSource(
                pairs,
                pairsFile,
                loader,
                badPairs,
                err,
                batch,
                order,
                config.seed(),
                fitsInMemory(pairs.size(), base))) {
          Roofline roofline = new Roofline(lvlm);
          trained = train(trainer, batches, roofline, base, parent, loader, err);
        }
        result.print(trained, text(trained));
      }
    }
    return 0;
  }

  /** Fails before any work if the result could not be written in the end. */
  private void requireFree() throws IOException {
    if (Files.exists(out)) {
      boolean empty = false;
      if (Files.isDirectory(out)) {
        try (Stream<Path> inside = Files.list(out)) {
          empty = inside.findAny().isEmpty();
        }
      }
      if (!empty) {
        throw new BadInputException(out + " is there already; choose another --out or remove it");
      }
    }
  }

  private List<CaptionedImage> pairs(PrintWriter err) {
    try (Stream<CaptionedImage> lines =
        PairsFile.read(pairsFile, bad -> badPairs.handle(bad, err))) {
      return lines.toList();
    }
  }

  /** Processed images are kept if they take a quarter of the heap at most. */
  private static boolean fitsInMemory(int pairs, OfflineModel base) {
    int side = base.processor().side();
    long values = base.processor().geometry(side, side).values();
    return 4 * values * pairs < Runtime.getRuntime().maxMemory() / 4;
  }

  private Result train(
      Trainer trainer,
      BatchSource batches,
      Roofline roofline,
      OfflineModel base,
      AdapterArtifact parent,
      PairLoader loader,
      PrintWriter err) {
    List<StepReport> reports = new ArrayList<>();
    List<Double> seconds = new ArrayList<>();
    Set<String> trained = new HashSet<>();
    Progress progress = new Progress(err, "training", steps);
    int skipped = 0;
    int pause = Math.max(1, steps / ROOFLINES);
    for (int i = 0; i < steps; i++) {
      if (i % pause == 0) {
        roofline.measure();
      }
      long start = System.nanoTime();
      List<PreparedPair> batch = batches.next();
      StepReport report = trainer.step(batch);
      seconds.add((System.nanoTime() - start) / 1e9);
      reports.add(report);
      if (report.skipped()) {
        skipped++;
        err.println(
            "step skipped, its loss or gradient is not finite; pairs: "
                + Failures.oneLine(batch.stream().map(PreparedPair::id).toList().toString()));
      } else {
        batch.forEach(pair -> trained.add(pair.id()));
      }
      progress.at(i + 1, losses(report.lossContrastive(), report.lossNextToken()));
    }
    progress.done();
    if (skipped == steps) {
      throw new BadInputException(
          "no step could be made: loss or gradient was not finite in all "
              + steps
              + "; try a smaller --lr or --precision fp32");
    }
    AdapterWeights weights = trainer.weights();
    AdapterManifest manifest =
        AdapterManifest.builder(weights, base.checkpoint().digest())
            .baseName(model.name().equals("demo") ? "demo" : baseName())
            .decoderModule(base.checkpoint().config().decoderModule())
            .parent(parent == null ? null : parent.digest())
            .step(trainer.stepNumber() + (parent == null ? 0 : parent.manifest().step()))
            .pairs(trained.size())
            .training(description(trainer.config()))
            .createdBy("whetstream train")
            .build();
    AdapterCodec.write(out, new AdapterArtifact(weights, manifest), olderKeyNames);

    int warm = reports.size() > 1 ? 1 : 0;
    List<Double> timed = seconds.subList(warm, seconds.size());
    List<StepReport> counted = reports.subList(warm, reports.size());
    double total = timed.stream().mapToDouble(Double::doubleValue).sum();
    double flops = counted.stream().mapToDouble(StepReport::flops).sum();
    double roof = roofline.median();
    return new Result(
        trainer.stepNumber(),
        reports.stream().filter(r -> !r.skipped()).mapToLong(StepReport::pairs).sum(),
        counted.stream().mapToLong(StepReport::pairs).sum() / total,
        new Spread(Quantiles.of(timed, 0.5), Quantiles.of(timed, 0.95)),
        mean(reports, StepReport::lossContrastive),
        mean(reports, StepReport::lossNextToken),
        flops / counted.size(),
        flops / total / 1e9,
        roof,
        flops / total / 1e9 / roof,
        Memory.peakResidentBytes(),
        weights.digest(),
        base.checkpoint().digest(),
        skipped,
        badPairs.count(),
        loader.truncated(),
        out.toString());
  }

  /** Those that there are: a pair may have either kind of caption alone. */
  static String losses(double contrastive, double nextToken) {
    String finite =
        DoubleStream.of(contrastive, nextToken)
            .filter(Double::isFinite)
            .mapToObj(loss -> String.format(Locale.ROOT, "%.3f", loss))
            .collect(Collectors.joining(" + "));
    return finite.isEmpty() ? "no finite loss" : "loss " + finite;
  }

  private String baseName() {
    return String.valueOf(Path.of(model.name()).toAbsolutePath().normalize().getFileName());
  }

  /** What an adapter says of how it was made: what its weights depend on, not where it ran. */
  private SortedMap<String, Object> description(TrainingConfig config) {
    SortedMap<String, Object> map = new TreeMap<>();
    map.put("batch", training.batch());
    map.put("order", order.name().toLowerCase(Locale.ROOT));
    map.put("seed", config.seed());
    map.put("objective", config.objective());
    map.put("optimizer", config.optimizer());
    map.put("precision", compute.precision().name().toLowerCase(Locale.ROOT));
    return map;
  }

  private static Double mean(List<StepReport> reports, ToDoubleFunction<StepReport> value) {
    double[] last =
        reports.subList(Math.max(0, reports.size() - LOSS_WINDOW), reports.size()).stream()
            .mapToDouble(value)
            .filter(Double::isFinite)
            .toArray();
    return last.length == 0 ? null : java.util.Arrays.stream(last).average().getAsDouble();
  }

  private static String text(Result r) {
    return String.format(
        Locale.ROOT,
        "%d steps, %d pairs, %.1f pairs/s; losses %s (contrastive), %s (next token)%n"
            + "%.1f useful GFLOP/s of %.1f a plain product makes (%.0f %%)%n"
            + "adapter %s in %s",
        r.steps(),
        r.pairs(),
        r.pairsPerSecond(),
        number(r.lossContrastive()),
        number(r.lossNextToken()),
        r.gflopsPerSecond(),
        r.rooflineGflopsPerSecond(),
        100 * r.utilisation(),
        r.adapterDigest(),
        r.out());
  }

  private static String number(Double value) {
    return value == null ? "none" : String.format(Locale.ROOT, "%.4f", value);
  }
}
