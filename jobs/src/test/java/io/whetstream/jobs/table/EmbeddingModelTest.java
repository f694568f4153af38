package io.whetstream.jobs.table;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.registry.AdapterRegistry;
import io.whetstream.connectors.registry.RegistryOptions;
import io.whetstream.jobs.score.ScoreConfig;
import io.whetstream.jobs.score.ScoringModel;
import io.whetstream.model.adapter.AdapterArtifact;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.test.junit5.MiniClusterExtension;
import org.apache.flink.types.Row;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/** The provider through Flink's planner and a cluster, with adapters named by digest. */
@Timeout(180)
class EmbeddingModelTest {
  @RegisterExtension static final MiniClusterExtension FLINK = SqlCluster.flink();

  @TempDir static Path directory;
  private static SqlCluster cluster;
  private StreamTableEnvironment sql;

  @BeforeAll
  static void start() {
    cluster = new SqlCluster(directory);
  }

  @AfterAll
  static void stop() {
    cluster.close();
  }

  @BeforeEach
  void open() {
    sql = SqlCluster.environment();
    sql.getConfig().set("table.exec.async-ml-predict.max-concurrent-operations", "16");
  }

  private String create(String name, String input, String output, String... options) {
    Map<String, String> all = new HashMap<>();
    all.put("base", cluster.base().toString());
    all.put("registry", cluster.registry().toString());
    all.put("threads", "1");
    all.put("batch-size", "8");
    for (String option : options) {
      all.put(option.split("=", 2)[0], option.split("=", 2)[1]);
    }
    StringBuilder with = new StringBuilder("'provider' = 'whetstream'");
    all.forEach((key, value) -> with.append(", '" + key + "' = '" + value + "'"));
    return "CREATE MODEL %s INPUT (%s) OUTPUT (%s) WITH (%s)".formatted(name, input, output, with);
  }

  private void table(List<Row> rows) {
    sql.createTemporaryView(
        "content",
        sql.fromValues(
            DataTypes.ROW(
                DataTypes.FIELD("id", DataTypes.INT()),
                DataTypes.FIELD("image", DataTypes.BYTES()),
                DataTypes.FIELD("text", DataTypes.STRING())),
            rows.toArray()));
  }

  static float[] floats(Object array) {
    Float[] boxed = (Float[]) array;
    float[] values = new float[boxed.length];
    for (int i = 0; i < values.length; i++) {
      values[i] = boxed[i];
    }
    return values;
  }

  @Test
  void embeddingsOfAnAdapterByItsDigestAreTheScorersAndEachRowNamesIt() throws Exception {
    AdapterArtifact adapter = cluster.store(1);
    List<Row> content = new ArrayList<>();
    for (int i = 0; i < 40; i++) {
      content.add(Row.of(i, SqlCluster.picture(i % 10), "a picture, number " + i));
    }
    table(content);
    sql.executeSql(
        create(
            "images",
            "image BYTES",
            "embedding ARRAY<FLOAT>, adapter STRING, error STRING",
            "version=" + adapter.digest()));
    sql.executeSql(
        create(
            "texts",
            "text STRING",
            "adapter STRING, embedding ARRAY<FLOAT>, error STRING",
            "version=" + adapter.digest()));
    for (Row row :
        SqlCluster.rows(
            sql,
            "SELECT id, embedding, adapter, error FROM"
                + " ML_PREDICT(TABLE content, MODEL images, DESCRIPTOR(image))")) {
      int id = (int) row.getField(0);
      assertArrayEquals(
          cluster.image(adapter, SqlCluster.picture(id % 10)), floats(row.getField(1)), 1e-6f);
      assertEquals(adapter.digest(), row.getField(2));
      assertNull(row.getField(3));
    }
    List<Row> texts =
        SqlCluster.rows(
            sql,
            "SELECT text, embedding, adapter FROM"
                + " ML_PREDICT(TABLE content, MODEL texts, DESCRIPTOR(text))");
    assertEquals(40, texts.size());
    for (Row row : texts) {
      assertArrayEquals(
          cluster.text(adapter, (String) row.getField(0)), floats(row.getField(1)), 1e-6f);
      assertEquals(adapter.digest(), row.getField(2));
    }
  }

  @Test
  void aRowOfImageAndTextHasBothVectorsTheirCosineAndAProbeThatNamesTheAdapter() throws Exception {
    AdapterArtifact adapter = cluster.store(2);
    table(
        List.of(
            Row.of(0, SqlCluster.picture(3), "a red circle"),
            Row.of(1, null, "a blue square"),
            Row.of(2, SqlCluster.picture(4), null)));
    sql.executeSql(
        create(
            "contents",
            "image BYTES, text STRING",
            "embedding ARRAY<FLOAT>, image_embedding ARRAY<FLOAT>, text_embedding ARRAY<FLOAT>,"
                + " similarity DOUBLE, probe ARRAY<FLOAT>, adapter STRING, error STRING",
            "version=" + adapter.digest()));
    List<Row> rows =
        SqlCluster.rows(
            sql,
            "SELECT id, embedding, image_embedding, text_embedding, similarity, probe, error FROM"
                + " ML_PREDICT(TABLE content, MODEL contents, DESCRIPTOR(image, text))");
    float[] image = cluster.image(adapter, SqlCluster.picture(3));
    float[] text = cluster.text(adapter, "a red circle");
    double cosine = 0;
    for (int i = 0; i < image.length; i++) {
      cosine += image[i] * text[i];
    }
    Row first = rows.get(0);
    assertArrayEquals(image, floats(first.getField(1)), 1e-6f);
    assertArrayEquals(image, floats(first.getField(2)), 1e-6f);
    assertArrayEquals(text, floats(first.getField(3)), 1e-6f);
    assertEquals(cosine, (double) first.getField(4), 1e-6);
    float[] probe = floats(first.getField(5));
    assertArrayEquals(image, Arrays.copyOf(probe, image.length), 1e-6f);
    assertEquals(adapter.digest(), Probe.digest(probe, image.length));
    Row second = rows.get(1);
    assertArrayEquals(cluster.text(adapter, "a blue square"), floats(second.getField(1)), 1e-6f);
    assertNull(second.getField(2));
    assertNull(second.getField(4));
    assertNull(second.getField(6));
    assertNull(rows.get(2).getField(3));
  }

  @Test
  void theBaseAloneEmbedsToo() throws Exception {
    table(List.of(Row.of(0, null, "a red circle")));
    sql.executeSql(
        create(
            "plain",
            "text STRING",
            "embedding ARRAY<FLOAT>, probe ARRAY<FLOAT>, adapter STRING, error STRING",
            "version=base"));
    Row row =
        SqlCluster.rows(
                sql,
                "SELECT embedding, probe, adapter FROM"
                    + " ML_PREDICT(TABLE content, MODEL plain, DESCRIPTOR(text))")
            .get(0);
    float[] vector = cluster.text(null, "a red circle");
    assertArrayEquals(vector, floats(row.getField(0)), 1e-6f);
    assertEquals("base", Probe.digest(floats(row.getField(1)), vector.length));
    assertEquals("base", row.getField(2));
  }

  @Test
  void whatCannotBeDecodedIsNullWithTheReasonAndItsNeighboursAreNot() throws Exception {
    AdapterArtifact adapter = cluster.store(3);
    byte[] torn = Arrays.copyOf(SqlCluster.picture(1), 40);
    table(
        List.of(
            Row.of(0, SqlCluster.picture(0), null),
            Row.of(1, "no image".getBytes(StandardCharsets.UTF_8), null),
            Row.of(2, torn, null),
            Row.of(3, null, null),
            Row.of(4, SqlCluster.picture(4), null)));
    sql.executeSql(
        create(
            "images",
            "image BYTES",
            "embedding ARRAY<FLOAT>, adapter STRING, error STRING",
            "version=" + adapter.digest()));
    List<Row> rows =
        SqlCluster.rows(
            sql,
            "SELECT id, embedding, error FROM"
                + " ML_PREDICT(TABLE content, MODEL images, DESCRIPTOR(image))");
    assertEquals(5, rows.size());
    for (Row row : rows) {
      int id = (int) row.getField(0);
      boolean good = id == 0 || id == 4;
      assertEquals(good, row.getField(1) != null, row.toString());
      assertEquals(good, row.getField(2) == null, row.toString());
    }
    assertTrue(rows.get(1).getField(2).toString().contains("image"), rows.get(1).toString());
    assertTrue(rows.get(3).getField(2).toString().contains("NULL"), rows.get(3).toString());
  }

  @Test
  void orFailsTheQueryWithTheReasonIfThatIsAskedForWhileNullStaysNull() throws Exception {
    AdapterArtifact adapter = cluster.store(4);
    sql.executeSql(
        create(
            "images",
            "image BYTES",
            "embedding ARRAY<FLOAT>, adapter STRING",
            "version=" + adapter.digest(),
            "on-error=fail"));
    String query =
        "SELECT embedding, adapter FROM"
            + " ML_PREDICT(TABLE content, MODEL images, DESCRIPTOR(image))";
    table(List.of(Row.of(0, null, null)));
    Row row = SqlCluster.rows(sql, query).get(0);
    assertNull(row.getField(0));
    assertNotNull(row.getField(1));
    sql.dropTemporaryView("content");
    table(List.of(Row.of(0, "no image".getBytes(StandardCharsets.UTF_8), null)));
    Exception failure = assertThrows(Exception.class, () -> SqlCluster.rows(sql, query));
    assertTrue(said(failure).contains("column image"), said(failure));
  }

  /** As two live models of one stream while one has swapped and the other has not. */
  @Test
  void eachOpenModelKeepsItsAdapterFromBeingPrunedUntilItIsClosed() throws Exception {
    String one = cluster.store(5).digest();
    String other = cluster.store(6).digest();
    Map<String, String> options =
        Map.of(
            "base", cluster.base().toString(),
            "registry", cluster.registry().toString(),
            "properties.bootstrap.servers", "localhost:1");
    ScoreConfig config =
        ModelSettings.ofModel(SqlOptions.read(options, SqlOptions.OF_MODELS, Set.of()), options)
            .config();
    try (ScoringModel first = ScoringModel.open(config, one)) {
      try (ScoringModel second = ScoringModel.open(config, other)) {
        assertEquals(Set.of(one, other), pinned(one, other));
      }
      assertEquals(Set.of(one), pinned(one, other));
    }
    assertEquals(Set.of(), pinned(one, other));
  }

  private static Set<String> pinned(String... digests) {
    Set<String> pinned = new HashSet<>(List.of(digests));
    Set<String> all = new HashSet<>();
    AdapterRegistry.open(RegistryOptions.of(cluster.registry().toString()))
        .pins()
        .forEach(pin -> all.addAll(pin.digests()));
    pinned.retainAll(all);
    return pinned;
  }

  private static String said(Throwable failure) {
    StringBuilder all = new StringBuilder();
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      all.append(cause.getMessage()).append('\n');
    }
    return all.toString();
  }

  private void assertRefused(String because, String input, String output, String... options) {
    table(List.of(Row.of(0, null, "a")));
    Exception failure =
        assertThrows(
            Exception.class,
            () -> {
              sql.executeSql(create("wrong", input, output, options));
              sql.explainSql(
                  "SELECT * FROM ML_PREDICT(TABLE content, MODEL wrong, DESCRIPTOR("
                      + input.split(" ")[0]
                      + "))");
            });
    assertTrue(said(failure).contains(because), said(failure));
    sql.executeSql("DROP MODEL IF EXISTS wrong");
    sql.dropTemporaryView("content");
  }

  @Test
  void whatIsWrongInAModelIsRefusedWithTheNearestNameWhenItIsPlanned() {
    String good = "embedding ARRAY<FLOAT>, adapter STRING, error STRING";
    String text = "text STRING";
    String fixed = "version=base";
    assertRefused("nearest known option is 'registry'", text, good, fixed, "registy=x");
    assertRefused("did you mean 'live'", text, good, "version=liv");
    assertRefused("'properties.bootstrap.servers' is missing", text, good, "version=live");
    assertRefused("option 'batch-size' = 'many'", text, good, fixed, "batch-size=many");
    assertRefused("option 'on-error' = 'ignore'", text, good, fixed, "on-error=ignore");
    assertRefused("kafka.format must be", text, good, fixed, "format=xml");
    assertRefused("column adapter STRING is missing", text, "embedding ARRAY<FLOAT>", fixed);
    assertRefused(
        "column error STRING is missing", text, "embedding ARRAY<FLOAT>, adapter STRING", fixed);
    assertRefused("nearest known one is 'embedding'", text, good + ", embeding DOUBLE", fixed);
    assertRefused(
        "output column embedding must be ARRAY<FLOAT>",
        text,
        "embedding ARRAY<DOUBLE>, adapter STRING, error STRING",
        fixed);
    assertRefused("nearest known one is 'image'", "id INT", good, fixed);
    assertRefused("compares an image with a text", text, good + ", similarity DOUBLE", fixed);
  }
}
