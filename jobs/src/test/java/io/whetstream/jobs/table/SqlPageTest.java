package io.whetstream.jobs.table;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.TopicScan;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.Feedback;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.kafka.EmbeddedKafka;
import io.whetstream.model.adapter.AdapterArtifact;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.test.junit5.MiniClusterExtension;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/** Executes docs/sql.md, statement by statement, and reads through its tables what jobs write. */
@Tag("cluster")
@Timeout(300)
class SqlPageTest {
  @RegisterExtension static final MiniClusterExtension FLINK = SqlCluster.flink();

  private static final Pattern STATEMENT = Pattern.compile("```sql\n(.*?)```", Pattern.DOTALL);
  private static final Pattern SET = Pattern.compile("SET '(.+)' = '(.+)'");
  private static final Coordinates AT = new Coordinates("items", 0, 17);

  @TempDir static Path directory;
  private static EmbeddedKafka kafka;
  private static KafkaConnection connection;
  private static SqlCluster models;

  private final StreamTableEnvironment sql = SqlCluster.environment();

  @BeforeAll
  static void start() throws Exception {
    kafka = EmbeddedKafka.start(directory.resolve("kafka"), 0, Map.of("log.retention.ms", "-1"));
    connection = KafkaConnection.of(kafka.bootstrapServers());
    models = new SqlCluster(directory.resolve("model"));
  }

  @AfterAll
  static void stop() throws Exception {
    models.close();
    kafka.close();
  }

  private static List<String> statements() throws IOException {
    Matcher matcher = STATEMENT.matcher(Files.readString(Path.of("../docs/sql.md")));
    List<String> statements = new ArrayList<>();
    while (matcher.find()) {
      statements.add(
          matcher
              .group(1)
              .strip()
              .replace("localhost:9092", kafka.bootstrapServers())
              .replace("/models/base", models.base().toString())
              .replace("/data/adapters", models.registry().toString()));
    }
    return statements;
  }

  private static <T extends StreamRecord> void send(
      RecordFormat format, String topic, RecordType<T> type, T record) throws Exception {
    send(
        new ProducerRecord<>(
            topic,
            record.key().getBytes(StandardCharsets.UTF_8),
            format.codec(type, topic + "-value").encode(record)));
  }

  private static void send(ProducerRecord<byte[], byte[]> record) throws Exception {
    try (KafkaProducer<byte[], byte[]> producer = connection.producer(Topics.MAX_RECORD_BYTES)) {
      producer.send(record).get(1, TimeUnit.MINUTES);
    }
  }

  /** One record in each topic, as a job or a producer writes it. */
  private static void fill(RecordFormat format, String prefix) throws Exception {
    Topics topics = new Topics(prefix);
    try (Admin admin = connection.admin()) {
      topics.create(admin, 1, (short) 1);
    }
    AdapterArtifact adapter = models.store(1);
    send(
        format,
        topics.adapters(),
        RecordType.ADAPTER,
        new AdapterAnnouncement(
            "default",
            0,
            1,
            adapter.digest(),
            adapter.manifest().manifestDigest(),
            null,
            models.baseDigest(),
            "unused",
            5,
            320,
            Map.of("recall", 0.5),
            1_000));
    byte[] image = SqlCluster.picture(1);
    send(
        format,
        topics.items(),
        RecordType.ITEM,
        new Item("i1", null, null, "a red circle", "here", 2_000, image, null));
    send(
        format,
        topics.pairs(),
        RecordType.PAIR,
        new ImageTextPair("p1", null, null, "a red circle", null, null, 3_000, image, null));
    send(
        format,
        topics.queries(),
        RecordType.QUERY,
        new SimilarityQuery(
            "q1",
            "a red circle",
            null,
            null,
            List.of(MatchKind.TEXT_TEXT),
            List.of("a red square"),
            -1.0,
            null,
            null,
            true,
            4_000,
            null,
            null));
    send(
        format,
        topics.queriesStatus(),
        RecordType.QUERY_STATUS,
        new QueryStatus(
            "q1",
            3,
            QueryStatus.State.ACCEPTED,
            "",
            List.of(new QueryStatus.Threshold(MatchKind.TEXT_TEXT, 0.25)),
            adapter.digest(),
            0,
            0,
            5_000));
    send(
        format,
        topics.alerts(),
        RecordType.ALERT,
        new Alert(
            "a1",
            "i1",
            AT,
            "ff",
            "q1",
            3,
            null,
            "ee",
            adapter.digest(),
            0,
            1,
            models.baseDigest(),
            List.of(new Alert.Score(MatchKind.TEXT_TEXT, 0.75, 0.25)),
            List.of(),
            2,
            false,
            false,
            6_000,
            7_000));
    send(
        format,
        topics.feedback(),
        RecordType.FEEDBACK,
        new Feedback("a1", Feedback.Verdict.REJECT, "ann", null, 8_000));
    ProducerRecord<byte[], byte[]> letter =
        new ProducerRecord<>(
            topics.itemsDeadLetters(), null, "torn".getBytes(StandardCharsets.UTF_8));
    letter.headers().add("whetstream.stage", "decode".getBytes(StandardCharsets.UTF_8));
    letter.headers().add("whetstream.message", "no JSON".getBytes(StandardCharsets.UTF_8));
    send(letter);
  }

  private Row first(String query) throws Exception {
    try (CloseableIterator<Row> rows = sql.executeSql(query).collect()) {
      assertTrue(rows.hasNext(), query);
      return rows.next();
    }
  }

  private void assertTablesReadWhatJobsWrite() throws Exception {
    assertEquals(
        Row.of("p1", "a red circle", null, 3_000L),
        first("SELECT id, caption, captionLong, eventTime FROM pairs"));
    Row item = first("SELECT id, image, kafkaOffset, kafkaPartition, kafkaTime FROM items");
    assertEquals("i1", item.getField(0));
    assertArrayEquals(SqlCluster.picture(1), (byte[]) item.getField(1));
    assertEquals(0L, item.getField(2));
    assertEquals(
        Row.of("q1", 3L, "ACCEPTED", "TEXT_TEXT", 0.25, 5_000L),
        upper(
            first(
                "SELECT queryId, revision, UPPER(state), REPLACE(UPPER(thresholds[1].kind), '-',"
                    + " '_'), thresholds[1].score, `time` FROM query_status")));
    assertEquals(
        Row.of("a1", 17L, 0.75, 2L, false, 7_000L),
        first(
            "SELECT alertId, itemAt.`offset`, scores[1].score, suppressed, finalCount,"
                + " processingTime FROM alerts"));
    assertEquals(
        Row.of("default", 1L, 0.5, 320L),
        first("SELECT `stream`, n, metrics['recall'], pairs FROM adapters"));
    assertEquals(
        Row.of("a1", "REJECT", "ann", 8_000L),
        first("SELECT alertId, UPPER(verdict), `by`, eventTime FROM feedback"));
  }

  /** A changelog's row as that of a table. */
  private static Row upper(Row row) {
    Row copy = Row.copy(row);
    copy.setKind(org.apache.flink.types.RowKind.INSERT);
    return copy;
  }

  @Test
  void everyStatementRunsAndTheTablesReadWhatTheJobsWrite() throws Exception {
    fill(RecordFormat.json(), "");
    Set<String> kinds = new HashSet<>();
    for (String statement : statements()) {
      kinds.add(statement.split("[ \n]")[0]);
      Matcher set = SET.matcher(statement);
      if (set.matches()) {
        sql.getConfig().set(set.group(1), set.group(2));
      } else if (statement.startsWith("SELECT")) {
        first(statement);
      } else if (statement.startsWith("INSERT INTO pairs")) {
        insertIntoPairs(statement);
      } else if (statement.startsWith("INSERT INTO queries")) {
        sql.executeSql(statement).await(1, TimeUnit.MINUTES);
        Map<String, ?> newest = TopicScan.newest(connection, "queries");
        assertEquals(Set.of("q1", "q2"), newest.keySet());
      } else {
        sql.executeSql(statement);
      }
    }
    assertEquals(Set.of("CREATE", "SET", "SELECT", "INSERT"), kinds);
    assertTablesReadWhatJobsWrite();
    Row query = upper(first("SELECT id, minScore, kinds, unlike FROM queries WHERE id = 'q1'"));
    assertEquals(-1.0, query.getField(1));
    assertEquals(1, ((Object[]) query.getField(3)).length);
  }

  private void insertIntoPairs(String statement) throws Exception {
    TableResult running = sql.executeSql(statement);
    List<ImageTextPair> pairs = new ArrayList<>();
    try (TopicScan scan = new TopicScan(connection, "pairs")) {
      scan.follow(
          record ->
              pairs.add(
                  RecordFormat.json()
                      .codec(RecordType.PAIR, "pairs-value")
                      .decode(record.value(), AT, record.timestamp())),
          () -> pairs.size() == 2);
    }
    running.getJobClient().orElseThrow().cancel().get(1, TimeUnit.MINUTES);
    ImageTextPair written = pairs.get(1);
    assertEquals("i1", written.id());
    assertEquals("a red circle", written.caption());
    assertEquals(2_000, written.eventTime());
    assertArrayEquals(SqlCluster.picture(1), written.image());
  }

  @Test
  void theTablesReadAvroToo() throws Exception {
    fill(new RecordFormat(RecordFormat.Encoding.AVRO, Map.of(), null, null, null), "avro-");
    for (String statement : statements()) {
      if (statement.contains("'value.format' = 'json'")) {
        sql.executeSql(
            statement.replace("'json'", "'avro'").replace("'topic' = '", "'topic' = 'avro-"));
      }
    }
    assertTablesReadWhatJobsWrite();
  }
}
