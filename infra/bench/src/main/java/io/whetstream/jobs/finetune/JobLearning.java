package io.whetstream.jobs.finetune;

import io.whetstream.bench.HeldOutScenes;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.registry.AdapterRegistry;
import io.whetstream.connectors.registry.RegistryOptions;
import io.whetstream.local.LocalJob;
import io.whetstream.local.LocalOptions;
import io.whetstream.local.LocalRuntime;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.eval.Compositional;
import io.whetstream.model.eval.Recall;
import io.whetstream.model.eval.Retrieval;
import io.whetstream.model.image.ImageDecoder;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.Embedder;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.lvlm.PromptTemplates;
import io.whetstream.model.pairs.CaptionedImage;
import io.whetstream.model.pairs.PairsFile;
import io.whetstream.model.text.TextTokenizer;
import io.whetstream.model.train.PreparedPair;
import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.DemoBase;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import io.whetstream.scenes.SceneStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.DoubleAdder;
import java.util.concurrent.atomic.LongAdder;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * What the fine-tune job learns: pairs go to Kafka, the job runs on a local cluster as it is, and
 * the adapters that it publishes are measured on held-out pairs. Prints rows of a Markdown table.
 */
@Command(
    name = "job-learning",
    mixinStandardHelpOptions = true,
    description = "Runs the fine-tune job over pairs in Kafka and measures what it publishes.")
public final class JobLearning implements Callable<Integer> {
  /** What the stream holds. */
  enum Source {
    /** Drawn scenes: half near-identical ones, spread over a window, half unrelated ones. */
    SCENES,
    /** The same, and one caption in ten is that of an earlier scene, drawn anew. */
    DUPLICATES,
    /** The same, the second half in colours never seen before. */
    CHANGE,
    /** A file of pairs, as often as it takes; a quarter of its groups is held out. */
    FILE
  }

  private static final String SCENE = "scene-";
  private static final double DUPLICATE_SHARE = 0.1;
  private static final int DUPLICATE_WINDOW = 128;
  private static final double FILE_HELD_OUT = 0.25;

  @Option(names = "--stream", defaultValue = "SCENES")
  Source stream;

  @Option(names = "--file", description = "Pairs file of --stream file.")
  Path file;

  @Option(names = "--pairs", defaultValue = "20480", description = "Pairs to train on.")
  int pairs;

  @Option(names = "--points", defaultValue = "4", description = "Adapters to measure.")
  int points;

  @Option(
      names = "--window",
      defaultValue = "16",
      description = "Hard groups that are mixed: a window has sixteen times as many scenes.")
  int window;

  @Option(names = "--seed", defaultValue = "1")
  long seed;

  @Option(names = "--items", defaultValue = "384", description = "Compositional items a kind.")
  int items;

  @Option(names = "--unmasked", description = "Equal captions are each other's negatives.")
  boolean unmasked;

  @Option(names = "--threads", defaultValue = "1")
  int threads;

  @Option(names = "-D", description = "Settings of the job, over those of this program.")
  List<String> settings = List.of();

  /**
   * Looks into the batches of the job, which runs in this process.
   *
   * @param unmasked every pair gets a caption digest of its own, so that a step masks none by it
   */
  private record Batches(boolean unmasked, long seed, int window) implements TrainerHooks {
    private static final long serialVersionUID = 1L;
    private static final DoubleAdder SIBLINGS = new DoubleAdder();
    private static final LongAdder PAIRS = new LongAdder();

    @Override
    public List<PreparedPair> batch(long step, List<PreparedPair> pairs) {
      SceneStream scenes = usual(seed, window);
      Map<Long, Integer> families = new HashMap<>();
      pairs.stream()
          .map(PreparedPair::id)
          .filter(id -> id.startsWith(SCENE))
          .map(id -> Long.parseLong(id.substring(SCENE.length())))
          // In order, since the stream holds one window at a time.
          .sorted()
          .map(number -> scenes.scene(number).hardGroup())
          .filter(family -> family >= 0)
          .forEach(family -> families.merge(family, 1, Integer::sum));
      for (int members : families.values()) {
        SIBLINGS.add(members * (members - 1) / (SceneGenerator.HARD_GROUP - 1.0));
        PAIRS.add(members);
      }
      return unmasked ? pairs.stream().map(Batches::unmasked).toList() : pairs;
    }

    private static PreparedPair unmasked(PreparedPair pair) {
      return new PreparedPair(
          pair.id(),
          pair.image(),
          pair.shortCaption(),
          pair.longCaption(),
          pair.imageDigest(),
          pair.id());
    }
  }

  private record Line(String id, byte[] image, String caption, String captionLong) {}

  private final List<CaptionedImage> fileTrain = new ArrayList<>();
  private final List<CaptionedImage> fileHeldOut = new ArrayList<>();

  public static void main(String[] args) {
    int status =
        new CommandLine(new JobLearning()).setCaseInsensitiveEnumValuesAllowed(true).execute(args);
    System.exit(status);
  }

  @Override
  public Integer call() throws Exception {
    if (stream == Source.FILE) {
      try (Stream<CaptionedImage> lines = PairsFile.read(file)) {
        lines
            .filter(line -> line.caption() != null)
            .forEach(
                line ->
                    (PairIds.heldOut(line.group() == null ? line.id() : line.group(), FILE_HELD_OUT)
                            ? fileHeldOut
                            : fileTrain)
                        .add(line));
      }
    }
    Path directory = Files.createTempDirectory("job-learning");
    Path base = DemoBase.directory();
    long start = System.nanoTime();
    try (LocalRuntime runtime = LocalRuntime.start(LocalOptions.in(directory).withFresh(true))) {
      FineTuneConfig config = config(runtime, base);
      try (Admin admin = config.kafka().connection().admin()) {
        new Topics(config.kafka().topicPrefix()).create(admin, 1, (short) 1);
      }
      FineTuneJob.check(config);
      int sent = produce(config);
      System.err.println(sent + " pairs sent");
      TrainerHooks hooks = new Batches(unmasked, seed, window);
      LocalJob job =
          runtime.submit(
              "job-learning", environment -> FineTuneJob.build(environment, config, true, hooks));
      watch(runtime, job);
      if (stream == Source.SCENES) {
        System.err.printf(
            Locale.ROOT,
            "of a pair's seven siblings %.2f were in its batch%n",
            Batches.SIBLINGS.sum() / Batches.PAIRS.sum());
      }
      System.err.printf("start to end %.0f s%n", (System.nanoTime() - start) / 1e9);
      measure(base, AdapterRegistry.open(RegistryOptions.of(config.registry().uri())));
    } finally {
      try (Stream<Path> files = Files.walk(directory)) {
        files.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
      }
    }
    return 0;
  }

  /** Waits for the job's end and says how long the synchronous part of its snapshots took. */
  private static void watch(LocalRuntime runtime, LocalJob job) throws Exception {
    CompletableFuture<Void> ended = runtime.ended(job);
    SortedSet<Double> millis = new TreeSet<>();
    double megabytes = 0;
    while (!ended.isDone()) {
      Thread.sleep(200);
      runtime.metrics().max(job.name(), "snapshotMilliseconds").ifPresent(millis::add);
      megabytes =
          Math.max(megabytes, runtime.metrics().max(job.name(), "snapshotMegabytes").orElse(0));
    }
    ended.get();
    List<Double> sorted = List.copyOf(millis);
    if (!sorted.isEmpty()) {
      double median = sorted.get(sorted.size() / 2);
      System.err.printf(
          Locale.ROOT,
          "trainer's snapshots: %d of up to %.1f MB, synchronous part %.0f ms median, %.0f ms"
              + " longest, %.2f ms per MB%n",
          sorted.size(),
          megabytes,
          median,
          sorted.get(sorted.size() - 1),
          median / megabytes);
    }
  }

  private FineTuneConfig config(LocalRuntime runtime, Path base) {
    int every = Math.max(1, pairs / 64 / points);
    List<String> all =
        new ArrayList<>(
            List.of(
                "name=learning",
                "kafka.bootstrapServers=" + runtime.bootstrapServers(),
                "kafka.startingOffsets=earliest",
                "registry.uri=" + runtime.adapters(),
                "base.model=" + base.toAbsolutePath(),
                "base.threads=" + threads,
                "base.device=cpu",
                "mining.tables=1",
                "mining.depth=0",
                "mining.candidates=256",
                "mining.maxWait=1h",
                "mining.idleFlush=0s",
                "training.globalBatch=64",
                "training.seed=" + seed,
                "training.learningRate=0.005",
                "training.schedule=COSINE",
                "training.totalSteps=" + pairs / 64,
                "training.nextTokenWeight=0.3",
                "training.logitScale=30",
                "training.falseNegatives=KEEP",
                "heldOut.share=0.05",
                "heldOut.size=128",
                "gate.minSample=2",
                // Every candidate is wanted, to be measured.
                "gate.minChange=-1",
                "publish.everySteps=" + every,
                "publish.comparePublishedEvery=0",
                "publish.compareBaseEvery=0",
                "checkpoint.interval=10s"));
    all.addAll(settings);
    return FineTuneConfig.loader().parse("", "job-learning", all);
  }

  /** Sends until as many as are wanted will be trained on. */
  private int produce(FineTuneConfig config) throws IOException {
    String topic = new Topics(config.kafka().topicPrefix()).pairs();
    RecordCodec<ImageTextPair> codec = RecordFormat.json().codec(RecordType.PAIR, topic);
    SceneStream before = usual(seed, window);
    SceneStream after = new SceneStream(2_000 + seed, SceneLook.UNSEEN_COLOURS, window);
    KafkaConnection kafka = config.kafka().connection();
    int sent = 0;
    try (KafkaProducer<byte[], byte[]> producer = kafka.producer(Topics.MAX_RECORD_BYTES)) {
      for (int trained = 0; trained < pairs; sent++) {
        boolean changed = stream == Source.CHANGE && trained >= pairs / 2;
        Line line = stream == Source.FILE ? line(sent) : scene(changed ? after : before, sent);
        trained += PairIds.heldOut(PairIds.digest(line.image()), config.heldOut().share()) ? 0 : 1;
        ImageTextPair pair =
            new ImageTextPair(
                line.id(),
                null,
                null,
                line.caption(),
                line.captionLong(),
                "bench",
                1_700_000_000_000L + sent * 25L,
                line.image(),
                null);
        producer.send(
            new ProducerRecord<>(
                topic, line.id().getBytes(StandardCharsets.UTF_8), codec.encode(pair)));
      }
      producer.flush();
    }
    return sent;
  }

  private static SceneStream usual(long seed, int window) {
    return new SceneStream(1_000 + seed, SceneLook.STANDARD, window);
  }

  private Line scene(SceneStream scenes, int number) {
    Scene scene = scenes.scene(number).scene();
    boolean duplicate =
        stream == Source.DUPLICATES
            && number > DUPLICATE_WINDOW
            && PairIds.unit(PairIds.mix(seed, number, 1)) < DUPLICATE_SHARE;
    if (duplicate) {
      long back = 1 + (long) (PairIds.unit(PairIds.mix(seed, number, 2)) * DUPLICATE_WINDOW);
      Scene earlier = scenes.scene(number - back).scene();
      scene = new Scene(scene.background(), earlier.objects(), scene.style());
    }
    return new Line(
        SCENE + number,
        SceneRenderer.png(SceneRenderer.render(scene)),
        Captioner.shortCaption(scene),
        Captioner.longCaption(scene));
  }

  private Line line(int number) throws IOException {
    CaptionedImage line = fileTrain.get(number % fileTrain.size());
    return new Line(
        line.id() + "-" + number / fileTrain.size(),
        line.image().read(line.id()),
        line.caption(),
        line.captionLong());
  }

  private void measure(Path base, AdapterRegistry registry) throws IOException {
    List<AdapterRegistry.Entry> adapters =
        registry.list().stream()
            .sorted(Comparator.comparingLong(entry -> entry.manifest().step()))
            .toList();
    try (Checkpoint checkpoint = Checkpoint.open(base);
        TextTokenizer tokenizer = TextTokenizer.open(base);
        Lvlm model = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP32, "cpu", threads))) {
      Embedder embedder = new Embedder(model, tokenizer, PromptTemplates.defaults(), 128);
      if (stream == Source.FILE) {
        measureFile(base, embedder, tokenizer, registry, adapters);
        return;
      }
      HeldOutScenes usual = new HeldOutScenes(embedder, tokenizer, SceneLook.STANDARD, 256, items);
      HeldOutScenes unseen =
          stream == Source.CHANGE
              ? new HeldOutScenes(embedder, tokenizer, SceneLook.UNSEEN_COLOURS, 256, 1)
              : null;
      System.out.println(
          "| pairs | T2I R@1 | I2T R@1 |"
              + (unseen == null ? " swap | relation | replace | add |" : " new T2I | new I2T |"));
      row(0, null, usual, unseen);
      for (AdapterRegistry.Entry adapter : adapters) {
        AdapterWeights weights = registry.read(adapter.digest()).weights();
        row(adapter.manifest().pairs(), weights, usual, unseen);
      }
    }
  }

  private static void row(
      long pairs, AdapterWeights weights, HeldOutScenes usual, HeldOutScenes unseen) {
    List<Double> figures = new ArrayList<>();
    Arrays.stream(usual.recall(weights)).forEach(figures::add);
    if (unseen == null) {
      SortedMap<String, Compositional.Score> kinds = usual.compositional(weights);
      for (String kind : List.of("swap", "relation", "replace", "add")) {
        figures.add(kinds.get(kind).accuracy());
      }
    } else {
      Arrays.stream(unseen.recall(weights)).forEach(figures::add);
    }
    System.out.println("| " + pairs + cells(figures));
  }

  private static String cells(List<Double> figures) {
    return figures.stream()
        .map(figure -> String.format(Locale.ROOT, "%.3f", figure))
        .collect(Collectors.joining(" | ", " | ", " |"));
  }

  private void measureFile(
      Path base,
      Embedder embedder,
      TextTokenizer tokenizer,
      AdapterRegistry registry,
      List<AdapterRegistry.Entry> adapters)
      throws IOException {
    ImageProcessor images = ImageProcessor.open(base);
    ImageDecoder decoder = new ImageDecoder(40_000_000L);
    List<ModelImage> pictures = new ArrayList<>();
    List<long[]> captions = new ArrayList<>();
    List<String> groups = new ArrayList<>();
    for (CaptionedImage line : fileHeldOut) {
      pictures.add(images.process(decoder.decode(line.image().read(line.id()), line.id())));
      captions.add(tokenizer.encode(line.caption()));
      groups.add(line.group() == null ? line.id() : line.group());
    }
    int[] group = groups.stream().mapToInt(groups::indexOf).toArray();
    System.out.printf(
        "%d pairs to train on, %d held out%n%n| pairs | T2I R@1 | R@5 | R@10 | I2T R@1 | R@5 |"
            + " R@10 |%n",
        fileTrain.size(), fileHeldOut.size());
    for (int i = -1; i < adapters.size(); i++) {
      AdapterWeights weights = i < 0 ? null : registry.read(adapters.get(i).digest()).weights();
      float[][] left = embedder.embedTexts(weights, captions);
      float[][] right = embedder.embedImages(weights, pictures);
      Recall t2i = Retrieval.recall(left, right, group, group);
      Recall i2t = Retrieval.recall(right, left, group, group);
      System.out.println(
          "| "
              + (i < 0 ? 0 : adapters.get(i).manifest().pairs())
              + cells(List.of(t2i.r1(), t2i.r5(), t2i.r10(), i2t.r1(), i2t.r5(), i2t.r10())));
    }
  }
}
