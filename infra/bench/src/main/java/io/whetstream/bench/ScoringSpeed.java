package io.whetstream.bench;

import ai.onnxruntime.OrtException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.FloatTensor;
import io.whetstream.model.eval.Recall;
import io.whetstream.model.eval.Retrieval;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.lvlm.Row;
import io.whetstream.model.onnx.ActiveAdapter;
import io.whetstream.model.onnx.BareSession;
import io.whetstream.model.onnx.Scorer;
import io.whetstream.model.onnx.ScorerAdapter;
import io.whetstream.model.onnx.ScorerOptions;
import io.whetstream.model.text.TextTokenizer;
import io.whetstream.model.train.PreparedPair;
import io.whetstream.model.train.Trainer;
import io.whetstream.model.train.TrainingConfig;
import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.DemoBase;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import io.whetstream.scenes.SceneSets;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * Speed of the scoring engine: against a hand-timed loop over the bare session, with and without
 * LoRA, in 32 bit and int8; what a swap costs; what int8 changes on drawn scenes. What is compared
 * takes turns, figures are medians over rounds.
 */
@Command(
    name = "scoring-speed",
    mixinStandardHelpOptions = true,
    description = "Measures the scoring engine and prints rows of a Markdown table.")
public final class ScoringSpeed implements Callable<Integer> {
  private static final int LENGTH = 64;

  /** Timed calls in a row. */
  private static final int CALLS = 3;

  /** Ends the name of a loop; the rest is the name of the one in 32 bit. */
  private static final String INT8 = ", int8";

  @Option(names = "--threads", defaultValue = "1")
  int threads;

  @Option(names = "--batch", defaultValue = "8")
  int batch;

  @Option(names = "--rounds", defaultValue = "25")
  int rounds;

  @Option(
      names = "--training-steps",
      defaultValue = "120",
      description = "Steps of 64 drawn scenes for the adapter that int8 is compared with.")
  int trainingSteps;

  @Option(names = "--adapter", description = "That adapter instead of a trained one.")
  Path adapterDirectory;

  @Option(names = "--model", description = "Base of that adapter; default: the demo base.")
  Path base;

  private final Random random = new Random(2);

  public static void main(String[] args) {
    System.exit(new CommandLine(new ScoringSpeed()).execute(args));
  }

  @Override
  public Integer call() throws IOException, OrtException {
    Path work = Files.createTempDirectory("whetstream-scoring-speed");
    try {
      Path model = work.resolve("model");
      RandomModel.write(model, RandomModel.Shape.quoted(), 1);
      throughput(model);
      int8OnScenes();
    } finally {
      try (var files = Files.walk(work)) {
        files.sorted(java.util.Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
      }
    }
    return 0;
  }

  private void throughput(Path model) throws OrtException {
    ScorerOptions options = ScorerOptions.defaults().withThreads(threads).withMaxBatch(batch);
    List<long[]> ids = ids();
    List<Row> rows = rows(ids);
    try (Scorer exact = Scorer.open(model, options);
        Scorer small = Scorer.open(model, options.withInt8(true));
        ScorerAdapter lora = exact.load(adapter(exact, 16, 1));
        ScorerAdapter smallLora = small.load(adapter(small, 16, 1));
        BareSession bare = new BareSession(model, threads, ids, null);
        BareSession bareLora =
            new BareSession(model, threads, ids, adapter(exact, 16, 1).weights())) {
      List<ModelImage> images = new ArrayList<>();
      int side = exact.config().vision().imageSize();
      long[] imageRow = new long[exact.config().imageTokens() + 8];
      Arrays.fill(imageRow, 1, 1 + exact.config().imageTokens(), exact.config().imageTokenId());
      ImageGeometry picture = ImageGeometry.whole(side, side, exact.config().imageTokens());
      List<Row> imageRows = new ArrayList<>();
      for (int i = 0; i < batch; i++) {
        images.add(new ModelImage(picture, tensor(1, 3 * side * side, 1).data()));
        imageRows.add(Row.embedding(imageRow, false, i));
      }
      // Loops that are compared follow each other.
      Map<String, Runnable> loops = new LinkedHashMap<>();
      loops.put("text, bare session", bare::run);
      loops.put("text, scorer", () -> exact.embedRows(exact.base(), rows, List.of()));
      loops.put("text, scorer, int8", () -> small.embedRows(small.base(), rows, List.of()));
      loops.put("text, bare session, LoRA r16", bareLora::run);
      loops.put("text, scorer, LoRA r16", () -> exact.embedRows(lora, rows, List.of()));
      loops.put("text, scorer, LoRA r16, int8", () -> small.embedRows(smallLora, rows, List.of()));
      loops.put("image, scorer", () -> exact.embedRows(exact.base(), imageRows, images));
      loops.put("image, scorer, int8", () -> small.embedRows(small.base(), imageRows, images));
      loops.put("image, scorer, LoRA r16", () -> exact.embedRows(lora, imageRows, images));
      loops.put(
          "image, scorer, LoRA r16, int8", () -> small.embedRows(smallLora, imageRows, images));
      loops.put("mining embedding", () -> exact.poolVision(images));
      loops.put("mining embedding, int8", () -> small.poolVision(images));
      requireSame(bare, exact.embedRows(exact.base(), rows, List.of()));
      requireSame(bareLora, exact.embedRows(lora, rows, List.of()));
      Map<String, double[]> seconds = turns(loops);
      System.out.printf(
          "d 512, 8 layers, %d tokens, batch %d, %d thread(s), median of %d rounds, %s time%n%n",
          LENGTH, batch, threads, rounds, threads == 1 ? "processor" : "wall");
      System.out.println("| what | embeddings/s | over bare session | int8 over fp32 |");
      System.out.println("|---|---|---|---|");
      seconds.forEach(
          (name, values) ->
              System.out.printf(
                  Locale.ROOT,
                  "| %s | %.1f | %s | %s |%n",
                  name,
                  batch / median(values),
                  faster(seconds.get(name.replace("scorer", "bare session")), values),
                  name.endsWith(INT8)
                      ? faster(
                          seconds.get(name.substring(0, name.length() - INT8.length())), values)
                      : ""));
      float[][] one = exact.embedRows(exact.base(), rows, List.of());
      float[][] two = small.embedRows(small.base(), rows, List.of());
      System.out.printf(
          Locale.ROOT, "%nint8 cosine to fp32, random weights, mean: %.5f%n", meanCosine(one, two));
      swaps(exact);
    }
  }

  /** Seconds of a call, by loop and round; the loops take turns. */
  private Map<String, double[]> turns(Map<String, Runnable> loops) {
    Map<String, double[]> seconds = new LinkedHashMap<>();
    for (int round = -3; round < rounds; round++) {
      for (Map.Entry<String, Runnable> loop : loops.entrySet()) {
        // The call before is not timed: it brings this loop's weights back into the caches, where
        // they are in a process that does nothing else.
        loop.getValue().run();
        long start = clock();
        for (int call = 0; call < CALLS; call++) {
          loop.getValue().run();
        }
        double taken = (clock() - start) / 1e9 / CALLS;
        if (round >= 0) {
          seconds.computeIfAbsent(loop.getKey(), key -> new double[rounds])[round] = taken;
        }
      }
    }
    return seconds;
  }

  /**
   * Texts at the quoted shape, medians of the rounds' ratios.
   *
   * @param overSession the scorer over a bare session
   * @param int8OverFp32 the scorer in 8 bit over itself in 32
   */
  record Ratios(double overSession, double int8OverFp32) {}

  /** Measures the two ratios that are compared between versions, one thread. */
  static Ratios ratios(Path model, int rounds) throws OrtException {
    ScoringSpeed speed = new ScoringSpeed();
    new CommandLine(speed).parseArgs("--rounds", Integer.toString(rounds));
    ScorerOptions options = ScorerOptions.defaults().withThreads(1).withMaxBatch(speed.batch);
    List<long[]> ids = speed.ids();
    List<Row> rows = rows(ids);
    try (Scorer exact = Scorer.open(model, options);
        Scorer small = Scorer.open(model, options.withInt8(true));
        BareSession bare = new BareSession(model, 1, ids, null)) {
      requireSame(bare, exact.embedRows(exact.base(), rows, List.of()));
      Map<String, Runnable> loops = new LinkedHashMap<>();
      loops.put("session", bare::run);
      loops.put("fp32", () -> exact.embedRows(exact.base(), rows, List.of()));
      loops.put("int8", () -> small.embedRows(small.base(), rows, List.of()));
      Map<String, double[]> seconds = speed.turns(loops);
      return new Ratios(
          median(ratios(seconds.get("session"), seconds.get("fp32"))),
          median(ratios(seconds.get("fp32"), seconds.get("int8"))));
    }
  }

  private List<long[]> ids() {
    List<long[]> ids = new ArrayList<>();
    for (int i = 0; i < batch; i++) {
      ids.add(random.longs(LENGTH, 3, 300).toArray());
    }
    return ids;
  }

  private static double[] ratios(double[] other, double[] own) {
    double[] ratios = new double[own.length];
    for (int i = 0; i < own.length; i++) {
      ratios[i] = other[i] / own[i];
    }
    return ratios;
  }

  /**
   * How many times as fast as another loop: median of the rounds' ratios and, in brackets, their
   * quartiles. The machine's speed drifts, so a round is compared with itself.
   */
  private static String faster(double[] other, double[] own) {
    if (other == null || other == own) {
      return "";
    }
    double[] ratios = ratios(other, own);
    return String.format(
        Locale.ROOT,
        "%.3f (%.3f to %.3f)",
        median(ratios),
        quantile(ratios, 0.25),
        quantile(ratios, 0.75));
  }

  /** A comparison of two loops that compute different things would say nothing. */
  private static void requireSame(BareSession bare, float[][] vectors) {
    bare.run();
    float[] values = bare.embeddings();
    int at = 0;
    for (float[] vector : vectors) {
      for (float value : vector) {
        if (!(Math.abs(value - values[at++]) <= 1e-6)) {
          throw new IllegalStateException("bare session and scorer do not agree");
        }
      }
    }
  }

  /** With one thread all work is the caller's: its processor time is what a busy machine leaves. */
  private long clock() {
    return threads == 1
        ? ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime()
        : System.nanoTime();
  }

  private void swaps(Scorer scorer) {
    int count = 2000;
    List<AdapterArtifact> artifacts = new ArrayList<>();
    for (int i = 0; i < 8; i++) {
      artifacts.add(adapter(scorer, 4, i));
    }
    AdapterWeights weights = artifacts.get(0).weights();
    long bytes =
        weights.lora().values().stream().mapToLong(tensor -> 4L * tensor.data().length).sum();
    double[] load = new double[count];
    double[] swap = new double[count];
    try (ActiveAdapter active = new ActiveAdapter(scorer.load(artifacts.get(0)))) {
      for (int i = 0; i < count; i++) {
        long start = System.nanoTime();
        ScorerAdapter next = scorer.load(artifacts.get((i + 1) % artifacts.size()));
        long loaded = System.nanoTime();
        active.swap(next);
        load[i] = (loaded - start) / 1e3;
        swap[i] = (System.nanoTime() - loaded) / 1e3;
      }
    }
    System.out.printf(
        Locale.ROOT,
        "%nadapter of %.2f MB, %d swaps, microseconds p50 / p99: load (check, convert, native copy)"
            + " %.0f / %.0f, swap with release of the one before %.1f / %.1f%n",
        bytes / 1e6,
        count,
        quantile(load, 0.5),
        quantile(load, 0.99),
        quantile(swap, 0.5),
        quantile(swap, 0.99));
  }

  private static List<Row> rows(List<long[]> ids) {
    return ids.stream().map(row -> Row.embedding(row, true)).toList();
  }

  private void int8OnScenes() throws IOException {
    Path model = base == null ? DemoBase.directory() : base;
    ScorerOptions options = ScorerOptions.defaults().withThreads(threads);
    AdapterArtifact trained =
        adapterDirectory == null ? trained(model) : AdapterCodec.read(adapterDirectory);
    ImageProcessor processor = ImageProcessor.open(model);
    List<ModelImage> pictures = new ArrayList<>();
    List<String> captions = new ArrayList<>();
    for (Scene scene : SceneSets.retrieval(7, SceneLook.STANDARD, 256)) {
      pictures.add(processor.process(SceneRenderer.render(scene)));
      captions.add(Captioner.shortCaption(scene));
    }
    System.out.println(
        "\n256 held-out drawn scenes | T2I R@1 | I2T R@1 | mean cosine to fp32\n|---|---|---|---|");
    float[][] images = null;
    float[][] texts = null;
    for (boolean int8 : new boolean[] {false, true}) {
      try (Scorer scorer = Scorer.open(model, options.withInt8(int8));
          ScorerAdapter adapter = scorer.load(trained)) {
        float[][] nowImages = scorer.embedImages(adapter, pictures);
        float[][] nowTexts = scorer.embedTexts(adapter, captions);
        int[] groups = IntStream.range(0, pictures.size()).toArray();
        Recall t2i = Retrieval.recall(nowTexts, nowImages, groups, groups);
        Recall i2t = Retrieval.recall(nowImages, nowTexts, groups, groups);
        images = images == null ? nowImages : images;
        texts = texts == null ? nowTexts : texts;
        System.out.printf(
            Locale.ROOT,
            "| %s | %.3f | %.3f | images %.5f, texts %.5f |%n",
            int8 ? "int8" : "fp32",
            t2i.r1(),
            i2t.r1(),
            meanCosine(images, nowImages),
            meanCosine(texts, nowTexts));
      }
    }
  }

  /** An adapter that some minutes of fine-tuning on drawn scenes make. */
  private AdapterArtifact trained(Path model) {
    TrainingConfig config =
        TrainingConfig.defaults()
            .withOptimizer(TrainingConfig.Optimizer.defaults().withLearningRate(3e-3))
            .withObjective(TrainingConfig.Objective.defaults().withWeights(1, 0.3))
            .withSeed(1);
    SceneGenerator generator = new SceneGenerator(1001, SceneLook.STANDARD);
    try (Checkpoint checkpoint = Checkpoint.open(model);
        TextTokenizer tokenizer = TextTokenizer.open(model);
        Lvlm lvlm = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP32, "cpu", threads));
        Trainer trainer = Trainer.create(lvlm, tokenizer, config)) {
      long index = 0;
      while (trainer.stepNumber() < trainingSteps) {
        List<PreparedPair> pairs = new ArrayList<>();
        while (pairs.size() < 64) {
          Scene scene = generator.scene(index++);
          String caption = Captioner.shortCaption(scene);
          pairs.add(
              new PreparedPair(
                  "pair-" + index,
                  SceneRenderer.processed(SceneRenderer.render(scene)),
                  tokenizer.encode(caption),
                  tokenizer.encode(Captioner.longCaption(scene)),
                  "pair-" + index,
                  caption));
        }
        trainer.step(pairs);
      }
      AdapterWeights weights = trainer.weights();
      return new AdapterArtifact(
          weights, AdapterManifest.builder(weights, checkpoint.digest()).build());
    }
  }

  private AdapterArtifact adapter(Scorer scorer, int rank, long seed) {
    TreeMap<String, FloatTensor> lora = new TreeMap<>();
    random.setSeed(seed);
    int width = scorer.dimension();
    int inner = scorer.config().text().intermediateSize();
    for (int layer = 0; layer < scorer.config().text().layers(); layer++) {
      String root = "language_model.model.layers." + layer + ".";
      for (String name : List.of("q_proj", "k_proj", "v_proj", "o_proj")) {
        pair(lora, root + "self_attn." + name, rank, width, width);
      }
      pair(lora, root + "mlp.gate_proj", rank, width, inner);
      pair(lora, root + "mlp.up_proj", rank, width, inner);
      pair(lora, root + "mlp.down_proj", rank, inner, width);
    }
    List<String> modules =
        List.of("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj");
    AdapterConfig config = new AdapterConfig(rank, rank, false, 0, modules, null, null, 0, 0);
    AdapterWeights weights = new AdapterWeights(config, lora, null, null, 0);
    return new AdapterArtifact(
        weights, AdapterManifest.builder(weights, scorer.baseDigest()).build());
  }

  private void pair(Map<String, FloatTensor> lora, String module, int rank, int in, int out) {
    lora.put(module + ".lora_A.weight", tensor(rank, in, 0.05f));
    lora.put(module + ".lora_B.weight", tensor(out, rank, 0.05f));
  }

  private FloatTensor tensor(int rows, int columns, float scale) {
    float[] data = new float[rows * columns];
    for (int i = 0; i < data.length; i++) {
      data[i] = (float) random.nextGaussian() * scale;
    }
    return new FloatTensor(new long[] {rows, columns}, data);
  }

  private static double meanCosine(float[][] a, float[][] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < a[i].length; j++) {
        sum += a[i][j] * (double) b[i][j];
      }
    }
    return sum / a.length;
  }

  private static double median(double[] values) {
    return quantile(values, 0.5);
  }

  private static double quantile(double[] values, double q) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    return sorted[(int) Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
  }
}
