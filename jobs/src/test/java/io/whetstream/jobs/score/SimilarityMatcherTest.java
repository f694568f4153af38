package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.types.Read;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.flink.api.common.JobID;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.extension.TestExecutionExceptionHandler;
import org.junit.jupiter.api.io.TempDir;

/** The matcher between a real broker and a real cluster; words stand for the model. */
@Tag("cluster")
@Timeout(300)
class SimilarityMatcherTest {
  private static final int QUERIES = 60;

  @RegisterExtension
  static final TestExecutionExceptionHandler EXPLAINED =
      ScoreCluster.explaining(() -> SimilarityMatcherTest.cluster);

  @TempDir static Path directory;
  private static ScoreCluster cluster;
  private static int tests;

  private String prefix;

  @BeforeAll
  static void start() throws Exception {
    cluster = new ScoreCluster(directory, 2, 1);
  }

  @AfterAll
  static void stop() throws Exception {
    cluster.close();
  }

  @BeforeEach
  void topics() throws Exception {
    prefix = "t" + tests++ + ".";
    cluster.topics(2, prefix + "items", prefix + "out", prefix + "answers");
    cluster.compactedTopics(prefix + "queries", prefix + "adapters", prefix + "adapters.control");
  }

  /** A job that a failed test leaves behind would keep the slots from the tests after it. */
  @AfterEach
  void cancelWhatIsLeft() throws Exception {
    cluster.cancelAll();
  }

  private ScoreConfig config(String... overrides) {
    return ScoreConfig.parse(
        """
        parallelism: 2
        kafka:
          bootstrapServers: %s
          topicPrefix: %s
        match:
          batchSize: 8
          slice: 4
        suppression:
          coolDown: 0s
          finalCountAfter: 0s
          floodMatches: 1000000000
        """
            .formatted(cluster.bootstrapServers(), prefix),
        List.of(overrides));
  }

  /** Reads {@code items}: the value is the text. */
  static final class TextItems implements KafkaRecordDeserializationSchema<Read<Item>> {
    private static final long serialVersionUID = 1L;

    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> read, Collector<Read<Item>> out) {
      Coordinates at = new Coordinates(read.topic(), read.partition(), read.offset());
      out.collect(
          Read.of(
              at,
              read.timestamp(),
              read.key(),
              read.value(),
              new Item(
                  new String(read.key(), StandardCharsets.UTF_8),
                  null,
                  null,
                  new String(read.value(), StandardCharsets.UTF_8),
                  null,
                  read.timestamp(),
                  null,
                  at)));
    }

    @Override
    public TypeInformation<Read<Item>> getProducedType() {
      return Read.typeInfo(RecordType.ITEM);
    }
  }

  /** {@code item query n score}. */
  static final class Line implements MapFunction<Alert, String> {
    private static final long serialVersionUID = 1L;

    /** Set by a test to make the task fail at its next alert. */
    static final AtomicBoolean FAIL = new AtomicBoolean();

    @Override
    public String map(Alert alert) {
      if (FAIL.getAndSet(false)) {
        throw new IllegalStateException("failed on purpose");
      }
      return String.join(
          " ",
          alert.itemId(),
          alert.queryId(),
          Long.toString(alert.adapterN()),
          Double.toString(alert.scores().get(0).score()));
    }
  }

  /** {@code query state revision}. */
  static final class AnswerLine implements MapFunction<QueryStatus, String> {
    private static final long serialVersionUID = 1L;

    @Override
    public String map(QueryStatus answer) {
      return answer.queryId() + " " + answer.state() + " " + answer.revision();
    }
  }

  private JobID submit(ScoreConfig config, boolean readFirst, String savepoint) throws Exception {
    StreamExecutionEnvironment env = cluster.environment();
    DataStream<Read<Item>> items =
        env.fromSource(
                KafkaSource.<Read<Item>>builder()
                    .setBootstrapServers(cluster.bootstrapServers())
                    .setTopics(prefix + "items")
                    .setStartingOffsets(OffsetsInitializer.earliest())
                    .setDeserializer(new TextItems())
                    .build(),
                WatermarkStrategy.forMonotonousTimestamps(),
                "items")
            .uid("items-source")
            .setParallelism(2);
    WordParts parts = new WordParts(prefix);
    ScoreGraph graph =
        ScoreGraph.build(
            env, items, config, parts, new SimilarityMatcher(config, parts, readFirst));
    graph.alerts().map(new Line()).setParallelism(2).sinkTo(sink("out")).uid("out");
    graph.answers().map(new AnswerLine()).setParallelism(1).sinkTo(sink("answers")).uid("answers");
    return cluster.submit(env, savepoint);
  }

  private KafkaSink<String> sink(String topic) {
    return KafkaSink.<String>builder()
        .setBootstrapServers(cluster.bootstrapServers())
        .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
        .setTransactionalIdPrefix(prefix + topic)
        .setProperty("transaction.timeout.ms", "60000")
        .setRecordSerializer(
            KafkaRecordSerializationSchema.builder()
                .setTopic(prefix + topic)
                .setValueSerializationSchema(new SimpleStringSchema())
                .build())
        .build();
  }

  private List<String[]> alerts() {
    return cluster.read(prefix + "out").stream()
        .map(record -> new String(record.value(), StandardCharsets.UTF_8).split(" "))
        .toList();
  }

  private List<String> answers() {
    return cluster.read(prefix + "answers").stream()
        .map(record -> new String(record.value(), StandardCharsets.UTF_8))
        .toList();
  }

  /** A job with the whole watchlist, adapter 1 and so many items already in Kafka. */
  private JobID started(int items) throws Exception {
    sendQueries();
    announce(1);
    sendItems(0, items);
    return submit(config(), true, null);
  }

  private void awaitAlerts(int count) throws Exception {
    ScoreCluster.await("all are matched", () -> alerts().size() >= count);
  }

  private void announce(long adapter) {
    cluster.send(prefix + "adapters", "default", Long.toString(adapter));
    cluster.flush();
  }

  private void order(String control) {
    cluster.send(prefix + "adapters.control", "default", control);
    cluster.flush();
  }

  private void sendQueries() {
    for (int i = 0; i < QUERIES; i++) {
      cluster.send(prefix + "queries", "q" + i, "-1|word" + i);
    }
  }

  private void sendItems(int from, int to) {
    for (int i = from; i < to; i++) {
      cluster.send(prefix + "items", "item" + i, "word" + i);
    }
    cluster.flush();
  }

  private static Map<String, Integer> perItem(List<String[]> alerts) {
    Map<String, Integer> counts = new HashMap<>();
    alerts.forEach(alert -> counts.merge(alert[0], 1, Integer::sum));
    return counts;
  }

  /** Every alert is the only one of its item and query, and its score is of the digest it names. */
  private static void assertRight(List<String[]> alerts, int texts) {
    Set<String> seen = new HashSet<>();
    for (String[] alert : alerts) {
      assertTrue(seen.add(alert[0] + " " + alert[1]), "twice: " + alert[0] + " " + alert[1]);
      String digest = WordEmbedder.digest(Long.parseLong(alert[2]));
      String item = "word" + alert[0].substring("item".length());
      String query = "word" + Integer.parseInt(alert[1].substring(1)) % texts;
      assertEquals(
          MatchEngine.dot(WordEmbedder.vector(digest, item), WordEmbedder.vector(digest, query)),
          Float.parseFloat(alert[3]),
          1e-5);
    }
  }

  @Test
  void atAColdStartNoItemIsMatchedAgainstPartOfTheWatchlist() throws Exception {
    JobID job = started(200);
    awaitAlerts(200 * QUERIES);
    cluster.cancel(job);
    Map<String, Integer> counts = perItem(alerts());
    assertEquals(200, counts.size());
    assertEquals(Set.of(QUERIES), Set.copyOf(counts.values()));
    assertRight(alerts(), QUERIES);
    assertEquals(QUERIES, answers().size());
  }

  /** Counter-test: without the read before the first item, some items miss some queries. */
  @Test
  void withoutTheStartUpReadItemsAreMatchedAgainstPartOfTheWatchlist() throws Exception {
    sendQueries();
    announce(1);
    sendItems(0, 200);
    JobID job = submit(config(), false, null);
    ScoreCluster.await("queries are known", () -> answers().size() >= QUERIES);
    sendItems(200, 201);
    ScoreCluster.await("the last is matched", () -> perItem(alerts()).containsKey("item200"));
    cluster.cancel(job);
    Map<String, Integer> counts = perItem(alerts());
    assertNotEquals(201L, counts.values().stream().filter(count -> count == QUERIES).count());
  }

  @Test
  void aRestoreKnowsTheWatchlistAsItIsNow() throws Exception {
    JobID job = started(10);
    awaitAlerts(10 * QUERIES);
    String savepoint = cluster.stopWithSavepoint(job);
    cluster.send(prefix + "queries", "q0", null);
    cluster.send(prefix + "queries", "q" + QUERIES, "-1|word" + QUERIES);
    cluster.send(prefix + "queries", "q" + (QUERIES + 1), "-1|word" + (QUERIES + 1));
    announce(2);
    sendItems(10, 100);
    JobID again = submit(config("parallelism=1"), true, savepoint);
    awaitAlerts(10 * QUERIES + 90 * (QUERIES + 1));
    ScoreCluster.await("queries are answered", () -> answers().size() >= QUERIES + 2);
    cluster.cancel(again);
    List<String[]> alerts = alerts();
    assertEquals(10 * QUERIES + 90 * (QUERIES + 1), alerts.size());
    assertRight(alerts, QUERIES + 2);
    assertFalse(
        alerts.stream()
            .anyMatch(
                alert -> alert[1].equals("q0") && Integer.parseInt(alert[0].substring(4)) >= 10));
    assertEquals(QUERIES + 2, answers().size(), "known answers are not given again");
  }

  @Test
  void queriesInAPartitionThatWasAddedTakeEffectAndReplaceTheirFormerRevisions() throws Exception {
    JobID job = started(5);
    awaitAlerts(5 * QUERIES);
    cluster.addPartitions(prefix + "queries", 2);
    byte[] never = "0.9999|nothing that comes".getBytes(StandardCharsets.UTF_8);
    byte[] always = "-1|word1".getBytes(StandardCharsets.UTF_8);
    // It lay in partition 0, at a higher offset, and lies in the other one now.
    cluster.send(prefix + "queries", 1, null, "q0", never);
    cluster.send(prefix + "queries", 1, null, "a query with spaces", always);
    cluster.flush();
    ScoreCluster.await("both are answered", () -> answers().size() == QUERIES + 2);
    sendItems(5, 25);
    awaitAlerts(25 * QUERIES);
    String savepoint = cluster.stopWithSavepoint(job);
    JobID again = submit(config(), true, savepoint);
    sendItems(25, 30);
    awaitAlerts(30 * QUERIES);
    cluster.cancel(again);
    List<String> after =
        cluster.read(prefix + "out").stream()
            .map(record -> new String(record.value(), StandardCharsets.UTF_8))
            .filter(line -> Integer.parseInt(line.substring(4, line.indexOf(' '))) >= 5)
            .toList();
    assertEquals(25 * QUERIES, after.size());
    assertTrue(after.stream().noneMatch(line -> line.contains(" q0 ")));
    assertEquals(25, after.stream().filter(line -> line.contains(" a query with spaces ")).count());
  }

  /** Counter-test: a restore without that read has none of the queries it had before. */
  @Test
  void withoutTheStartUpReadARestoreMatchesAgainstPartOfTheWatchlist() throws Exception {
    JobID job = started(10);
    awaitAlerts(10 * QUERIES);
    String savepoint = cluster.stopWithSavepoint(job);
    cluster.send(prefix + "queries", "q" + QUERIES, "-1|word" + QUERIES);
    cluster.flush();
    JobID again = submit(config(), false, savepoint);
    int[] next = {10};
    ScoreCluster.await(
        "an item is matched",
        () -> {
          sendItems(next[0], ++next[0]);
          return alerts().size() > 10 * QUERIES;
        });
    cluster.cancel(again);
    assertTrue(
        perItem(alerts()).values().stream().anyMatch(count -> count < QUERIES), "part of it");
  }

  @Test
  void itemsWaitInKafkaUntilThereIsAnAdapter() throws Exception {
    sendQueries();
    sendItems(0, 20);
    announce(1001);
    JobID job = submit(config(), true, null);
    announce(5);
    awaitAlerts(20 * QUERIES);
    cluster.cancel(job);
    assertTrue(alerts().stream().allMatch(alert -> alert[2].equals("5")));
  }

  /** Each subtask asks once in vain; nothing is announced after that. */
  @Test
  void aRegistryThatDoesNotAnswerIsAskedAgainBeforeTheFirstItem() throws Exception {
    sendQueries();
    announce(1);
    sendItems(0, 20);
    WordParts.STORE_FAILURES.set(2);
    JobID job = submit(config(), true, null);
    awaitAlerts(20 * QUERIES);
    assertEquals(0, WordParts.STORE_FAILURES.get());
    assertNull(cluster.flink().getExecutionGraph(job).get().getFailureInfo());
    cluster.cancel(job);
    assertRight(alerts(), QUERIES);
  }

  /** It starts with the one before; nothing is announced after that. */
  @Test
  void anAdapterThatTheRegistryDidNotGiveAtTheStartServesWhenItDoes() throws Exception {
    sendQueries();
    announce(1);
    announce(2);
    WordParts.STORE_FAILURES.set(1);
    JobID job = submit(config("parallelism=1"), true, null);
    awaitServing("2", 0);
    assertEquals(0, WordParts.STORE_FAILURES.get());
    cluster.cancel(job);
  }

  @Test
  void withStartWithBaseItemsAreMatchedBeforeThereIsAnAdapter() throws Exception {
    sendQueries();
    sendItems(0, 20);
    JobID job = submit(config("startWith=base"), true, null);
    awaitAlerts(20 * QUERIES);
    announce(5);
    ScoreCluster.await(
        "the adapter serves",
        () -> {
          sendItems(20, 21);
          return alerts().stream().anyMatch(alert -> alert[2].equals("5"));
        });
    cluster.cancel(job);
    assertTrue(alerts().stream().anyMatch(alert -> alert[2].equals("-1")));
  }

  @Test
  void duringFiftySwapsWithRestartsEveryItemIsMatchedOnceUnderOneDigest() throws Exception {
    Random random = new Random(8);
    sendQueries();
    announce(1);
    JobID job = submit(config(), true, null);
    int items = 0;
    int restarts = 0;
    for (int adapter = 2; adapter <= 51; adapter++) {
      announce(adapter);
      // Before the items: the next alert fails, and there is one.
      boolean fails = random.nextInt(8) == 0;
      Line.FAIL.set(fails);
      int more = items + 5 + random.nextInt(30);
      sendItems(items, more);
      items = more;
      if (fails) {
        restarts++;
        ScoreCluster.await("the task has failed", () -> !Line.FAIL.get());
      }
      if (random.nextInt(3) == 0) {
        int sent = items;
        ScoreCluster.await(
            "most is matched",
            () -> perItem(alerts()).containsKey("item" + (sent - 1 - random.nextInt(3))));
      }
    }
    int all = items;
    awaitAlerts(all * QUERIES);
    awaitServing("51", items);
    cluster.cancel(job);
    List<String[]> alerts = alerts();
    assertRight(alerts, QUERIES);
    assertEquals(Set.of(QUERIES), Set.copyOf(perItem(alerts).values()));
    Map<String, Set<String>> adapters = new HashMap<>();
    alerts.forEach(
        alert -> adapters.computeIfAbsent(alert[0], any -> new HashSet<>()).add(alert[2]));
    assertTrue(
        adapters.values().stream().allMatch(used -> used.size() == 1), "no item under two digests");
    assertTrue(
        adapters.values().stream().distinct().count() > 10, "alerts of many adapters are compared");
    assertTrue(restarts > 3);
  }

  @Test
  void aRollbackIsObeyedUntilItIsResumed() throws Exception {
    sendQueries();
    announce(1);
    announce(2);
    JobID job = submit(config(), true, null);
    awaitServing("2", 0);
    order("rollback 1");
    awaitServing("1", 1000);
    // Announced while the rollback is in force: known, not taken up.
    announce(3);
    // Two topics have no order between them, so a resume names the line that it ends.
    order("resume 1 3");
    announce(4);
    awaitServing("4", 2000);
    cluster.cancel(job);
    assertFalse(alerts().stream().anyMatch(alert -> alert[2].equals("3")));
  }

  /** With all that a compacted topic need hold: the newest announcement and the newest order. */
  @Test
  void aFreshStartAfterARollbackAndItsEndDoesNotTakeUpWhatWasRolledBack() throws Exception {
    sendQueries();
    order("resume 1 2");
    announce(2);
    JobID job = submit(config(), true, null);
    awaitServing("0", 0);
    announce(3);
    awaitServing("3", 1000);
    cluster.cancel(job);
    assertTrue(alerts().stream().allMatch(alert -> Set.of("0", "3").contains(alert[2])));
  }

  private void awaitServing(String adapter, int firstItem) throws Exception {
    int[] next = {firstItem};
    ScoreCluster.await(
        "adapter " + adapter + " serves",
        () -> {
          String sent = "item" + next[0];
          sendItems(next[0], next[0] + 1);
          next[0]++;
          ScoreCluster.await("it is matched", () -> perItem(alerts()).containsKey(sent));
          return alerts().stream()
              .anyMatch(alert -> alert[0].equals(sent) && alert[2].equals(adapter));
        });
  }
}
