package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.whetstream.cli.Main;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.jobs.finetune.Processes.Running;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What is promised, with something broken on real processes meanwhile; infra/chaos/run starts it.
 * Each scenario ends with a line {@code PASS|FAIL name figure}. Two of them run with every build.
 */
class ChaosTest {
  private static final Duration LONG = Duration.ofMinutes(5);
  private static final int PAIRS = 320;
  private static final int BEFORE = 160;
  private static final Pattern STEP =
      Pattern.compile("DEBUG ContinualTrainer - StepReport\\[step=");

  @TempDir private static Path directory;
  private static Processes zooKeeper;
  private static SessionCluster cluster;
  private static Running taskManager;

  /** A scenario; gives its figure. */
  private interface Scenario {
    String run() throws Exception;
  }

  /** High availability needs somebody who remembers who leads: a ZooKeeper of Flink's. */
  @BeforeAll
  static void start() throws Exception {
    FineTuneRun.copyModel(directory);
    Path logs = Path.of("target/chaos", Long.toString(System.currentTimeMillis()));
    int port = SessionCluster.freePort();
    Path configuration =
        Files.writeString(
            directory.resolve("zoo.cfg"),
            "tickTime=500\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n"
                .formatted(Files.createDirectory(directory.resolve("zookeeper")), port));
    zooKeeper = new Processes(Files.createDirectories(logs), Map.of());
    zooKeeper.start(
        "zookeeper",
        Files.readString(Path.of(System.getProperty("flink.classpath"))).strip(),
        List.of("-Xmx128m"),
        List.of(
            "org.apache.flink.runtime.zookeeper.FlinkZooKeeperQuorumPeer",
            "--zkConfigFile",
            configuration.toString(),
            "--peerId",
            "1"));
    cluster =
        new SessionCluster(
            directory,
            logs,
            List.of(
                "high-availability.type: zookeeper",
                "high-availability.zookeeper.quorum: 127.0.0.1:" + port,
                "high-availability.zookeeper.client.session-timeout: 4 s",
                "high-availability.storageDir: " + directory.resolve("ha").toUri()));
    taskManager = cluster.startTaskManager();
  }

  /** One that failed leaves no job behind that would take the slots of the next. */
  @AfterEach
  void cancelWhatIsLeft() throws Exception {
    for (JsonNode job : cluster.rest("/jobs/overview").path("jobs")) {
      if (!job.path("state").asText().matches("FINISHED|CANCELED|FAILED")) {
        cluster.cancel(job.path("jid").asText());
      }
    }
  }

  @AfterAll
  static void stop() throws Exception {
    if (cluster != null) {
      cluster.close();
    }
    if (zooKeeper != null) {
      zooKeeper.close();
    }
  }

  @Test
  @Tag("cluster")
  void aLostJobManagerIsReplacedAndTheJobGoesOnByItself() throws Exception {
    scenario(
        "jobManagerLoss",
        () -> {
          FineTuneRun run = begun("jm");
          int steps = steps();
          long killed = System.nanoTime();
          cluster.restartJobManager();
          run.produce(BEFORE, PAIRS);
          SessionCluster.await("a step under the new JobManager", LONG, () -> steps() > steps);
          String figure = seconds(killed) + " s from the kill to the next step";
          assertEquals(0, doctor(), "whetstream doctor finds fault with the new JobManager");
          exact(run);
          return figure;
        });
  }

  @Test
  @Tag("slow")
  void aCorruptAnnouncementIsRefusedAndScoringGoesOn() throws Exception {
    scenario(
        "corruptAnnouncement",
        () -> {
          FineTuneRun run = new FineTuneRun(cluster, directory, "corrupt", 1, "");
          ScoreRun reader = new ScoreRun(cluster, run.name, run.topics, directory, run.shared);
          reader.watch();
          run.produce(0, BEFORE);
          run.submit();
          reader.submit();
          SessionCluster.await("an adapter", LONG, () -> !run.announcements().isEmpty());
          reader.awaitAlertUnder(run::newest);
          List<AdapterAnnouncement> all = run.announcements();
          AdapterAnnouncement good = all.get(all.size() - 1);
          String bad = "f".repeat(64);
          cluster.send(
              run.topics.adapters(),
              RecordType.ADAPTER,
              List.of(
                  new AdapterAnnouncement(
                      good.stream(),
                      good.epoch(),
                      good.n() + 1000,
                      bad,
                      bad,
                      good.digest(),
                      good.baseDigest(),
                      good.uri(),
                      good.step() + 1,
                      good.pairs(),
                      Map.of(),
                      System.currentTimeMillis())));
          SessionCluster.await("its refusal", LONG, () -> taskManager.text().contains(bad));
          Scrape.of(taskManager).awaitBeyondItsRule("whetstream_adaptersRefused");
          reader.awaitAlertUnder(good::digest);
          run.stop(false);
          reader.cancel();
          return "0 items under it";
        });
  }

  @Test
  @Tag("cluster")
  void aBrokerThatIsKilledAndComesBackCostsNothing() throws Exception {
    scenario(
        "brokerRestart",
        () -> {
          FineTuneRun run = begun("broker");
          long killed = System.nanoTime();
          cluster.restartBroker();
          int steps = steps();
          run.produce(BEFORE, PAIRS);
          SessionCluster.await("a step with the broker back", LONG, () -> steps() > steps);
          String figure = seconds(killed) + " s from the kill to the next step";
          exact(run);
          return figure;
        });
  }

  @Test
  @Tag("slow")
  void aRescaledJobTrainsEachPairOnce() throws Exception {
    scenario(
        "rescale",
        () -> {
          FineTuneRun run = begun("rescale");
          long stopped = System.nanoTime();
          URI savepoint = run.stop(false);
          int steps = steps();
          run.submit(
              List.of("-s", savepoint.toString()),
              List.of("prepare.parallelism=2", "mining.parallelism=2"));
          run.produce(BEFORE, PAIRS);
          SessionCluster.await("a step at parallelism 2", LONG, () -> steps() > steps);
          String figure = seconds(stopped) + " s from the stop to the next step";
          exact(run);
          return figure;
        });
  }

  @Test
  @Tag("slow")
  void anotherJarAndNewProcessesGoOnFromTheSavepoint() throws Exception {
    scenario(
        "jarUpgrade",
        () -> {
          FineTuneRun run = begun("upgrade");
          long stopped = System.nanoTime();
          URI savepoint = run.stop(false);
          taskManager.kill();
          taskManager = cluster.startTaskManager();
          cluster.upgradeJar(directory.resolve("next.jar"));
          run.submit("-s", savepoint.toString());
          run.produce(BEFORE, PAIRS);
          SessionCluster.await("a step of the new jar", LONG, () -> steps() > 0);
          String figure = seconds(stopped) + " s from the stop to the next step";
          exact(run);
          return figure;
        });
  }

  @Test
  @Tag("slow")
  void aFullDiskUnderTheRegistryDelaysAdaptersAndLosesNone() throws Exception {
    Path disk = Files.createDirectory(directory.resolve("registry-disk"));
    assumeTrue(mounted(disk, "2m"), "this process may not mount a small file system");
    try {
      scenario(
          "diskFullAtRegistry",
          () -> {
            FineTuneRun run =
                new FineTuneRun(cluster, directory, "full", 1, "", disk.resolve("adapters"));
            run.produce(0, BEFORE);
            run.submit();
            SessionCluster.await("an announcement", LONG, () -> !run.announcements().isEmpty());
            Path filler = fill(disk);
            int before = run.announcements().size();
            int said = taskManager.text().length();
            run.produce(BEFORE, PAIRS);
            SessionCluster.await(
                "a failed write",
                LONG,
                () -> taskManager.text().substring(said).contains("did not succeed, trying again"));
            Scrape.of(taskManager).awaitBeyondItsRule("trainer_adapterWriteFailures");
            long freed = System.nanoTime();
            Files.delete(filler);
            SessionCluster.await(
                "the delayed adapter", LONG, () -> run.announcements().size() > before);
            String figure = seconds(freed) + " s from room to the announcement";
            exact(run);
            return figure;
          });
    } finally {
      command("umount", "-l", disk.toString());
    }
  }

  @Test
  @Tag("slow")
  void aFullDiskUnderTheCheckpointsCostsTimeAndNoPair() throws Exception {
    Path disk = Files.createDirectory(directory.resolve("checkpoint-disk"));
    assumeTrue(mounted(disk, "16m"), "this process may not mount a small file system");
    try {
      scenario(
          "diskFullAtCheckpoints",
          () -> {
            FineTuneRun run = new FineTuneRun(cluster, directory, "store", 1, "");
            run.produce(0, BEFORE);
            run.submit(List.of(), List.of("checkpoint.directory=" + disk.toUri()));
            SessionCluster.await("an announcement", LONG, () -> !run.announcements().isEmpty());
            cluster.awaitNextCheckpoint(run.job);
            Path filler = fill(disk);
            run.produce(BEFORE, PAIRS);
            String checkpoints = "/jobs/" + run.job + "/checkpoints";
            SessionCluster.await(
                "a failed checkpoint",
                LONG,
                () -> cluster.rest(checkpoints).at("/counts/failed").asInt() > 0);
            long freed = System.nanoTime();
            Files.delete(filler);
            cluster.awaitNextCheckpoint(run.job);
            String figure = seconds(freed) + " s from room to a checkpoint";
            exact(run);
            return figure;
          });
    } finally {
      command("umount", "-l", disk.toString());
    }
  }

  @Test
  @Tag("slow")
  void fiveJobsInOneSessionAreEachExact() throws Exception {
    scenario(
        "fiveJobs",
        () -> {
          List<Running> more = List.of(cluster.startTaskManager(), cluster.startTaskManager());
          List<FineTuneRun> runs = new ArrayList<>();
          long start = System.nanoTime();
          for (int i = 0; i < 5; i++) {
            FineTuneRun run = new FineTuneRun(cluster, directory, "five" + i, 1, "");
            run.produce(0, PAIRS);
            run.submit();
            runs.add(run);
          }
          for (FineTuneRun run : runs) {
            exact(run);
          }
          for (Running each : more) {
            each.kill();
          }
          return String.format(
              Locale.ROOT, "%.0f pairs/s in all", 5 * PAIRS / ((System.nanoTime() - start) / 1e9));
        });
  }

  /** Its exit code for this cluster. */
  private static int doctor() {
    StringWriter said = new StringWriter();
    PrintWriter out = new PrintWriter(said, true);
    int code = Main.run(new String[] {"doctor", "--cluster", cluster.address()}, out, out);
    System.out.println(said);
    return code;
  }

  /** A job that has announced something, with pairs still to come. */
  private static FineTuneRun begun(String name) throws Exception {
    FineTuneRun run = new FineTuneRun(cluster, directory, name, 1, "");
    run.produce(0, BEFORE);
    run.submit();
    SessionCluster.await("an announcement", LONG, () -> !run.announcements().isEmpty());
    cluster.awaitNextCheckpoint(run.job);
    return run;
  }

  /** Every pair was taken once, and everything announced was announced once. */
  private static void exact(FineTuneRun run) throws Exception {
    TrainerState state = run.drained(PAIRS);
    assertEquals(Ledger.of(FineTuneRun.ids(PAIRS)), state.accepted());
    run.assertAnnouncedOnce(state);
  }

  private static int steps() {
    return (int) STEP.matcher(taskManager.text()).results().count();
  }

  private static void scenario(String name, Scenario scenario) throws Exception {
    try {
      System.out.println("PASS " + name + " " + scenario.run());
    } catch (Exception | AssertionError e) {
      System.out.println("FAIL " + name + " " + String.valueOf(e.getMessage()).lines().findFirst());
      throw e;
    }
  }

  private static String seconds(long since) {
    return String.format(Locale.ROOT, "%.1f", (System.nanoTime() - since) / 1e9);
  }

  private static boolean mounted(Path at, String size) throws Exception {
    return command("mount", "-t", "tmpfs", "-o", "size=" + size, "none", at.toString());
  }

  private static boolean command(String... words) throws Exception {
    try {
      Process process = new ProcessBuilder(words).redirectErrorStream(true).start();
      process.getInputStream().readAllBytes();
      return process.waitFor(1, TimeUnit.MINUTES) && process.exitValue() == 0;
    } catch (IOException e) {
      return false;
    }
  }

  private static Path fill(Path disk) throws Exception {
    Path filler = disk.resolve("filler");
    try (var out = Files.newOutputStream(filler)) {
      while (true) {
        out.write(new byte[4096]);
      }
    } catch (IOException full) {
      assertTrue(Files.exists(filler));
      assertFalse(disk.toFile().getUsableSpace() > 4096, "the disk is not full");
      return filler;
    }
  }
}
