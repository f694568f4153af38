package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.jobs.finetune.Processes.Running;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
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
  private static final Pattern STEP =
      Pattern.compile(
          "^(\\d+) DEBUG ContinualTrainer - StepReport\\[step=(\\d+),", Pattern.MULTILINE);
  private static final Pattern RESTORED =
      Pattern.compile(
          "^(\\d+) INFO  TrainerOperator - .* restored, .*step (\\d+),", Pattern.MULTILINE);

  @TempDir private static Path directory;
  private static SessionCluster cluster;
  private static Running taskManager;

  @BeforeAll
  static void start() throws Exception {
    FineTuneRun.copyModel(directory);
    // A directory for each run: what the processes of one that failed wrote is there to be read.
    cluster =
        new SessionCluster(
            directory, Path.of("target/processes", Long.toString(System.currentTimeMillis())));
    taskManager = cluster.startTaskManager();
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
    FineTuneRun unbroken = run("unbroken", 1, "deterministic: true");
    unbroken.produce(0, PAIRS);
    unbroken.submit();
    TrainerState first = unbroken.drained(PAIRS);
    assertEquals(Ledger.of(FineTuneRun.ids(PAIRS)), first.accepted());
    assertTrue(first.history().size() > 3, first.toString());
    unbroken.assertAnnouncedOnce(first);

    FineTuneRun killed = run("killed", 1, "deterministic: true");
    killed.produce(0, BEFORE_KILL);
    killed.submit();
    killTaskManagerInMidTraining(killed);
    killed.submit("-s", killed.stop(false).toString());
    killed.produce(BEFORE_KILL, PAIRS);
    TrainerState second = killed.drained(PAIRS);
    assertEquals(first.digest(), second.digest());
    assertEquals(first.ledger(), second.ledger());
    assertEquals(FineTuneRun.digests(first), FineTuneRun.digests(second));
    killed.assertAnnouncedOnce(second);
  }

  @Test
  void inFreeOrderAKilledTaskManagerLosesAndDoublesNothing() throws Exception {
    FineTuneRun run = run("free", 2, "prepare: {parallelism: 2}");
    run.produce(0, BEFORE_KILL);
    run.submit();
    killTaskManagerInMidTraining(run);
    run.produce(BEFORE_KILL, PAIRS);
    TrainerState state = run.drained(PAIRS);
    assertEquals(Ledger.of(FineTuneRun.ids(PAIRS)), state.accepted());
    run.assertAnnouncedOnce(state);
  }

  /**
   * Both jobs in one process, the order given as a person gives it. While it is in force, their
   * process is killed and the trainer is restored by hand.
   */
  @Test
  void aRollbackHoldsForTrainerAndReadersUntilItIsResumedAndVersionsStayUnique() throws Exception {
    FineTuneRun run = run("line", 1, "");
    ScoreRun reader = new ScoreRun(cluster, run.name, run.topics, directory, run.shared);
    reader.watch();
    run.produce(0, 240);
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
    run.produce(240, 360);
    SessionCluster.await(
        "the gate's turn",
        LONG,
        () -> {
          String since = taskManager.text().substring(stopped);
          long restored = last(RESTORED, since);
          return restored >= 0 && last(STEP, since) >= restored + FineTuneRun.EVERY_STEPS;
        });
    cluster.awaitNextCheckpoint(run.job);
    assertEquals(before, run.announcements());
    reader.awaitAlertUnder(() -> good);

    cluster.whetstream(run.topics, "adapters", "resume", "--stream", run.name);
    awaitLog("Publishing resumed");
    String until = taskManager.text();
    long resumed = last(STEP, until.substring(0, until.indexOf("Publishing resumed")));
    run.produce(360, PAIRS);
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
    FineTuneRun run = run("own-natives", 1, "deterministic: true");
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

  /**
   * Kills the TaskManager when something has been announced, starts another one and waits for the
   * next step and a checkpoint: the trainer may step before other tasks run.
   */
  private static void killTaskManagerInMidTraining(FineTuneRun run) throws Exception {
    SessionCluster.await("an announcement", LONG, () -> !run.announcements().isEmpty());
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
        run.name,
        last(STEP, before),
        restored.group(2),
        (Long.parseLong(restored.group(1)) - killed) / 1e3,
        (Long.parseLong(step.group(1)) - killed) / 1e3);
    cluster.awaitNextCheckpoint(run.job);
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

  private static FineTuneRun run(String name, int partitions, String more) throws Exception {
    return new FineTuneRun(cluster, directory, name, partitions, more);
  }
}
