package io.whetstream.jobs.table;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.jobs.score.ScoreCluster;
import io.whetstream.model.adapter.AdapterArtifact;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.api.common.JobID;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Live models on a real broker, swapped and rolled back under load. */
@Tag("cluster")
@Timeout(300)
class LiveModelTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir static Path directory;
  private static ScoreCluster cluster;
  private static SqlCluster models;
  private static int tests;

  private Topics topics;
  private String out;
  private final Map<String, AdapterArtifact> adapters = new HashMap<>();
  private final Map<String, Item> sent = new LinkedHashMap<>();

  @BeforeAll
  static void start() throws Exception {
    cluster = new ScoreCluster(directory.resolve("cluster"), 4, 1);
    models = new SqlCluster(directory.resolve("model"));
  }

  @AfterAll
  static void stop() throws Exception {
    models.close();
    cluster.close();
  }

  @BeforeEach
  void topics() {
    topics = new Topics("t" + tests++ + "-");
    try (Admin admin = KafkaConnection.of(cluster.bootstrapServers()).admin()) {
      topics.create(admin, 1, (short) 1);
    }
    out = topics.prefix() + "out";
    cluster.topics(1, out);
  }

  @AfterEach
  void cancel() throws Exception {
    cluster.cancelAll();
  }

  private <T extends StreamRecord> void send(String topic, RecordType<T> type, T record) {
    cluster.send(
        topic, null, null, record.key(), RecordFormat.json().codec(type, "test").encode(record));
    cluster.flush();
  }

  private AdapterArtifact publish(long n) {
    AdapterArtifact artifact = models.store(n);
    adapters.put(artifact.digest(), artifact);
    var manifest = artifact.manifest();
    send(
        topics.adapters(),
        RecordType.ADAPTER,
        new AdapterAnnouncement(
            "default",
            manifest.version().epoch(),
            manifest.version().n(),
            artifact.digest(),
            manifest.manifestDigest(),
            null,
            manifest.baseDigest(),
            "unused",
            manifest.step(),
            0,
            Map.of(),
            1));
    return artifact;
  }

  private void rollBackTo(AdapterArtifact artifact) {
    send(
        topics.adaptersControl(),
        RecordType.ADAPTER_CONTROL,
        AdapterControl.rollback("default", artifact.digest(), "test", 1));
  }

  private void sendItem() {
    int n = sent.size();
    boolean poison = n % 10 == 9;
    Item item =
        new Item(
            "item" + n,
            null,
            null,
            poison ? null : "a picture, number " + n,
            null,
            n,
            poison ? "no image".getBytes(StandardCharsets.UTF_8) : SqlCluster.picture(n % 7),
            null);
    sent.put(item.id(), item);
    send(topics.items(), RecordType.ITEM, item);
  }

  private static String kafka(String topic) {
    return "'connector' = 'kafka', 'topic' = '%s', 'properties.bootstrap.servers' = '%s', 'format' = 'json'"
        .formatted(topic, cluster.bootstrapServers());
  }

  private String model(String input) {
    return """
    CREATE TEMPORARY MODEL live INPUT (%s)
    OUTPUT (image_embedding ARRAY<FLOAT>, text_embedding ARRAY<FLOAT>, probe ARRAY<FLOAT>,
      adapter STRING, error STRING)
    WITH ('provider' = 'whetstream', 'base' = '%s', 'registry' = '%s', 'threads' = '1',
      'batch-size' = '8', 'topic-prefix' = '%s', 'properties.bootstrap.servers' = '%s')
    """
        .formatted(
            input, models.base(), models.registry(), topics.prefix(), cluster.bootstrapServers());
  }

  private JobID embed(String savepoint) throws Exception {
    StreamExecutionEnvironment env = cluster.environment();
    env.setParallelism(2);
    StreamTableEnvironment sql = StreamTableEnvironment.create(env);
    sql.getConfig().set("table.exec.async-ml-predict.max-concurrent-operations", "16");
    sql.executeSql(
        "CREATE TEMPORARY TABLE items (id STRING, image BYTES, text STRING) WITH ("
            + kafka(topics.items())
            + ", 'scan.startup.mode' = 'earliest-offset')");
    sql.executeSql(
        "CREATE TEMPORARY TABLE embedded (id STRING, image_embedding ARRAY<FLOAT>, text_embedding"
            + " ARRAY<FLOAT>, adapter STRING, error STRING) WITH ("
            + kafka(out)
            + ")");
    sql.executeSql(model("image BYTES, text STRING"));
    sql.createStatementSet()
        .addInsertSql(
            "INSERT INTO embedded SELECT id, image_embedding, text_embedding, adapter, error FROM"
                + " ML_PREDICT(TABLE items, MODEL live, DESCRIPTOR(image, text))")
        .attachAsDataStream();
    return cluster.submit(env, savepoint);
  }

  private List<JsonNode> rows() {
    List<JsonNode> rows = new ArrayList<>();
    try {
      for (ConsumerRecord<byte[], byte[]> record : cluster.read(out)) {
        rows.add(JSON.readTree(record.value()));
      }
    } catch (IOException e) {
      throw new AssertionError(e);
    }
    return rows;
  }

  private void sendUntilServing(AdapterArtifact artifact) throws Exception {
    int before = rows().size();
    ScoreCluster.await(
        artifact.digest() + " serves",
        () -> {
          sendItem();
          List<JsonNode> all = rows();
          return all.subList(before, all.size()).stream()
              .anyMatch(row -> row.get("adapter").asText().equals(artifact.digest()));
        });
  }

  private static float[] floats(JsonNode array) {
    float[] values = new float[array.size()];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) array.get(i).asDouble();
    }
    return values;
  }

  /** Every row is of the one digest that it names, on both sides. */
  private Set<String> assertRight(List<JsonNode> rows) {
    Set<String> digests = new HashSet<>();
    for (JsonNode row : rows) {
      String digest = row.get("adapter").asText();
      digests.add(digest);
      Item item = sent.get(row.get("id").asText());
      if (item.text() == null) {
        assertTrue(row.get("image_embedding").isNull(), row.toString());
        assertTrue(row.get("error").asText().contains("image"), row.toString());
        continue;
      }
      AdapterArtifact adapter = adapters.get(digest);
      assertNotNull(adapter, digest);
      assertArrayEquals(
          models.image(adapter, item.image()), floats(row.get("image_embedding")), 1e-6f);
      assertArrayEquals(
          models.text(adapter, item.text()), floats(row.get("text_embedding")), 1e-6f);
    }
    return digests;
  }

  @Test
  void aLiveModelFollowsAnnouncementsAndRollbacksUnderLoadAndNeverMixesWithinARow()
      throws Exception {
    JobID job = embed(null);
    sendItem();
    AdapterArtifact first = publish(1);
    sendUntilServing(first);
    AdapterArtifact second = publish(2);
    sendUntilServing(second);
    AdapterArtifact third = publish(3);
    sendUntilServing(third);
    rollBackTo(first);
    sendUntilServing(first);
    ScoreCluster.await("every item is embedded", () -> rows().size() == sent.size());
    cluster.cancel(job);
    List<JsonNode> rows = rows();
    assertEquals(
        sent.keySet(), new HashSet<>(rows.stream().map(row -> row.get("id").asText()).toList()));
    assertEquals(Set.of(first.digest(), second.digest(), third.digest()), assertRight(rows));
  }

  @Test
  void aQueryGoesOnFromASavepointUnderTheAdapterThatIsInUseThen() throws Exception {
    AdapterArtifact first = publish(11);
    JobID job = embed(null);
    sendUntilServing(first);
    String savepoint = cluster.stopWithSavepoint(job);
    AdapterArtifact second = publish(12);
    for (int i = 0; i < 25; i++) {
      sendItem();
    }
    JobID restored = embed(savepoint);
    Set<String> all = sent.keySet();
    ScoreCluster.await(
        "every item is embedded",
        () ->
            new HashSet<>(rows().stream().map(row -> row.get("id").asText()).toList()).equals(all));
    cluster.cancel(restored);
    assertEquals(Set.of(first.digest(), second.digest()), assertRight(rows()));
    JsonNode last =
        rows().stream()
            .filter(row -> row.get("id").asText().equals("item" + (sent.size() - 1)))
            .findFirst()
            .orElseThrow();
    assertEquals(second.digest(), last.get("adapter").asText());
  }
}
