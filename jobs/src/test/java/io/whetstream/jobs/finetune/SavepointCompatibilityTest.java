package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.jobs.ReleasedSavepoints;
import io.whetstream.jobs.finetune.Ledger.Fate;
import io.whetstream.jobs.finetune.TrainerWitness.Account;
import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.flink.api.common.JobID;
import org.apache.flink.util.ExceptionUtils;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Savepoints that released versions of the fine-tune job wrote, restored by the present one on
 * another broker whose topic holds the same pairs.
 */
@Tag("cluster")
class SavepointCompatibilityTest {
  private static final int PARTITIONS = 2;
  private static final int MORE = 160;

  @TempDir private Path directory;

  /**
   * What is known of a savepoint.
   *
   * @param name of the job that wrote it; of its topics too
   * @param written when
   * @param settings of that job. What they leave out had its default: one that has changed since
   *     shows here, as it would show at a user's restore
   * @param seed of the pairs in the topic
   * @param pairs number of them, read by then or not
   * @param trained ids of the pairs that had been in a step
   * @param trainer its state
   */
  record Expected(
      String name,
      String written,
      List<String> settings,
      long seed,
      int pairs,
      List<String> trained,
      Account trainer) {}

  static List<Path> released() throws IOException {
    return ReleasedSavepoints.of("finetune");
  }

  private static Path present() {
    return ReleasedSavepoints.directory("finetune", ContinualTrainer.STATE_VERSION);
  }

  @Test
  void theSavepointOfThePresentStateVersionIsKept() {
    assertTrue(
        Files.isDirectory(present()),
        present() + " is missing; its README says how it is made when the version is raised");
  }

  @ParameterizedTest
  @MethodSource("released")
  void everyReleasedSavepointOfTheFineTuneJobRestores(Path savepoint) throws Exception {
    assertRestores(savepoint);
  }

  @Tag("slow")
  @Test
  void theSavepointOfThisVersionIsWrittenAndRestores() throws Exception {
    Path to = ReleasedSavepoints.destination("finetune", ContinualTrainer.STATE_VERSION, directory);
    write(to);
    assertRestores(to);
  }

  /**
   * The topic as the job that wrote the savepoint found it: the same records at the same places.
   */
  private static List<ImageTextPair> fill(
      FineTuneHarness harness, FineTuneConfig config, long seed, int count) throws Exception {
    List<ImageTextPair> pairs = FineTuneJobTest.pairs(seed, count + MORE);
    harness.produceRaw(config, "broken", "{no json".getBytes(StandardCharsets.UTF_8));
    harness.produce(config, pairs.subList(0, count));
    return pairs;
  }

  private void write(Path to) throws Exception {
    String name = "finetune-v" + ContinualTrainer.STATE_VERSION;
    String[] settings =
        FineTuneJobTest.with(
            FineTuneJobTest.TINY,
            // Nothing but the savepoint snapshots: it holds open what both sinks were given.
            "checkpoint.interval=1h",
            "prepare.parallelism=2",
            "mining.parallelism=2",
            "mining.replayShare=0.25",
            "mining.memory=96kb",
            // No multiple of a group: pairs are left for the next step.
            "training.globalBatch=9",
            // Timers of both kinds are outstanding.
            "mining.idleFlush=1h");
    try (FineTuneHarness harness = new FineTuneHarness(directory.resolve("writing"))) {
      FineTuneConfig config = harness.config(name, PARTITIONS, settings);
      long seed = 50;
      int count = 160;
      fill(harness, config, seed, count);
      TrainerWitness witness = new TrainerWitness("writing " + name);
      JobID job = harness.submit(config, false, witness, null);
      FineTuneHarness.await(
          "an adapter and a step after it",
          Duration.ofMinutes(5),
          () -> witness.seen().batches().size() > 11 && harness.adapters(config) > 0);
      String savepoint = harness.stop(job);
      Account account = witness.seen().snapshot();
      assertFalse(account.announced().isEmpty(), "an announcement must be part of the savepoint");
      for (Fate fate : List.of(Fate.TRAINED, Fate.HELD_OUT, Fate.PENDING, Fate.REPLAYED)) {
        assertTrue(entry(account, fate).count() > 0, fate + " is empty: " + account.ledger());
      }
      List<String> trained =
          witness.seen().batches().stream().flatMap(List::stream).distinct().toList();
      ReleasedSavepoints.keep(
          savepoint,
          to,
          new Expected(
              name, Instant.now().toString(), List.of(settings), seed, count, trained, account));
    }
  }

  private static Ledger.Entry entry(Account account, Fate fate) {
    return account.ledger().get(fate.name().toLowerCase(Locale.ROOT));
  }

  private void assertRestores(Path kept) throws Exception {
    Expected expected = ReleasedSavepoints.expected(kept, Expected.class);
    try (FineTuneHarness harness = new FineTuneHarness(directory.resolve("restoring"))) {
      FineTuneConfig config = config(harness, expected);
      List<ImageTextPair> pairs = fill(harness, config, expected.seed(), expected.pairs());
      // Some are sent again: what the deduplicator remembers must have come back too.
      harness.produce(config, pairs.subList(0, 40));
      harness.produce(config, pairs.subList(expected.pairs(), pairs.size()));
      Path moved = ReleasedSavepoints.copyOf(kept, directory.resolve("moved"));
      TrainerWitness witness = new TrainerWitness("restoring " + kept);
      JobID job = harness.submit(config, false, witness, moved.toUri().toString());
      FineTuneHarness.await(
          "all pairs are read",
          Duration.ofMinutes(5),
          () -> {
            assertEquals("", harness.failure(job));
            return harness.allRead(config);
          });
      harness.drain(job);

      TrainerWitness.Seen seen = witness.seen();
      assertNotNull(seen.restored(), "the trainer began without its state");
      boolean sameForm = kept.getFileName().equals(present().getFileName());
      assertEquals(
          sameForm ? expected.trainer() : expected.trainer().withoutState(),
          sameForm ? seen.restored() : seen.restored().withoutState());
      assertEquals(Ledger.of(pairs.stream().map(ImageTextPair::id).toList()), seen.accepted());
      assertTrue(seen.end().step() >= expected.trainer().step() + 10, seen.end().toString());
      assertReplayed(expected, seen);
      assertLineGoesOn(expected, config, harness.announcements(config));
    }
  }

  private static FineTuneConfig config(FineTuneHarness harness, Expected expected) {
    List<String> settings = new ArrayList<>(expected.settings());
    settings.add("checkpoint.interval=200ms");
    return harness.config(expected.name(), PARTITIONS, settings.toArray(new String[0]));
  }

  /** The memory of past pairs has come back: some are shown again, which can only be from there. */
  private static void assertReplayed(Expected expected, TrainerWitness.Seen seen) {
    Set<String> again = new HashSet<>();
    // The first batch may hold some that had left the memory already.
    seen.batches().stream().skip(1).forEach(again::addAll);
    again.retainAll(new HashSet<>(expected.trained()));
    assertFalse(again.isEmpty(), "no pair from before the savepoint was replayed");
  }

  /** The published adapter is announced again after so long, and is the parent of the next. */
  private static void assertLineGoesOn(
      Expected expected, FineTuneConfig config, List<AdapterAnnouncement> announced) {
    String published = expected.trainer().published();
    boolean longAgo =
        Instant.parse(expected.written())
            .plus(config.kafka().transactionTimeout())
            .isBefore(Instant.now());
    List<AdapterAnnouncement> later =
        announced.stream().filter(each -> !each.digest().equals(published)).toList();
    assertEquals(longAgo ? 1 : 0, announced.size() - later.size(), announced.toString());
    assertFalse(later.isEmpty(), "no adapter was published after the restore");
    assertEquals(published, later.get(0).parentDigest());
    assertTrue(later.get(0).epoch() > expected.trainer().epoch(), later.get(0).toString());
  }

  @Test
  void aSavepointOfAnUnknownStateVersionIsRefusedOnceWithTheRemedy() throws Exception {
    Path changed = ReleasedSavepoints.copyOf(present(), directory.resolve("changed"));
    int unknown = ContinualTrainer.STATE_VERSION + 1;
    changeTrainerState(changed, state -> state.putInt(Integer.BYTES, unknown));
    String refusal = refusal(changed);
    assertTrue(
        refusal.contains(
            "the trainer's state has version "
                + unknown
                + ", this release reads 1 to "
                + ContinualTrainer.STATE_VERSION
                + "; restore with the release that wrote it"),
        refusal);
  }

  @Test
  void aSavepointWithoutTheWeightsIsRefusedOnceWithTheRemedy() throws Exception {
    Path changed = ReleasedSavepoints.copyOf(present(), directory.resolve("changed"));
    changeTrainerState(changed, state -> state.put(firstPart(state), (byte) 0));
    String refusal = refusal(changed);
    assertTrue(
        refusal.contains(
            "the trainer's state is incomplete, it has no MODEL; restore from another savepoint"),
        refusal);
  }

  private interface Change {
    void to(ByteBuffer trainerState) throws IOException;
  }

  /** Changes the trainer's state where it lies in a savepoint, from its first bytes on. */
  private static void changeTrainerState(Path savepoint, Change change) throws IOException {
    int changed = 0;
    List<Path> files;
    try (Stream<Path> all = Files.list(savepoint)) {
      files = all.toList();
    }
    for (Path file : files) {
      ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file));
      for (int at = 0; at + 2 * Integer.BYTES <= bytes.limit(); at++) {
        if (bytes.getInt(at) == ContinualTrainer.STATE_MAGIC
            && bytes.getInt(at + Integer.BYTES) == ContinualTrainer.STATE_VERSION) {
          change.to(bytes.slice(at, bytes.limit() - at));
          changed++;
        }
      }
      Files.write(file, bytes.array());
    }
    assertEquals(1, changed, "trainer states in " + files);
  }

  /** Where the flag of the first part is: behind version, base and settings. */
  private static int firstPart(ByteBuffer state) throws IOException {
    byte[] bytes = Arrays.copyOfRange(state.array(), state.arrayOffset(), state.array().length);
    DataInputStream in = new DataInputStream(new ByteArrayInputStream(bytes));
    in.skipNBytes(2L * Integer.BYTES);
    in.readUTF();
    in.readUTF();
    return bytes.length - in.available();
  }

  /** Why a job that is given a savepoint fails for good. */
  private String refusal(Path savepoint) throws Exception {
    Expected expected = ReleasedSavepoints.expected(present(), Expected.class);
    try (FineTuneHarness harness = new FineTuneHarness(directory.resolve("refusing"))) {
      FineTuneConfig config = config(harness, expected);
      fill(harness, config, expected.seed(), expected.pairs());
      JobID job =
          harness.submit(
              config, false, new TrainerWitness("refused"), savepoint.toUri().toString());
      return ExceptionUtils.stringifyException(
          assertThrows(Exception.class, () -> harness.finish(job)));
    }
  }
}
