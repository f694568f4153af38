package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.jobs.finetune.ContinualTrainer.Announced;
import io.whetstream.jobs.finetune.Processes.Running;
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
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The jobs as users run them: their jar, submitted by Flink's command line client to a session
 * cluster with the native libraries in {@code lib/}.
 */
@Tag("cluster")
class SessionClusterTest {
  private static final Duration LONG = Duration.ofMinutes(5);
  private static final int PAIRS = 480;
  private static final int BEFORE_KILL = 320;
  private static final int EVERY_STEPS = 10;
  private static final SceneStream SCENES = new SceneStream(1, SceneLook.STANDARD, 4);
  private static final Pattern STEP =
      Pattern.compile(
          "^(\\d+) DEBUG ContinualTrainer - StepReport\\[step=(\\d+),", Pattern.MULTILINE);
  private static final Pattern RESTORED =
      Pattern.compile(
          "^(\\d+) INFO  TrainerOperator - .* restored, .*step (\\d+),", Pattern.MULTILINE);

  /** Decoded by a native library too, in one job after the other. */
  private static byte[] webp;

  @TempDir private static Path directory;
  private static SessionCluster cluster;
  private static Running taskManager;

  @BeforeAll
  static void start() throws Exception {
    copyModel();
    webp =
        Files.readAllBytes(
            Path.of("../../model/src/test/resources/images/reported/q75_alpha.webp"));
    // A directory for each run: what the processes of one that failed wrote is there to be read.
    cluster =
        new SessionCluster(
            directory, Path.of("target/processes", Long.toString(System.currentTimeMillis())));
    taskManager = cluster.startTaskManager();
  }

  /** The scoring job keeps what it makes of a model beside it. */
  private static void copyModel() throws IOException {
    Path copy = Files.createDirectory(directory.resolve("model"));
    Path golden = Path.of("../../model/src/test/resources/golden/llava-tiny");
    try (DirectoryStream<Path> files = Files.newDirectoryStream(golden, Files::isRegularFile)) {
      for (Path file : files) {
        Files.copy(file, copy.resolve(file.getFileName().toString()));
      }
    }
  }

  @AfterAll
  static void stop() throws Exception {
    if (cluster != null) {
      cluster.close();
    }
  }

  @Test
  void aSecondSubmissionThatIsKilledStoppedAndRestoredEndsWithTheBytesOfTheFirst()
      throws Exception {
    Run unbroken = new Run("unbroken", 1, "deterministic: true");
    unbroken.produce(0, PAIRS);
    unbroken.submit();
    TrainerState first = unbroken.drained();
    assertEquals(Ledger.of(ids()), first.accepted());
    assertTrue(first.history().size() > 3, first.toString());
    unbroken.assertAnnouncedOnce(first);

    Run killed = new Run("killed", 1, "deterministic: true");
    killed.produce(0, BEFORE_KILL);
    killed.submit();
    killed.killTaskManagerInMidTraining();
    killed.submit("-s", killed.stop(false).toString());
    killed.produce(BEFORE_KILL, PAIRS);
    TrainerState second = killed.drained();
    assertEquals(first.digest(), second.digest());
    assertEquals(first.ledger(), second.ledger());
    assertEquals(digests(first), digests(second));
    killed.assertAnnouncedOnce(second);
  }

  @Test
  void inFreeOrderAKilledTaskManagerLosesAndDoublesNothing() throws Exception {
    Run run = new Run("free", 2, "prepare: {parallelism: 2}");
    run.produce(0, BEFORE_KILL);
    run.submit();
    run.killTaskManagerInMidTraining();
    run.produce(BEFORE_KILL, PAIRS);
    TrainerState state = run.drained();
    assertEquals(Ledger.of(ids()), state.accepted());
    run.assertAnnouncedOnce(state);
  }

  /**
   * Both jobs in one process, the order given as a person gives it. While it is in force, their
   * process is killed and the trainer is restored by hand.
   */
  @Test
  void aRollbackHoldsForTrainerAndReadersUntilItIsResumedAndVersionsStayUnique() throws Exception {
    Run run = new Run("line", 1, "");
    ScoreRun reader = new ScoreRun(cluster, run.name, run.topics, directory, run.shared);
    reader.watch();
    run.produce(0, 200);
    run.submit();
    reader.submit();
    SessionCluster.await("two adapters", LONG, () -> run.announcements().size() >= 2);
    reader.awaitAlertUnder(run::newest);

    String good = run.announcements().get(0).digest();
    // Equal training gives equal adapters: the digest may be another run's too.
    cluster.whetstream(
        run.topics,
        "adapters",
        "rollback",
        "--stream",
        run.name,
        "--registry",
        directory.resolve("adapters").toString(),
        "--to",
        good,
        "--reason",
        "a bad line");
    awaitLog("Rolled back to " + good);
    cluster.awaitNextCheckpoint(run.job);
    List<AdapterAnnouncement> before = run.announcements();
    assertNotEquals(good, run.newest());
    reader.awaitAlertUnder(() -> good);

    taskManager.kill();
    taskManager = cluster.startTaskManager();
    cluster.awaitNextCheckpoint(run.job);
    URI savepoint = run.stop(false);
    int stopped = taskManager.text().length();
    run.submit("-s", savepoint.toString());
    run.produce(200, 340);
    SessionCluster.await(
        "the gate's turn",
        LONG,
        () -> {
          String since = taskManager.text().substring(stopped);
          long restored = last(RESTORED, since);
          return restored >= 0 && last(STEP, since) >= restored + EVERY_STEPS;
        });
    cluster.awaitNextCheckpoint(run.job);
    assertEquals(before, run.announcements());
    reader.awaitAlertUnder(() -> good);

    cluster.whetstream(run.topics, "adapters", "resume", "--stream", run.name);
    awaitLog("Publishing resumed");
    String until = taskManager.text();
    long resumed = last(STEP, until.substring(0, until.indexOf("Publishing resumed")));
    run.produce(340, PAIRS);
    SessionCluster.await("a newer adapter", LONG, () -> run.announcements().size() > before.size());
    reader.awaitAlertUnder(run::newest);
    run.stop(false);
    List<AdapterAnnouncement> all = run.announcements();
    List<AdapterAnnouncement> after = all.subList(before.size(), all.size());
    assertEquals(before, all.subList(0, before.size()));
    assertEquals(good, after.get(0).parentDigest());
    assertTrue(after.stream().allMatch(each -> each.step() > resumed), resumed + ": " + after);
    assertEquals(
        all.size(),
        all.stream().map(each -> each.epoch() + "." + each.n()).distinct().count(),
        all.toString());
    reader.assertServed(before, good, after);
    reader.cancel();
  }

  /** Why {@code lib/}: a process loads a native library for one class loader only. */
  @Test
  void nativeLibrariesThatEachJobBringsItselfAreRefusedFromTheSecondJobOn() throws Exception {
    List<String> own = new ArrayList<>();
    for (Path jar : cluster.jobLibraries()) {
      own.addAll(List.of("-C", jar.toUri().toString()));
    }
    Run run = new Run("own-natives", 1, "deterministic: true");
    run.produce(0, BEFORE_KILL);
    String failure = "";
    for (int i = 0; i < 2 && failure.isEmpty(); i++) {
      run.submit(own.toArray(new String[0]));
      SessionCluster.await(
          "a failure or an announcement",
          LONG,
          () -> !run.failure().isEmpty() || !run.announcements().isEmpty());
      failure = run.failure();
      cluster.cancel(run.job);
    }
    assertTrue(failure.contains("already loaded in another classloader"), failure);
    // Its process is of no use to jobs that follow.
    taskManager.kill();
    taskManager = cluster.startTaskManager();
  }

  /** One job on topics of its own. */
  private static final class Run {
    private final String name;
    private final Topics topics;

    /** The part of its configuration that the scoring job shares. */
    private final String shared;

    private final Path file;
    private String job;

    Run(String name, int partitions, String more) throws Exception {
      this.name = name;
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
                  directory.resolve("adapters"),
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
              gate: {minSample: 8, minChange: -1}
              publish: {everySteps: %d, comparePublishedEvery: 0, compareBaseEvery: 0}
              mining: {depth: 1, tables: 1, groupSize: 4, candidates: 16, replayShare: 0.25}
              """
                  .formatted(name, more, shared, EVERY_STEPS));
    }

    void produce(int from, int to) throws Exception {
      cluster.send(
          topics.pairs(),
          RecordType.PAIR,
          IntStream.range(from, to).mapToObj(SessionClusterTest::pair).toList());
    }

    void submit(String... options) throws Exception {
      job = cluster.submit(List.of(options), FineTuneJob.class, "--config", file.toString());
    }

    /**
     * Kills the TaskManager when something has been announced, starts another one and waits for the
     * next step and a checkpoint: the trainer may step before other tasks run.
     */
    void killTaskManagerInMidTraining() throws Exception {
      SessionCluster.await("an announcement", LONG, () -> !announcements().isEmpty());
      long killed = System.currentTimeMillis();
      taskManager.kill();
      assertEquals(128 + 9, taskManager.process().exitValue());
      String before = taskManager.text();
      taskManager = cluster.startTaskManager();
      SessionCluster.await(
          "a step after the kill", LONG, () -> STEP.matcher(taskManager.text()).find());
      Matcher restored = RESTORED.matcher(taskManager.text());
      assertTrue(restored.find(), "the trainer started anew");
      Matcher step = STEP.matcher(taskManager.text());
      assertTrue(step.find());
      assertEquals(Long.parseLong(restored.group(2)) + 1, Long.parseLong(step.group(2)));
      System.out.printf(
          "%s: TaskManager killed after step %d; seconds from the kill: trainer restored at step %s"
              + " %.1f, next step done %.1f%n",
          name,
          last(STEP, before),
          restored.group(2),
          (Long.parseLong(restored.group(1)) - killed) / 1e3,
          (Long.parseLong(step.group(1)) - killed) / 1e3);
      cluster.awaitNextCheckpoint(job);
    }

    /** Waits until all pairs have been read, ends the job as at the end of its topic. */
    TrainerState drained() throws Exception {
      SessionCluster.await("the end of the pairs", LONG, () -> read() == PAIRS);
      return TrainerState.read(
          FineTuneJob.parse(new String[] {"--config", file.toString()}), Path.of(stop(true)));
    }

    URI stop(boolean drain) throws Exception {
      return cluster.stop(job, drain, directory.resolve("savepoints"));
    }

    /** Pairs before the last completed checkpoint, as its offsets in Kafka say. */
    private long read() throws Exception {
      try (Admin admin = cluster.kafka().admin()) {
        return admin
            .listConsumerGroupOffsets("whetstream-finetune-" + name)
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
  }

  private static void awaitLog(String text) throws Exception {
    SessionCluster.await(text, LONG, () -> taskManager.text().contains(text));
  }

  /** The step that the last such line names, or -1. */
  private static long last(Pattern line, String text) {
    return line.matcher(text)
        .results()
        .mapToLong(found -> Long.parseLong(found.group(2)))
        .reduce(-1, (first, second) -> second);
  }

  private static List<String> ids() {
    return IntStream.range(0, PAIRS).mapToObj(SessionClusterTest::id).toList();
  }

  private static String id(int number) {
    return "scene-" + number;
  }

  private static ImageTextPair pair(int number) {
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

  private static List<String> digests(TrainerState state) {
    return state.history().stream().map(Announced::digest).toList();
  }
}
