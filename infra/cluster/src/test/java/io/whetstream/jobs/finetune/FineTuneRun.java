package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import io.whetstream.scenes.SceneStream;
import java.io.IOException;
import java.net.URI;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;

/** One fine-tune job on topics of its own, with drawn scenes as pairs. */
final class FineTuneRun {
  private static final Duration LONG = Duration.ofMinutes(5);
  private static final SceneStream SCENES = new SceneStream(1, SceneLook.STANDARD, 4);

  /** Steps between two turns of the gate. */
  static final int EVERY_STEPS = 10;

  private final SessionCluster cluster;
  private final Path directory;

  final String name;
  final Topics topics;

  /** The part of its configuration that the scoring job shares. */
  final String shared;

  private final byte[] webp;
  private final Path file;
  String job;

  /**
   * Makes its topics and its configuration.
   *
   * @param directory holds the base model, takes everything else
   * @param more of the configuration
   */
  FineTuneRun(SessionCluster cluster, Path directory, String name, int partitions, String more)
      throws Exception {
    this(cluster, directory, name, partitions, more, directory.resolve("adapters"));
  }

  /** As the other, with a registry of its own. */
  FineTuneRun(
      SessionCluster cluster,
      Path directory,
      String name,
      int partitions,
      String more,
      Path registry)
      throws Exception {
    this.cluster = cluster;
    this.directory = directory;
    this.name = name;
    webp =
        Files.readAllBytes(
            Path.of("../../model/src/test/resources/images/reported/q75_alpha.webp"));
    topics = new Topics(name + ".");
    try (Admin admin = cluster.kafka().admin()) {
      topics.create(admin, partitions, (short) 1);
    }
    shared =
        """
        kafka: {bootstrapServers: '%s', topicPrefix: %s}
        registry: {uri: %s}
        checkpoint: {interval: 500ms, directory: '%s'}
        base: {model: %s, device: cpu, threads: 1}
        """
            .formatted(
                cluster.kafka().bootstrapServers(),
                topics.prefix(),
                registry,
                directory.resolve("checkpoints").toUri(),
                directory.resolve("model"));
    file =
        Files.writeString(
            directory.resolve(name + ".yaml"),
            """
            name: %s
            %s
            %s
            adapter: {rank: 2}
            training: {globalBatch: 8, learningRate: 0.003}
            heldOut: {share: 0.15, size: 24}
            gate: {minSample: 4, minChange: -1}
            publish: {everySteps: %d, comparePublishedEvery: 0, compareBaseEvery: 0}
            mining: {depth: 1, tables: 1, groupSize: 4, candidates: 16, replayShare: 0.25}
            """
                .formatted(name, more, shared, EVERY_STEPS));
  }

  void produce(int from, int to) throws Exception {
    cluster.send(
        topics.pairs(), RecordType.PAIR, IntStream.range(from, to).mapToObj(this::pair).toList());
  }

  /** Submits it with options of {@code flink run}. */
  void submit(String... options) throws Exception {
    submit(List.of(options), List.of());
  }

  /**
   * Submits it.
   *
   * @param options of {@code flink run}
   * @param settings over the configuration, {@code key=value} each
   */
  void submit(List<String> options, List<String> settings) throws Exception {
    List<String> args = new ArrayList<>(List.of("--config", file.toString()));
    settings.forEach(setting -> args.addAll(List.of("-D", setting)));
    job = cluster.submit(options, FineTuneJob.class, args.toArray(String[]::new));
  }

  /** Waits until so many pairs have been read, ends the job as at the end of its topic. */
  TrainerState drained(int pairs) throws Exception {
    SessionCluster.await("the end of the pairs", LONG, () -> read() == pairs);
    return TrainerState.read(config(), Path.of(stop(true)));
  }

  private FineTuneConfig config() throws IOException {
    return FineTuneJob.parse(new String[] {"--config", file.toString()});
  }

  URI stop(boolean drain) throws Exception {
    return cluster.stop(job, drain, directory.resolve("savepoints"));
  }

  /** Pairs before the last completed checkpoint, as its offsets in Kafka say. */
  private long read() throws Exception {
    try (Admin admin = cluster.kafka().admin()) {
      return admin
          .listConsumerGroupOffsets(FineTuneJob.group(config()))
          .partitionsToOffsetAndMetadata()
          .get(1, TimeUnit.MINUTES)
          .entrySet()
          .stream()
          .filter(entry -> entry.getKey().topic().equals(topics.pairs()))
          .mapToLong(entry -> entry.getValue().offset())
          .sum();
    }
  }

  /** What the job failed with last, or nothing. */
  String failure() throws Exception {
    return cluster
        .rest("/jobs/" + job + "/exceptions")
        .path("exceptionHistory")
        .path("entries")
        .path(0)
        .path("stacktrace")
        .asText();
  }

  List<AdapterAnnouncement> announcements() {
    return cluster.read(topics.adapters(), RecordType.ADAPTER);
  }

  /** Digest of the adapter announced last. */
  String newest() {
    List<AdapterAnnouncement> all = announcements();
    return all.get(all.size() - 1).digest();
  }

  void assertAnnouncedOnce(TrainerState state) {
    List<String> announced = announcements().stream().map(AdapterAnnouncement::digest).toList();
    assertFalse(announced.isEmpty());
    assertEquals(announced.size(), announced.stream().distinct().count());
    assertEquals(digests(state), announced);
  }

  /** Ids of the first so many pairs. */
  static List<String> ids(int pairs) {
    return IntStream.range(0, pairs).mapToObj(FineTuneRun::id).toList();
  }

  private static String id(int number) {
    return "scene-" + number;
  }

  private ImageTextPair pair(int number) {
    Scene scene = SCENES.scene(number).scene();
    return new ImageTextPair(
        id(number),
        null,
        null,
        Captioner.shortCaption(scene),
        Captioner.longCaption(scene),
        "drawn",
        1_700_000_000_000L + number * 100L,
        number % 40 == 7 ? webp : SceneRenderer.png(SceneRenderer.render(scene)),
        null);
  }

  /** Digests of all that a trainer has announced. */
  static List<String> digests(TrainerState state) {
    return state.history().stream().map(AdapterLine.Version::digest).toList();
  }

  /** The scoring job keeps what it makes of a model beside it. */
  static void copyModel(Path directory) throws IOException {
    Path copy = Files.createDirectory(directory.resolve("model"));
    Path golden = Path.of("../../model/src/test/resources/golden/llava-tiny");
    try (DirectoryStream<Path> files = Files.newDirectoryStream(golden, Files::isRegularFile)) {
      for (Path file : files) {
        Files.copy(file, copy.resolve(file.getFileName().toString()));
      }
    }
  }
}
