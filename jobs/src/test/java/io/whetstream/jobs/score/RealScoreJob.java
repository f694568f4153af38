package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.Calibration;
import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.JobID;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.admin.Admin;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.extension.TestExecutionExceptionHandler;
import org.junit.jupiter.api.io.TempDir;

/** The whole job on a real broker and cluster, with RocksDB and ONNX Runtime on a small model. */
@Timeout(300)
abstract class RealScoreJob {
  @RegisterExtension
  static final TestExecutionExceptionHandler EXPLAINED =
      ScoreCluster.explaining(() -> RealScoreJob.cluster);

  @TempDir static Path directory;
  static ScoreCluster cluster;
  static OnnxEmbedder embedder;
  private static Path model;
  private static int tests;
  private static int starts;

  Topics topics;
  private Path registry;
  final Map<String, AdapterArtifact> adapters = new HashMap<>();

  @BeforeAll
  static void start() throws Exception {
    Path own = directory.resolve("start" + starts++);
    cluster = new ScoreCluster(own, 2, 1);
    model = TinyModel.copy(own.resolve("base"));
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
    topics("s" + tests++ + ".");
  }

  /** A failed test must not keep the slots of the next. */
  @AfterEach
  void cancelWhatIsLeft() throws Exception {
    cluster.cancelAll();
  }

  /** Another stream: topics and a registry of its own. */
  void topics(String prefix) {
    topics = new Topics(prefix);
    registry = directory.resolve(prefix + "registry" + starts);
    try (Admin admin = KafkaConnection.of(cluster.bootstrapServers()).admin()) {
      topics.create(admin, 2, (short) 1);
    }
  }

  ScoreConfig config(String... overrides) {
    return ScoreConfig.parse(
        """
        name: %s
        parallelism: 2
        kafka: {bootstrapServers: '%s', topicPrefix: '%s', startingOffsets: earliest}
        registry: {uri: '%s'}
        base: {model: '%s', threads: 1}
        checkpoint: {interval: 300ms}
        match: {batchSize: 8, watermarkLag: 0s, idleness: 1s}
        watchlist: {spillDirectory: '%s'}
        suppression: {coolDown: 0s, finalCountAfter: 0s, floodMatches: 1000000}
        """
            .formatted(
                "job-" + topics.prefix() + "score",
                cluster.bootstrapServers(),
                topics.prefix(),
                registry,
                model,
                directory.resolve("vectors")),
        List.of(overrides));
  }

  JobID submit(ScoreConfig config) throws Exception {
    return submit(config, null);
  }

  JobID submit(ScoreConfig config, String savepoint) throws Exception {
    StreamExecutionEnvironment env = cluster.environment();
    ScoreJob.build(env, config, new FaultyParts(config));
    return cluster.submit(env, savepoint);
  }

  static <T extends StreamRecord> RecordCodec<T> codec(RecordType<T> type) {
    return RecordFormat.json().codec(type, "test");
  }

  <T extends StreamRecord> void send(String topic, RecordType<T> type, T record) {
    cluster.send(topic, null, record.timeMillis(), record.key(), codec(type).encode(record));
  }

  <T extends StreamRecord> List<T> read(String topic, RecordType<T> type) {
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

  List<Alert> alerts() {
    return read(topics.alerts(), RecordType.ALERT);
  }

  List<QueryStatus> answers() {
    return read(topics.queriesStatus(), RecordType.QUERY_STATUS);
  }

  AdapterArtifact publish(AdapterArtifact artifact) {
    AdapterCodec.write(at(artifact), artifact);
    announce(artifact);
    return artifact;
  }

  void announce(AdapterArtifact artifact) {
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

  AdapterArtifact adapter(long n) {
    return TinyModel.adapter(n, 4, embedder.baseDigest(), Calibration.NONE);
  }

  void query(String id, String text, byte[] image, MatchKind kind, double minScore) {
    query(id, text, image, kind, minScore, List.of());
  }

  void query(
      String id, String text, byte[] image, MatchKind kind, double minScore, List<String> unlike) {
    send(
        topics.queries(),
        RecordType.QUERY,
        new SimilarityQuery(
            id,
            text,
            null,
            null,
            List.of(kind),
            unlike,
            minScore,
            null,
            null,
            true,
            1,
            image,
            null));
  }

  void item(String id, byte[] image, String text, long time) {
    send(topics.items(), RecordType.ITEM, new Item(id, null, null, text, null, time, image, null));
  }

  /** What an item or a query shows and says; either may be null. */
  record Content(byte[] image, String text) {}

  /** Vectors of contents under the digests of alerts, computed apart from the job. */
  final class Recomputed implements AutoCloseable {
    private final Map<String, Embedder.Adapter> loaded = new HashMap<>();
    private final Map<String, float[]> vectors = new HashMap<>();

    float[] vector(String digest, MatchKind.Side side, Content content) {
      Embedder.Adapter adapter =
          loaded.computeIfAbsent(digest, unknown -> embedder.load(adapters.get(unknown)));
      byte[] bytes =
          side == MatchKind.Side.IMAGE
              ? content.image()
              : content.text().getBytes(StandardCharsets.UTF_8);
      return vectors.computeIfAbsent(
          digest + side + Digests.sha256(bytes),
          unknown ->
              side == MatchKind.Side.IMAGE
                  ? embedder.images(adapter, List.of(embedder.image(bytes, "test")))[0]
                  : embedder.texts(adapter, List.of(content.text()))[0]);
    }

    double score(String digest, MatchKind kind, Content item, Content query) {
      return MatchEngine.dot(
          vector(digest, kind.itemSide(), item), vector(digest, kind.querySide(), query));
    }

    /** What the score would be if the vectors were of two digests. */
    double mixed(String digest, String other, MatchKind kind, Content item, Content query) {
      return MatchEngine.dot(
          vector(digest, kind.itemSide(), item), vector(other, kind.querySide(), query));
    }

    /** Scores within 1e-5, and with the verdict of the alert. */
    void assertRight(Alert alert, Content item, Content query) {
      for (Alert.Score score : alert.scores()) {
        double again = score(alert.adapterDigest(), score.kind(), item, query);
        assertEquals(again, score.score(), 1e-5, alert.toString());
        assertTrue(again >= score.threshold() - 1e-5, alert.toString());
      }
    }

    @Override
    public void close() {
      loaded.values().forEach(Embedder.Adapter::close);
    }
  }

  static Scene scene(int index) {
    return new SceneGenerator(7, SceneLook.STANDARD).scene(index);
  }

  static byte[] picture(int index) {
    return SceneRenderer.png(SceneRenderer.render(scene(index)));
  }

  static String caption(int index) {
    return Captioner.shortCaption(scene(index));
  }

  static AdapterVersion versionOf(AdapterArtifact artifact) {
    var version = artifact.manifest().version();
    return new AdapterVersion(version.epoch(), version.n(), artifact.digest());
  }

  Path at(AdapterArtifact artifact) {
    return registry.resolve("adapters").resolve(artifact.digest());
  }

  Path tensors(AdapterArtifact artifact) {
    return at(artifact).resolve("lora/adapter_model.safetensors");
  }
}
