package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.model.adapter.Calibration;
import io.whetstream.model.image.ModelImage;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.DoubleStream;
import org.apache.flink.api.common.JobID;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * A false-positive rate through the job while scores move up and down; nothing but items comes, so
 * nothing else makes the job look at its thresholds.
 */
@Timeout(300)
class LiveThresholdsTest {
  private static String prefix = "live.";
  private static final int ITEMS = 10_000;
  private static final double RATE = 0.01;
  private static final double BUDGET_PER_SECOND = 2;

  @TempDir static Path directory;
  private static ScoreCluster cluster;

  @BeforeAll
  static void start() throws Exception {
    cluster = new ScoreCluster(directory, 2, 1);
  }

  @AfterAll
  static void stop() throws Exception {
    cluster.close();
  }

  /** An item's text is the score it gets with the one query. */
  private record Scores(WordEmbedder words) implements Embedder {
    @Override
    public float[][] texts(Adapter adapter, List<String> texts) {
      float[][] vectors = new float[texts.size()][];
      for (int i = 0; i < vectors.length; i++) {
        double score = texts.get(i).equals("watched") ? 1 : Double.parseDouble(texts.get(i));
        vectors[i] = new float[WordEmbedder.DIMENSION];
        vectors[i][0] = (float) score;
        vectors[i][1] = (float) Math.sqrt(Math.max(0, 1 - score * score));
      }
      return vectors;
    }

    @Override
    public int dimension() {
      return words.dimension();
    }

    @Override
    public String baseDigest() {
      return words.baseDigest();
    }

    @Override
    public Adapter base() {
      return words.base();
    }

    @Override
    public ModelImage image(byte[] encoded, String where) {
      return words.image(encoded, where);
    }

    @Override
    public ContentGroup group(byte[] encoded, String where) {
      return words.group(encoded, where);
    }

    @Override
    public float[][] images(Adapter adapter, List<ModelImage> images) {
      return words.images(adapter, images);
    }

    @Override
    public void close() {}
  }

  /** Calibrated with scores of N(0.2, 0.1). */
  private record Parts(WordParts words) implements ScoreParts {
    private static final long serialVersionUID = 1L;

    @Override
    public Embedder embedder() {
      return new Scores(new WordEmbedder());
    }

    @Override
    public LoadedAdapter.Loader loader(Embedder embedder) {
      return wanted ->
          new LoadedAdapter(
              wanted, ((Scores) embedder).words().handle(wanted.digest()), calibration());
    }

    private static Calibration calibration() {
      Random random = new Random(3);
      double[] sorted =
          DoubleStream.generate(random::nextGaussian).limit(200_000).sorted().toArray();
      List<Double> rates =
          List.of(0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0);
      List<Double> thresholds =
          rates.stream()
              .map(rate -> 0.2 + 0.1 * sorted[sorted.length - (int) Math.round(rate * 200_000)])
              .toList();
      return new Calibration(
          new TreeMap<>(Map.of("text-text", new Calibration.Curve(200_000, rates, thresholds))));
    }

    @Override
    public WatchedQuery query(ControlRecord record) {
      return new WatchedQuery(
          new String(record.key(), StandardCharsets.UTF_8),
          record.offset(),
          new Coordinates(record.topic(), record.partition(), record.offset()),
          "watched",
          null,
          Set.of(MatchKind.TEXT_TEXT),
          List.of(),
          null,
          record.value()[0] == 'b' ? null : RATE,
          record.value()[0] == 'b' ? BUDGET_PER_SECOND * 86_400 : null,
          null);
    }

    @Override
    public List<AdapterVersion> newestInRegistry() {
      return List.of();
    }

    @Override
    public void pin(Set<String> digests, Duration validFor) {}

    @Override
    public Topics topics() {
      return words.topics();
    }

    @Override
    public AdapterVersion announcement(ControlRecord record) {
      return words.announcement(record);
    }

    @Override
    public Command command(ControlRecord record) {
      return words.command(record);
    }
  }

  /** {@code state reason}. */
  static final class AnswerLine implements MapFunction<QueryStatus, String> {
    private static final long serialVersionUID = 1L;

    @Override
    public String map(QueryStatus answer) {
      return answer.state() + " " + answer.reason();
    }
  }

  private JobID submit() throws Exception {
    ScoreConfig config =
        ScoreConfig.parse(
            """
            kafka: {bootstrapServers: '%s', topicPrefix: %s}
            match: {batchSize: 32}
            suppression: {coolDown: 0s, finalCountAfter: 0s, floodMatches: 1000000000}
            """
                .formatted(cluster.bootstrapServers(), prefix),
            List.of());
    StreamExecutionEnvironment env = cluster.environment();
    ScoreGraph graph =
        ScoreGraph.build(
            env,
            env.fromSource(
                KafkaSource
                    .<io.whetstream.connectors.types.Read<io.whetstream.connectors.records.Item>>
                        builder()
                    .setBootstrapServers(cluster.bootstrapServers())
                    .setTopics(prefix + "items")
                    .setStartingOffsets(OffsetsInitializer.earliest())
                    .setDeserializer(new SimilarityMatcherTest.TextItems())
                    .build(),
                WatermarkStrategy.forMonotonousTimestamps(),
                "items"),
            config,
            new Parts(new WordParts(prefix)));
    graph.alerts().map(new SimilarityMatcherTest.Line()).sinkTo(sink("out"));
    graph.answers().map(new AnswerLine()).setParallelism(1).sinkTo(sink("answers"));
    env.setParallelism(1);
    return cluster.submit(env, null);
  }

  private static KafkaSink<String> sink(String topic) {
    return KafkaSink.<String>builder()
        .setBootstrapServers(cluster.bootstrapServers())
        .setDeliveryGuarantee(DeliveryGuarantee.AT_LEAST_ONCE)
        .setRecordSerializer(
            KafkaRecordSerializationSchema.builder()
                .setTopic(prefix + topic)
                .setValueSerializationSchema(new SimpleStringSchema())
                .build())
        .build();
  }

  private static List<String> lines(String topic) {
    return cluster.read(prefix + topic).stream()
        .map(record -> new String(record.value(), StandardCharsets.UTF_8))
        .toList();
  }

  /** Items with scores of N(mean, 0.1), each under a name that begins with {@code name}. */
  private static void send(String name, double mean, int items) {
    Random random = new Random(name.hashCode());
    for (int i = 0; i < items; i++) {
      double score = Math.min(0.99, Math.max(-0.99, mean + 0.1 * random.nextGaussian()));
      cluster.send(prefix + "items", name + i, Double.toString(score));
    }
  }

  private static long alerts(String name) {
    return lines("out").stream().filter(line -> line.startsWith(name)).count();
  }

  @Test
  void theMeasuredRateStaysWithinAFactorOfTwoWhenScoresMoveUpAndDown() throws Exception {
    prefix = "live.";
    cluster.topics(1, prefix + "items", prefix + "out", prefix + "answers");
    cluster.compactedTopics(prefix + "queries", prefix + "adapters", prefix + "adapters.control");
    cluster.send(prefix + "queries", "q", "x");
    cluster.send(prefix + "adapters", "default", "1");
    double[] means = {0.2, 0.4, 0.1};
    for (double mean : means) {
      send("settle" + mean + "-", mean, ITEMS);
      send("measure" + mean + "-", mean, ITEMS);
    }
    cluster.send(prefix + "items", "last", "0.999");
    cluster.flush();
    JobID job = submit();
    ScoreCluster.await("the last is alerted", () -> alerts("last") == 1);
    ScoreCluster.await("the move is said", () -> lines("answers").size() >= 2);
    cluster.cancel(job);
    for (double mean : means) {
      double rate = (double) alerts("measure" + mean + "-") / ITEMS;
      assertTrue(rate > RATE / 2 && rate < RATE * 2, mean + ": " + rate);
    }
    List<String> answers = lines("answers");
    assertEquals("ACCEPTED ", answers.get(0));
    assertTrue(answers.get(1).contains("have moved away from the calibration"), answers.get(1));
  }

  /** Item by item, so that the stream is as slow as a micro-batch that waits for more. */
  private static void sendSlowly(String name, int items) throws Exception {
    Random random = new Random(name.hashCode());
    for (int i = 0; i < items; i++) {
      long before = lines("out").size();
      cluster.send(prefix + "items", name + i, Double.toString(0.2 + 0.1 * random.nextGaussian()));
      if (i % 10 == 9) {
        cluster.send(prefix + "items", name + "mark" + i, "0.999");
        cluster.flush();
        ScoreCluster.await("the mark is alerted", () -> lines("out").size() > before);
      }
    }
  }

  @Test
  void anAlertBudgetIsKeptWhenTheStreamRunsAHundredTimesAsFast() throws Exception {
    prefix = "budget.";
    cluster.topics(1, prefix + "items", prefix + "out", prefix + "answers");
    cluster.compactedTopics(prefix + "queries", prefix + "adapters", prefix + "adapters.control");
    cluster.send(prefix + "queries", "q", "budget");
    cluster.send(prefix + "adapters", "default", "1");
    cluster.flush();
    JobID job = submit();
    sendSlowly("slow-", 300);
    long slow = alerts("slow-") - alerts("slow-mark");
    long start = System.nanoTime();
    send("fast-", 0.2, ITEMS);
    send("faster-", 0.2, ITEMS);
    cluster.send(prefix + "items", "last", "0.999");
    cluster.flush();
    ScoreCluster.await("the last is alerted", () -> alerts("last") == 1);
    double seconds = (System.nanoTime() - start) / 1e9;
    cluster.cancel(job);
    long fast = alerts("fast");
    assertTrue(slow > 0, "a slow stream may match more often");
    // Until the mean over ten seconds has followed to a hundred times the speed.
    double lag = AlertBudget.SHORT_SECONDS * Math.log(100);
    double most = BUDGET_PER_SECOND * (seconds + lag) * 1.5;
    assertTrue(fast <= most, fast + " alerts in " + seconds + " s, at most " + most);
    assertTrue(
        slow / 300.0 > 3.0 * fast / (2 * ITEMS), slow + " of 300 and " + fast + " of " + 2 * ITEMS);
  }
}
