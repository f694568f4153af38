package io.whetstream.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.jobs.score.ScoreConfig;
import io.whetstream.jobs.score.ScoreJob;
import io.whetstream.local.LocalJob;
import io.whetstream.local.LocalOptions;
import io.whetstream.local.LocalRuntime;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.FloatTensor;
import io.whetstream.model.checkpoint.TextConfig;
import io.whetstream.model.image.ImageDecoder;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.onnx.Scorer;
import io.whetstream.model.onnx.ScorerAdapter;
import io.whetstream.model.onnx.ScorerOptions;
import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.DemoBase;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.ToDoubleFunction;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * Latency of the scoring job on a real broker and cluster in this process, with the demo base: how
 * soon queries and adapters take effect, and how soon alerts are written and visible, with
 * exactly-once and with at-least-once delivery. Clocks are one and the same.
 */
@Command(name = "scoring-latency", mixinStandardHelpOptions = true)
public final class ScoringLatency implements Callable<Integer> {
  /** What one run measures; each takes a few minutes at most. */
  enum Measure {
    /** How soon queries that are registered, changed and removed take effect. */
    QUERIES,
    /** How soon an adapter serves, and for how long its flip holds everything up. */
    ADAPTERS,
    /** Capacity, and from item to alert at half of it. */
    ALERTS,
    /** Capacity alone, and beside it that of the scorer without a job. */
    CAPACITY
  }

  @Option(names = "--measure", split = ",", defaultValue = "QUERIES,ADAPTERS,ALERTS")
  private Set<Measure> measures;

  @Option(names = "--delivery", split = ",", defaultValue = "exactly-once,at-least-once")
  private List<String> deliveries;

  @Option(names = "--queries", defaultValue = "1000")
  private int queries;

  @Option(names = "--changes", defaultValue = "200", description = "Queries added and so on.")
  private int changes;

  @Option(names = "--swaps", defaultValue = "20")
  private int swaps;

  @Option(names = "--flood", defaultValue = "4000", description = "Items that measure capacity.")
  private int flood;

  @Option(names = "--seconds", defaultValue = "60", description = "At half of the capacity.")
  private int seconds;

  @Option(names = "--parallelism", defaultValue = "1")
  private int parallelism;

  private static final Duration PATIENCE = Duration.ofMinutes(5);
  private static final Duration MAX_WAIT = Duration.ofMillis(20);
  private static final int PICTURES = 256;
  private static final int SCORER_BATCH = 32;
  private static final long SCORER_NANOS = 4_000_000_000L;

  private final SceneGenerator scenes = new SceneGenerator(3, SceneLook.STANDARD);
  private final List<byte[]> pictures = new ArrayList<>();
  private LocalRuntime runtime;
  private KafkaProducer<byte[], byte[]> producer;
  private Topics topics;
  private long items;
  private double jobOverScorer = Double.NaN;

  /**
   * Items a second of the whole job over images a second of one thread that decodes the same
   * pictures and gives them to a scorer with the same adapter; the latter is measured before and
   * after the job.
   */
  static double jobOverScorer(int flood) throws Exception {
    ScoringLatency latency = new ScoringLatency();
    new CommandLine(latency)
        .setCaseInsensitiveEnumValuesAllowed(true)
        .parseArgs(
            "--measure=CAPACITY", "--delivery=exactly-once", "--flood=" + flood, "--queries=1000");
    latency.call();
    return latency.jobOverScorer;
  }

  /** Runs the measurement. */
  public static void main(String[] args) {
    System.exit(
        new CommandLine(new ScoringLatency())
            .setCaseInsensitiveEnumValuesAllowed(true)
            .execute(args));
  }

  @Override
  public Integer call() throws Exception {
    for (int i = 0; i < PICTURES; i++) {
      pictures.add(SceneRenderer.png(SceneRenderer.render(scenes.scene(i))));
    }
    Path work = Files.createTempDirectory("whetstream-scoring-latency");
    try (LocalRuntime started = LocalRuntime.start(LocalOptions.in(work))) {
      runtime = started;
      try (KafkaProducer<byte[], byte[]> own =
          new KafkaProducer<>(
              Map.of("bootstrap.servers", runtime.bootstrapServers(), "linger.ms", "0"),
              new ByteArraySerializer(),
              new ByteArraySerializer())) {
        producer = own;
        for (String delivery : deliveries) {
          measure(delivery);
        }
      }
    } finally {
      try (var files = Files.walk(work)) {
        files.sorted(java.util.Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
      }
    }
    return 0;
  }

  private void measure(String delivery) throws Exception {
    String name = "score-" + delivery;
    topics = new Topics(delivery + ".");
    try (Admin admin = KafkaConnection.of(runtime.bootstrapServers()).admin()) {
      topics.create(admin, parallelism, (short) 1);
    }
    for (int i = 0; i < queries; i++) {
      query("q" + i, Captioner.shortCaption(scenes.scene(i)), 0.999999);
    }
    // The one query whose alerts are timed: it matches every item, once each.
    query("every", "a red circle", -1);
    announce(1, store(1));
    producer.flush();
    LocalJob job =
        runtime.submit(name, environment -> ScoreJob.build(environment, config(name, delivery)));
    try (Reader uncommitted = new Reader("read_uncommitted");
        Reader committed = new Reader("read_committed")) {
      item();
      await("the job scores", () -> !committed.alerts.isEmpty());
      if (measures.contains(Measure.QUERIES)) {
        queryChanges();
      }
      if (measures.contains(Measure.ADAPTERS)) {
        adapterSwaps(name, uncommitted);
      }
      if (measures.contains(Measure.CAPACITY)) {
        double before = scorer();
        double capacity = capacity(committed);
        double after = scorer();
        jobOverScorer = 2 * capacity / (before + after);
        System.out.printf(
            Locale.ROOT,
            "%s: job %.0f items/s at %d queries, parallelism %d; decoding and scoring alone %.0f"
                + " and %.0f images/s; %.2f%n",
            delivery,
            capacity,
            queries + 1,
            parallelism,
            before,
            after,
            jobOverScorer);
      }
      if (measures.contains(Measure.ALERTS)) {
        double capacity = capacity(committed);
        System.out.printf(
            Locale.ROOT,
            "%s: capacity %.0f items/s at %d queries, parallelism %d%n",
            delivery,
            capacity,
            queries + 1,
            parallelism);
        atHalf(delivery, capacity, job, uncommitted, committed);
      }
    }
    runtime.cancel(job);
  }

  private ScoreConfig config(String name, String delivery) {
    return ScoreConfig.loader()
        .parse(
            """
            name: %s
            parallelism: %d
            kafka: {bootstrapServers: '%s', topicPrefix: '%s', startingOffsets: earliest}
            registry: {uri: '%s'}
            base: {model: demo, threads: 1}
            match: {maxWait: %dms, watermarkLag: 0s}
            suppression: {coolDown: 0s, finalCountAfter: 0s, floodMatches: 1000000000}
            output: {delivery: %s}
            """
                .formatted(
                    name,
                    parallelism,
                    runtime.bootstrapServers(),
                    topics.prefix(),
                    runtime.adapters(),
                    MAX_WAIT.toMillis(),
                    delivery),
            "benchmark",
            List.of());
  }

  // ---- what is sent

  private <T extends StreamRecord> void send(String topic, RecordType<T> type, T record) {
    send(topic, record.key(), RecordFormat.json().codec(type, topic).encode(record));
  }

  private void send(String topic, String key, byte[] value) {
    Future<RecordMetadata> unused =
        producer.send(new ProducerRecord<>(topic, key.getBytes(StandardCharsets.UTF_8), value));
  }

  private void query(String id, String text, double minScore) {
    send(
        topics.queries(),
        RecordType.QUERY,
        new SimilarityQuery(
            id,
            text,
            null,
            null,
            List.of(MatchKind.IMAGE_TEXT),
            null,
            minScore,
            null,
            null,
            true,
            System.currentTimeMillis(),
            null,
            null));
  }

  /**
   * Sends an item, which gives one alert of the timed query. Its id says when, in microseconds of
   * the process's clock.
   */
  private void item() {
    byte[] picture = pictures.get((int) (items++ % PICTURES));
    String id = items + "/" + System.nanoTime() / 1000;
    send(
        topics.items(),
        RecordType.ITEM,
        new Item(id, null, null, null, null, System.currentTimeMillis(), picture, null));
  }

  private static long sentMicros(Alert alert) {
    return Long.parseLong(alert.itemId().substring(alert.itemId().indexOf('/') + 1));
  }

  private Path at(AdapterArtifact artifact) {
    return runtime.adapters().resolve("adapters").resolve(artifact.digest());
  }

  private AdapterArtifact store(int n) {
    AdapterArtifact artifact = adapter(n);
    AdapterCodec.write(at(artifact), artifact);
    return artifact;
  }

  private void announce(int n, AdapterArtifact artifact) {
    send(
        topics.adapters(),
        RecordType.ADAPTER,
        new AdapterAnnouncement(
            "default",
            0,
            n,
            artifact.digest(),
            artifact.manifest().manifestDigest(),
            null,
            artifact.manifest().baseDigest(),
            at(artifact).toString(),
            n,
            0,
            Map.of(),
            System.currentTimeMillis()));
    producer.flush();
  }

  private static AdapterArtifact adapter(int n) {
    Random random = new Random(n);
    try (Checkpoint base = Checkpoint.open(DemoBase.directory())) {
      TextConfig text = base.config().text();
      AdapterConfig config =
          new AdapterConfig(
              16,
              16,
              false,
              0,
              List.of("q_proj", "v_proj"),
              "<image>[short summary of the image :]",
              "<text>[short summary of the text :]",
              6,
              6);
      int heads = text.heads() * text.headDim();
      int keys = text.keyValueHeads() * text.headDim();
      SortedMap<String, FloatTensor> lora = new TreeMap<>();
      for (int layer = 0; layer < text.layers(); layer++) {
        String prefix = "language_model.model.layers." + layer + ".self_attn.";
        for (String module : config.targetModules()) {
          int out = module.equals("q_proj") ? heads : keys;
          lora.put(prefix + module + ".lora_A.weight", tensor(random, 16, text.hiddenSize()));
          lora.put(prefix + module + ".lora_B.weight", tensor(random, out, 16));
        }
      }
      AdapterWeights weights =
          new AdapterWeights(
              config,
              lora,
              tensor(random, 6, text.hiddenSize()),
              tensor(random, 6, text.hiddenSize()),
              3.4f);
      return new AdapterArtifact(
          weights,
          AdapterManifest.builder(weights, base.digest()).stream("default")
              .version(new AdapterManifest.Version(0, n))
              .step(n)
              .build());
    }
  }

  private static FloatTensor tensor(Random random, int rows, int columns) {
    float[] data = new float[rows * columns];
    for (int i = 0; i < data.length; i++) {
      data[i] = (float) random.nextGaussian() * 0.05f;
    }
    return new FloatTensor(new long[] {rows, columns}, data);
  }

  // ---- measurements

  /** Encoded images a second that one thread alone decodes and embeds, in batches as the job's. */
  private double scorer() {
    ImageDecoder decoder = new ImageDecoder(50_000_000);
    ImageProcessor processor = ImageProcessor.open(DemoBase.directory());
    ScorerOptions options = ScorerOptions.defaults().withThreads(1).withMaxBatch(SCORER_BATCH);
    try (Scorer scorer = Scorer.open(DemoBase.directory(), options);
        ScorerAdapter adapter = scorer.load(adapter(1))) {
      scorer.embedImages(adapter, prepared(decoder, processor, 0));
      long start = System.nanoTime();
      int batches = 0;
      while (System.nanoTime() - start < SCORER_NANOS) {
        scorer.embedImages(adapter, prepared(decoder, processor, batches));
        batches++;
      }
      return batches * SCORER_BATCH / ((System.nanoTime() - start) / 1e9);
    }
  }

  private List<ModelImage> prepared(ImageDecoder decoder, ImageProcessor processor, int batch) {
    List<ModelImage> images = new ArrayList<>();
    for (int i = 0; i < SCORER_BATCH; i++) {
      byte[] picture = pictures.get((batch * SCORER_BATCH + i) % PICTURES);
      images.add(processor.process(decoder.decode(picture, "a picture")));
    }
    return images;
  }

  /** From sending a query, its change or its removal until the matcher has taken it up. */
  private void queryChanges() throws Exception {
    Map<String, List<Double>> millis = new TreeMap<>();
    try (Statuses statuses = new Statuses()) {
      for (int i = 0; i < changes; i++) {
        item();
        String id = "changing" + i;
        String caption = Captioner.shortCaption(scenes.scene(10_000 + i));
        millis
            .computeIfAbsent("registered", any -> new ArrayList<>())
            .add(timed(statuses, id, () -> query(id, caption, 0.999)));
        millis
            .computeIfAbsent("changed", any -> new ArrayList<>())
            .add(timed(statuses, id, () -> query(id, caption + " and a star", 0.999)));
        millis
            .computeIfAbsent("removed", any -> new ArrayList<>())
            .add(timed(statuses, id, () -> send(topics.queries(), id, null)));
      }
    }
    millis.forEach(
        (what, values) ->
            print("query " + what + ", ms until effective, " + queries + " queries", values));
  }

  private double timed(Statuses statuses, String id, Runnable send) {
    long before = statuses.count(id);
    long start = System.currentTimeMillis();
    send.run();
    producer.flush();
    await("query " + id + " is answered", () -> statuses.count(id) > before);
    return statuses.last(id).time() - start;
  }

  /** From announcing an adapter until the first item is scored with it. */
  private void adapterSwaps(String job, Reader alerts) {
    List<Double> millis = new ArrayList<>();
    List<Double> flips = new ArrayList<>();
    for (int n = 2; n < 2 + swaps; n++) {
      AdapterArtifact announced = store(n);
      long start = System.currentTimeMillis();
      announce(n, announced);
      long[] next = {0};
      await(
          "adapter " + n + " serves",
          () -> {
            if (System.nanoTime() > next[0]) {
              next[0] = System.nanoTime() + 50_000_000;
              item();
            }
            return alerts.firstOf(announced.digest()) > 0;
          });
      millis.add((double) alerts.firstOf(announced.digest()) - start);
      flips.add(runtime.metrics().max(job, "lastFlipMicros").orElse(Double.NaN));
    }
    long start = System.currentTimeMillis();
    String back = adapter(1).digest();
    long known = alerts.lastOf(back);
    send(
        topics.adaptersControl(),
        RecordType.ADAPTER_CONTROL,
        AdapterControl.rollback("default", back, "benchmark", start));
    producer.flush();
    long[] next = {0};
    await(
        "the rollback is obeyed",
        () -> {
          if (System.nanoTime() > next[0]) {
            next[0] = System.nanoTime() + 50_000_000;
            item();
          }
          return alerts.lastOf(back) > known;
        });
    System.out.printf(
        Locale.ROOT, "| rollback ordered, ms until active | %d |%n", alerts.lastOf(back) - start);
    print("adapter announced, ms until active, " + queries + " queries", millis);
    print("flip call, us, in the job", flips);
  }

  private double capacity(Reader committed) {
    await("what was sent before is done", () -> committed.alerts.size() >= items);
    long start = System.nanoTime();
    for (int i = 0; i < flood; i++) {
      item();
    }
    await("the flood is scored", () -> committed.alerts.size() >= items);
    return flood / ((System.nanoTime() - start) / 1e9);
  }

  private void atHalf(
      String delivery, double capacity, LocalJob job, Reader uncommitted, Reader committed)
      throws Exception {
    int count = (int) (seconds * capacity / 2);
    long from = System.nanoTime() / 1000;
    for (int i = 0; i < count; i++) {
      long due = from * 1000 + (long) (i * 2e9 / capacity);
      while (System.nanoTime() < due) {
        LockSupport.parkNanos(Math.max(1, due - System.nanoTime()));
      }
      item();
    }
    await("all items are alerted", () -> committed.alerts.size() >= items);
    List<Double> written = millis(uncommitted, from);
    List<Double> visible = millis(committed, from);
    print(delivery + ", half load: ms from item to alert written", written);
    print(delivery + ", half load: ms from item to alert visible to read_committed", visible);
    print(
        delivery + ", half load: ms from item to being matched",
        committed.alerts.values().stream()
            .filter(seen -> sentMicros(seen.alert()) >= from)
            .map(seen -> (double) seen.alert().processingTime() - seen.alert().eventTime())
            .toList());
    checkpoints(delivery, job);
  }

  private static List<Double> millis(Reader reader, long from) {
    return reader.alerts.values().stream()
        .filter(seen -> sentMicros(seen.alert()) >= from)
        .map(seen -> (seen.micros() - sentMicros(seen.alert())) / 1e3)
        .toList();
  }

  private void checkpoints(String delivery, LocalJob job) throws Exception {
    HttpResponse<String> answer =
        HttpClient.newHttpClient()
            .send(
                HttpRequest.newBuilder(
                        runtime.webUi().resolve("/jobs/" + job.id() + "/checkpoints"))
                    .build(),
                HttpResponse.BodyHandlers.ofString());
    List<Double> durations = new ArrayList<>();
    for (JsonNode each : new ObjectMapper().readTree(answer.body()).path("history")) {
      if (each.path("status").asText().equals("COMPLETED")) {
        durations.add(each.path("end_to_end_duration").asDouble());
      }
    }
    print(delivery + ", half load: ms of a checkpoint (the last ones)", durations);
  }

  private static void print(String what, List<Double> values) {
    if (values.isEmpty()) {
      System.out.println("| " + what + " | nothing measured |");
      return;
    }
    double[] sorted = values.stream().mapToDouble(Double::doubleValue).sorted().toArray();
    ToDoubleFunction<Double> quantile =
        q -> sorted[Math.max(0, (int) Math.ceil(sorted.length * q) - 1)];
    System.out.printf(
        Locale.ROOT,
        "| %s | n %d | p50 %.1f | p99 %.1f | max %.1f |%n",
        what,
        sorted.length,
        quantile.applyAsDouble(0.5),
        quantile.applyAsDouble(0.99),
        quantile.applyAsDouble(1.0));
  }

  private static void await(String what, BooleanSupplier condition) {
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    while (!condition.getAsBoolean()) {
      if (System.nanoTime() > deadline) {
        throw new IllegalStateException("in vain waited until " + what);
      }
      LockSupport.parkNanos(1_000_000);
    }
  }

  // ---- what is read

  /** An alert and when it was seen, in microseconds of the process's clock. */
  private record Seen(Alert alert, long micros) {}

  /** Follows a topic on a thread of its own. */
  private abstract class Follower implements AutoCloseable {
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Thread thread;
    private volatile boolean stopped;

    Follower(String topic, String isolation) {
      consumer =
          new KafkaConsumer<>(
              Map.of(
                  "bootstrap.servers",
                  runtime.bootstrapServers(),
                  "isolation.level",
                  isolation,
                  "fetch.max.wait.ms",
                  "10"),
              new ByteArrayDeserializer(),
              new ByteArrayDeserializer());
      List<TopicPartition> partitions =
          consumer.partitionsFor(topic).stream()
              .map(found -> new TopicPartition(topic, found.partition()))
              .toList();
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      thread = new Thread(this::follow, "follow-" + topic + "-" + isolation);
    }

    void start() {
      thread.start();
    }

    private void follow() {
      while (!stopped) {
        consumer
            .poll(Duration.ofMillis(20))
            .forEach(read -> take(read.value(), System.nanoTime() / 1000));
      }
    }

    abstract void take(byte[] value, long micros);

    @Override
    public void close() throws InterruptedException {
      stopped = true;
      thread.join();
      consumer.close();
    }
  }

  private final class Reader extends Follower {
    private final Map<String, Seen> alerts = new ConcurrentHashMap<>();
    private final Map<String, Long> firstMatched = new ConcurrentHashMap<>();
    private final Map<String, Long> lastMatched = new ConcurrentHashMap<>();

    Reader(String isolation) {
      super(topics.alerts(), isolation);
      start();
    }

    @Override
    void take(byte[] value, long micros) {
      Alert alert = RecordFormat.json().codec(RecordType.ALERT, "alerts").decode(value, null, 0);
      if (alert.queryId().equals("every")) {
        alerts.putIfAbsent(alert.alertId(), new Seen(alert, micros));
        firstMatched.putIfAbsent(alert.adapterDigest(), alert.processingTime());
        lastMatched.merge(alert.adapterDigest(), alert.processingTime(), Math::max);
      }
    }

    /** When the first item was matched under an adapter, in epoch milliseconds; 0: not yet. */
    long firstOf(String digest) {
      return firstMatched.getOrDefault(digest, 0L);
    }

    /** When the latest item was. */
    long lastOf(String digest) {
      return lastMatched.getOrDefault(digest, 0L);
    }
  }

  private final class Statuses extends Follower {
    private final Map<String, List<QueryStatus>> byQuery = new HashMap<>();

    Statuses() {
      super(topics.queriesStatus(), "read_uncommitted");
      start();
    }

    @Override
    synchronized void take(byte[] value, long micros) {
      QueryStatus status =
          RecordFormat.json().codec(RecordType.QUERY_STATUS, "status").decode(value, null, 0);
      byQuery.computeIfAbsent(status.queryId(), any -> new ArrayList<>()).add(status);
    }

    synchronized long count(String id) {
      return byQuery.getOrDefault(id, List.of()).size();
    }

    synchronized QueryStatus last(String id) {
      List<QueryStatus> all = byQuery.get(id);
      return all.get(all.size() - 1);
    }
  }
}
