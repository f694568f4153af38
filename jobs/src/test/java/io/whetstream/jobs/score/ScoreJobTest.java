package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.DeadLetters;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.Calibration;
import io.whetstream.model.scenes.Captioner;
import io.whetstream.model.scenes.Scene;
import io.whetstream.model.scenes.SceneGenerator;
import io.whetstream.model.scenes.SceneLook;
import io.whetstream.model.scenes.SceneRenderer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import org.apache.flink.api.common.JobID;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.admin.Admin;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The whole job: real broker, MiniCluster, RocksDB and ONNX Runtime. */
@Timeout(300)
class ScoreJobTest {
  @TempDir static Path directory;
  private static ScoreCluster cluster;
  private static Path model;
  private static OnnxEmbedder embedder;
  private static int tests;

  private Topics topics;
  private Path registry;
  private final Map<String, AdapterArtifact> adapters = new HashMap<>();

  @BeforeAll
  static void start() throws Exception {
    cluster = new ScoreCluster(directory, 2, 1);
    model = TinyModel.copy(directory.resolve("base"));
    embedder =
        OnnxEmbedder.open(
            ScoreConfig.parse("base: {model: '" + model + "'}", List.of()).base(), 1_000_000, 8);
  }

  @AfterAll
  static void stop() throws Exception {
    embedder.close();
    cluster.close();
  }

  @BeforeEach
  void topics() {
    topics = new Topics("s" + tests++ + ".");
    registry = directory.resolve("registry" + tests);
    try (Admin admin = KafkaConnection.of(cluster.bootstrapServers()).admin()) {
      topics.create(admin, 2, (short) 1);
    }
  }

  private ScoreConfig config(String... overrides) {
    return ScoreConfig.parse(
        """
        name: %s
        parallelism: 2
        kafka: {bootstrapServers: '%s', topicPrefix: '%s', startingOffsets: earliest}
        registry: {uri: '%s'}
        base: {model: '%s', threads: 1}
        checkpoint: {interval: 200ms}
        match: {batchSize: 8, watermarkLag: 0s, idleness: 1s}
        suppression: {coolDown: 0s, finalCountAfter: 0s, floodMatches: 1000000}
        """
            .formatted(
                "job-" + topics.prefix() + "score",
                cluster.bootstrapServers(),
                topics.prefix(),
                registry,
                model),
        List.of(overrides));
  }

  private JobID submit(ScoreConfig config) throws Exception {
    StreamExecutionEnvironment env = cluster.environment();
    ScoreJob.build(env, config);
    return cluster.submit(env, null);
  }

  private static <T extends StreamRecord> RecordCodec<T> codec(RecordType<T> type) {
    return RecordFormat.json().codec(type, "test");
  }

  private <T extends StreamRecord> void send(String topic, RecordType<T> type, T record) {
    cluster.send(topic, null, record.timeMillis(), record.key(), codec(type).encode(record));
  }

  private <T extends StreamRecord> List<T> read(String topic, RecordType<T> type) {
    RecordCodec<T> codec = codec(type);
    return cluster.read(topic).stream()
        .map(
            read ->
                codec.decode(
                    read.value(),
                    new Coordinates(read.topic(), read.partition(), read.offset()),
                    read.timestamp()))
        .toList();
  }

  private List<Alert> alerts() {
    return read(topics.alerts(), RecordType.ALERT);
  }

  private List<QueryStatus> answers() {
    return read(topics.queriesStatus(), RecordType.QUERY_STATUS);
  }

  private AdapterArtifact publish(AdapterArtifact artifact) {
    AdapterCodec.write(at(artifact), artifact);
    announce(artifact);
    return artifact;
  }

  private void announce(AdapterArtifact artifact) {
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
            at(artifact).toString(),
            manifest.step(),
            0,
            Map.of(),
            1));
    cluster.flush();
  }

  private AdapterArtifact adapter(long n) {
    return TinyModel.adapter(n, 4, embedder.baseDigest(), Calibration.NONE);
  }

  private void query(String id, String text, byte[] image, MatchKind kind, double minScore) {
    send(
        topics.queries(),
        RecordType.QUERY,
        new SimilarityQuery(
            id, text, null, null, List.of(kind), minScore, null, null, true, 1, image, null));
  }

  private void item(String id, byte[] image, String text, long time) {
    send(topics.items(), RecordType.ITEM, new Item(id, null, null, text, null, time, image, null));
  }

  private static Scene scene(int index) {
    return new SceneGenerator(7, SceneLook.STANDARD).scene(index);
  }

  private static byte[] picture(int index) {
    return SceneRenderer.png(SceneRenderer.render(scene(index)));
  }

  private static String caption(int index) {
    return Captioner.shortCaption(scene(index));
  }

  /** Every score of an alert, computed again from the contents under the digest it carries. */
  private void assertRecomputes(
      Alert alert, byte[] image, String text, byte[] watched, String words) throws Exception {
    AdapterArtifact artifact = adapters.get(alert.adapterDigest());
    try (Embedder.Adapter adapter = embedder.load(artifact)) {
      for (Alert.Score score : alert.scores()) {
        boolean itemImage = score.kind().itemSide() == MatchKind.Side.IMAGE;
        boolean queryImage = score.kind().querySide() == MatchKind.Side.IMAGE;
        float again =
            MatchEngine.dot(
                embed(adapter, itemImage ? image : null, text),
                embed(adapter, queryImage ? watched : null, words));
        assertEquals(again, score.score(), 1e-5);
        assertTrue(score.score() >= score.threshold());
      }
    }
  }

  private static float[] embed(Embedder.Adapter adapter, byte[] image, String text) {
    return image == null
        ? embedder.texts(adapter, List.of(text))[0]
        : embedder.images(adapter, List.of(embedder.pixels(image, "test")))[0];
  }

  @Test
  void plantedItemsAreAlertedUnderEachAdapterAndNothingElseIs() throws Exception {
    query("picture", null, picture(3), MatchKind.IMAGE_IMAGE, 0.99999);
    query("words", caption(5), null, MatchKind.TEXT_TEXT, 0.99999);
    String first = publish(adapter(1)).digest();
    for (int i = 0; i < 20; i++) {
      item("item" + i, picture(i), caption(i), 1000 + i);
    }
    byte[] noImage =
        codec(RecordType.ITEM)
            .encode(
                new Item(
                    "bad",
                    null,
                    null,
                    null,
                    null,
                    1100,
                    "no image".getBytes(StandardCharsets.UTF_8),
                    null));
    cluster.send(topics.items(), null, 1100L, "bad", noImage);
    cluster.send(
        topics.items(), null, 1100L, "poison", "{not json".getBytes(StandardCharsets.UTF_8));
    cluster.flush();
    JobID job = submit(config());
    ScoreCluster.await("planted items are alerted", () -> alerts().size() >= 2);
    ScoreCluster.await(
        "bad items are dead letters", () -> cluster.read(topics.itemsDeadLetters()).size() >= 2);

    String second = publish(adapter(2)).digest();
    int[] sent = {0};
    ScoreCluster.await(
        "the second adapter serves",
        () -> {
          item("again" + sent[0]++, picture(3), "something", 2000 + sent[0]);
          cluster.flush();
          return alerts().stream().anyMatch(alert -> alert.adapterDigest().equals(second));
        });
    cluster.cancel(job);

    List<Alert> alerts = alerts();
    Set<String> ids = new HashSet<>();
    for (Alert alert : alerts) {
      assertTrue(ids.add(alert.alertId()));
      boolean picture = alert.queryId().equals("picture");
      assertEquals(
          picture
              ? alert.itemId().equals("item3") || alert.itemId().startsWith("again")
              : alert.itemId().equals("item5"),
          true,
          alert.toString());
      assertRecomputes(
          alert,
          alert.itemId().equals("item5") ? picture(5) : picture(3),
          alert.itemId().equals("item5") ? caption(5) : "something",
          picture ? picture(3) : null,
          picture ? null : caption(5));
      assertEquals(embedder.baseDigest(), alert.baseDigest());
    }
    assertEquals(
        Set.of("item3", "item5"),
        Set.copyOf(
            alerts.stream()
                .filter(alert -> alert.adapterDigest().equals(first))
                .map(Alert::itemId)
                .filter(id -> id.startsWith("item"))
                .toList()));
    assertEquals(
        Set.of(QueryStatus.State.ACCEPTED),
        Set.copyOf(answers().stream().map(QueryStatus::state).toList()));
    assertEquals(2, answers().size());
    Map<String, DeadLetter> dead = new HashMap<>();
    for (var record : cluster.read(topics.itemsDeadLetters())) {
      dead.put(new String(record.key(), StandardCharsets.UTF_8), DeadLetters.read(record));
    }
    assertArrayEquals(noImage, dead.get("bad").value());
    assertEquals("prepare", dead.get("bad").stage());
    assertArrayEquals("{not json".getBytes(StandardCharsets.UTF_8), dead.get("poison").value());
  }

  @Test
  void corruptAdaptersAreRefusedWhileScoringGoesOn() throws Exception {
    query("words", caption(5), null, MatchKind.TEXT_TEXT, 0.99999);
    AdapterArtifact good = publish(adapter(1));
    JobID job = submit(config());
    awaitItemUnder(good, "a");
    AdapterArtifact flipped = adapter(2);
    damage(flipped, bytes -> bytes[bytes.length - 3] ^= 1);
    announce(flipped);
    awaitItemUnder(good, "b");
    AdapterArtifact foreign = publish(TinyModel.adapter(5, 4, "f".repeat(64), Calibration.NONE));
    awaitItemUnder(good, "c");
    AdapterArtifact last =
        publish(TinyModel.adapter(9, 8, embedder.baseDigest(), Calibration.NONE));
    awaitItemUnder(last, "d");
    cluster.cancel(job);
    assertFalse(
        alerts().stream()
            .map(Alert::adapterDigest)
            .anyMatch(Set.of(flipped.digest(), foreign.digest())::contains));
  }

  @Test
  void everyKindOfCorruptAdapterIsRefusedWithTheReason() throws Exception {
    AdapterArtifact good = publish(adapter(1));
    LoadedAdapter.Loader loader = new RecordParts(config()).loader(embedder);
    loader.load(versionOf(good)).adapter().close();

    AdapterArtifact flipped = adapter(2);
    damage(flipped, bytes -> bytes[bytes.length - 3] ^= 1);
    assertRefused(loader, flipped, "damaged");

    AdapterArtifact truncated = adapter(3);
    AdapterCodec.write(at(truncated), truncated);
    byte[] whole = Files.readAllBytes(tensors(truncated));
    Files.write(tensors(truncated), Arrays.copyOf(whole, whole.length - 100));
    assertRefused(loader, truncated, "adapter_model.safetensors");

    AdapterArtifact missing = adapter(4);
    AdapterCodec.write(at(missing), missing);
    Files.delete(at(missing).resolve("prompt_text/adapter_model.safetensors"));
    assertRefused(loader, missing, "prompt_text/adapter_model.safetensors");

    AdapterArtifact foreign = TinyModel.adapter(5, 4, "f".repeat(64), Calibration.NONE);
    AdapterCodec.write(at(foreign), foreign);
    assertRefused(loader, foreign, "base model");

    AdapterArtifact notANumber = adapter(6);
    damage(
        notANumber,
        bytes ->
            ByteBuffer.wrap(bytes)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putFloat(bytes.length - 4, Float.NaN));
    assertRefused(loader, notANumber, "NaN");

    // The tensors of a rank that the manifest does not speak of.
    AdapterArtifact otherRank = adapter(7);
    AdapterCodec.write(at(otherRank), otherRank);
    AdapterArtifact donor = TinyModel.adapter(8, 8, embedder.baseDigest(), Calibration.NONE);
    AdapterCodec.write(at(donor), donor);
    Files.write(tensors(otherRank), Files.readAllBytes(tensors(donor)));
    assertRefused(loader, otherRank, "shape");

    assertRefused(loader, adapter(10), adapter(10).digest());
  }

  private static AdapterVersion versionOf(AdapterArtifact artifact) {
    var version = artifact.manifest().version();
    return new AdapterVersion(version.epoch(), version.n(), artifact.digest());
  }

  private void assertRefused(
      LoadedAdapter.Loader loader, AdapterArtifact artifact, String expected) {
    BadInputException refused =
        assertThrows(BadInputException.class, () -> loader.load(versionOf(artifact)));
    assertTrue(refused.getMessage().contains(expected), refused.getMessage());
  }

  private Path at(AdapterArtifact artifact) {
    return registry.resolve("adapters").resolve(artifact.digest());
  }

  private Path tensors(AdapterArtifact artifact) {
    return at(artifact).resolve("lora/adapter_model.safetensors");
  }

  private void damage(AdapterArtifact artifact, Consumer<byte[]> change) throws Exception {
    AdapterCodec.write(at(artifact), artifact);
    byte[] bytes = Files.readAllBytes(tensors(artifact));
    change.accept(bytes);
    Files.write(tensors(artifact), bytes);
  }

  /** Sends matching items until one is alerted under an adapter. */
  private void awaitItemUnder(AdapterArtifact adapter, String name) throws Exception {
    int[] sent = {0};
    ScoreCluster.await(
        "an item is alerted under adapter " + adapter.manifest().version(),
        () -> {
          item(name + sent[0]++, null, caption(5), 3000 + sent[0]);
          cluster.flush();
          return alerts().stream()
              .anyMatch(
                  alert ->
                      alert.itemId().startsWith(name)
                          && alert.adapterDigest().equals(adapter.digest()));
        });
  }

  @Test
  void aQueryThatCannotBeUsedIsAnsweredWithTheReason() throws Exception {
    publish(adapter(1));
    cluster.send(topics.queries(), "broken", "{\"id\": \"broken\"}");
    query("notAPicture", null, "no".getBytes(StandardCharsets.UTF_8), MatchKind.IMAGE_IMAGE, 0.5);
    send(
        topics.queries(),
        RecordType.QUERY,
        new SimilarityQuery(
            "rate", "a cat", null, null, List.of(), null, 0.001, null, true, 1, null, null));
    query("good", "a cat", null, MatchKind.TEXT_TEXT, 0.5);
    cluster.flush();
    JobID job = submit(config());
    ScoreCluster.await("all are answered", () -> answers().size() >= 4);
    cluster.send(topics.queries(), "good", null);
    cluster.flush();
    ScoreCluster.await("the removal is answered", () -> answers().size() >= 5);
    cluster.cancel(job);
    Map<String, QueryStatus> last = new HashMap<>();
    answers().forEach(answer -> last.put(answer.queryId(), answer));
    assertEquals(QueryStatus.State.REFUSED, last.get("broken").state());
    assertTrue(last.get("broken").reason().contains("empty"), last.get("broken").reason());
    assertEquals(QueryStatus.State.REFUSED, last.get("notAPicture").state());
    assertTrue(last.get("rate").reason().contains("no calibration"));
    assertEquals(QueryStatus.State.REMOVED, last.get("good").state());
  }

  @Test
  void refusesTopicsThatAreNotAsTheyMustBe() throws Exception {
    try (Admin admin = KafkaConnection.of(cluster.bootstrapServers()).admin()) {
      admin.deleteTopics(List.of(topics.queries())).all().get();
      ScoreCluster.await(
          "the topic is gone", () -> !admin.listTopics().names().get().contains(topics.queries()));
    }
    BadInputException refused =
        assertThrows(
            BadInputException.class, () -> ScoreJob.build(cluster.environment(), config()));
    assertTrue(refused.getMessage().contains(topics.queries()));
  }
}
