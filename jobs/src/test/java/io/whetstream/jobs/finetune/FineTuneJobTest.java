package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.DeadLetters;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.registry.AdapterRegistry;
import io.whetstream.connectors.registry.RegistryOptions;
import io.whetstream.jobs.finetune.Faults.Place;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import org.apache.flink.api.common.JobID;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The whole job on a real broker, Flink cluster and RocksDB, with a tiny base. */
@Tag("cluster")
class FineTuneJobTest {
  static final String[] TINY = {
    "base.model=../model/src/test/resources/golden/llava-tiny",
    "training.globalBatch=8",
    "training.learningRate=0.003",
    "adapter.rank=2",
    "heldOut.share=0.15",
    "heldOut.size=24",
    "gate.minSample=8",
    "gate.minChange=-1",
    "publish.everySteps=5",
    "publish.comparePublishedEvery=0",
    "publish.compareBaseEvery=0",
    "mining.depth=1",
    "mining.tables=1",
    "mining.groupSize=4",
    "mining.candidates=16"
  };

  @TempDir private static Path directory;
  private static FineTuneHarness harness;

  @BeforeAll
  static void start() throws Exception {
    harness = new FineTuneHarness(directory);
  }

  @AfterAll
  static void stop() throws Exception {
    harness.close();
  }

  private static String[] with(String... more) {
    return with(TINY, more);
  }

  static String[] with(String[] some, String... more) {
    List<String> all = new ArrayList<>(List.of(some));
    all.addAll(List.of(more));
    return all.toArray(new String[0]);
  }

  static List<ImageTextPair> pairs(long seed, int count) {
    return ScenePairs.of(seed, 0, count).stream()
        .map(
            pair ->
                new ImageTextPair(
                    pair.id(),
                    null,
                    null,
                    pair.shortCaption(),
                    pair.longCaption(),
                    "drawn",
                    1_700_000_000_000L + pair.eventTime() * 100,
                    pair.image(),
                    null))
        .toList();
  }

  @Test
  void pairsInKafkaBecomeAdaptersInTheRegistryAnnouncedOnce() throws Exception {
    FineTuneConfig config = harness.config("thread", 1, TINY);
    List<ImageTextPair> pairs = new ArrayList<>(pairs(1, 300));
    pairs.addAll(pairs.subList(100, 140));
    harness.produce(config, pairs);
    harness.produceRaw(config, "broken", "{no json".getBytes(StandardCharsets.UTF_8));
    Faults run = Faults.of("thread", Place.NOWHERE);
    harness.run(config, run);

    Set<String> ids = new HashSet<>(pairs.stream().map(ImageTextPair::id).toList());
    assertEquals(Ledger.of(ids), run.record().outcome().accepted());
    assertEquals(1, harness.deadLetters(config).size());

    List<AdapterAnnouncement> announced = harness.announcements(config);
    assertFalse(announced.isEmpty());
    AdapterRegistry store = AdapterRegistry.open(RegistryOptions.of(config.registry().uri()));
    String parent = null;
    for (int i = 0; i < announced.size(); i++) {
      AdapterAnnouncement each = announced.get(i);
      AdapterArtifact artifact = store.read(each.digest());
      assertEquals(each.digest(), artifact.weights().digest());
      assertEquals(each.manifestDigest(), artifact.manifest().manifestDigest());
      assertEquals(parent, each.parentDigest());
      assertEquals(1, each.epoch());
      assertEquals(i + 1, each.n());
      assertEquals(0, each.step() % 5);
      parent = each.digest();
    }
    assertTrue(run.record().outcome().step() >= 25, run.record().outcome().toString());
  }

  /** Values that cannot be trained on, by what is done when that is found. */
  private static List<Map.Entry<String, byte[]>> poisons(ImageTextPair good) {
    byte[] image = good.image();
    byte[] bomb = image.clone();
    // A PNG's width and height.
    ByteBuffer.wrap(bomb).putInt(16, 60_000).putInt(20, 60_000);
    List<Map.Entry<String, byte[]>> all = new ArrayList<>();
    all.add(Map.entry("decode", "{no json".getBytes(StandardCharsets.UTF_8)));
    all.add(Map.entry("decode", "{\"id\":[],\"caption\":7}".getBytes(StandardCharsets.UTF_8)));
    all.add(
        Map.entry(
            "decode",
            "{\"id\":\"a\",\"caption\":\"\u00e9\"}".getBytes(StandardCharsets.ISO_8859_1)));
    all.add(Map.entry("decode", new byte[0]));
    for (byte[] bad : List.of(new byte[64], Arrays.copyOf(image, image.length / 2), bomb)) {
      ImageTextPair pair =
          new ImageTextPair(
              "bad" + all.size(),
              null,
              null,
              "a red cross",
              null,
              null,
              good.eventTime(),
              bad,
              null);
      all.add(Map.entry("prepare", RecordFormat.json().codec(RecordType.PAIR, null).encode(pair)));
    }
    return all;
  }

  @Test
  void eachPoisonAmongGoodPairsIsADeadLetterByteForByteAndNothingFails() throws Exception {
    FineTuneConfig config = harness.config("poison", 1, TINY);
    List<ImageTextPair> pairs = pairs(4, 160);
    List<Map.Entry<String, byte[]>> poisons = poisons(pairs.get(0));
    int sent = 0;
    for (Map.Entry<String, byte[]> poison : poisons) {
      harness.produce(config, pairs.subList(sent, sent + 20));
      sent += 20;
      harness.produceRaw(config, "poison", poison.getValue());
    }
    harness.produce(config, pairs.subList(sent, pairs.size()));
    Faults run = Faults.of("poison", Place.NOWHERE);
    JobID job = harness.submit(config, true, run, null);
    harness.finish(job);
    assertEquals("", harness.failure(job));

    assertEquals(
        Ledger.of(pairs.stream().map(ImageTextPair::id).toList()),
        run.record().outcome().accepted());
    Map<Coordinates, DeadLetter> letters = new HashMap<>();
    for (var record : harness.deadLetters(config)) {
      DeadLetter letter = DeadLetters.read(record);
      assertNull(letters.put(letter.at(), letter));
    }
    assertEquals(poisons.size(), letters.size());
    for (int i = 0; i < poisons.size(); i++) {
      DeadLetter letter = letters.get(new Coordinates("poison.pairs", 0, 20 + 21L * i));
      assertNotNull(letter, letters.keySet().toString());
      assertEquals(poisons.get(i).getKey(), letter.stage(), letter.message());
      assertArrayEquals(poisons.get(i).getValue(), letter.value());
      assertArrayEquals("poison".getBytes(StandardCharsets.UTF_8), letter.recordKey());
    }
  }

  private static final String[] DETERMINISTIC = {
    "deterministic=true", "checkpoint.interval=30ms", "mining.replayShare=0.25"
  };

  /** A deterministic run over the same 260 pairs. */
  private static Faults run(String name, Place place, String... overrides) throws Exception {
    FineTuneConfig config = harness.config(name, 1, with(with(DETERMINISTIC), overrides));
    harness.produce(config, pairs(2, 260));
    Faults run = Faults.of(name, place);
    harness.run(config, run);
    assertEquals(place == Place.NOWHERE ? 0 : 1, run.record().fired(), "faults of " + place);
    assertEquals(
        List.of(),
        harness.deadLetters(config).stream().map(each -> each.headers().toString()).toList());
    assertAnnouncedOnce(config, run);
    return run;
  }

  /**
   * Each digest exists, is committed once, and is in the history of the first checkpoint completed
   * at or after its emission.
   */
  private static void assertAnnouncedOnce(FineTuneConfig config, Faults run) {
    List<String> digests =
        harness.announcements(config).stream().map(AdapterAnnouncement::digest).toList();
    assertEquals(digests.size(), new HashSet<>(digests).size(), "announced twice: " + digests);
    AdapterRegistry registry = AdapterRegistry.open(RegistryOptions.of(config.registry().uri()));
    for (String digest : digests) {
      assertTrue(registry.contains(digest));
      assertEquals("", run.record().history().fault(digest));
    }
  }

  @Test
  void anAnnouncementThatTheNextCheckpointDoesNotKnowIsNoticed() {
    SortedMap<Long, List<String>> snapshots = new TreeMap<>();
    snapshots.put(1L, List.of());
    snapshots.put(2L, List.of("a"));
    snapshots.put(3L, List.of("a", "b"));
    assertEquals("", new Faults.History(snapshots, new TreeSet<>(Set.of(1L, 2L, 3L))).fault("a"));
    // Emitted before 3, which was aborted, and again before 5.
    snapshots.put(4L, List.of("a"));
    snapshots.put(5L, List.of("a", "b"));
    Faults.History again = new Faults.History(snapshots, new TreeSet<>(Set.of(2L, 4L, 5L)));
    assertEquals("", again.fault("b"));
    assertEquals("c is in no snapshot", again.fault("c"));
    Faults.History never = new Faults.History(snapshots, new TreeSet<>(Set.of(2L, 4L)));
    assertTrue(never.fault("b").contains("no checkpoint was completed"), never.fault("b"));
    snapshots.put(6L, List.of("b"));
    Faults.History lost = new Faults.History(snapshots, new TreeSet<>(Set.of(2L, 6L)));
    assertTrue(lost.fault("a").contains("missing in 6"), lost.fault("a"));
  }

  @Test
  void aBatchThatIsNotFiniteIsSkippedCountedAndNamedAndTrainingGoesOn() throws Exception {
    try (CapturedLog log = new CapturedLog(ContinualTrainer.class)) {
      Faults run = run("not-finite", Place.NOT_FINITE, "mining.replayShare=0");
      List<String> spoiled = run.record().spoiled();
      assertEquals(8, spoiled.size());
      String ledger = run.record().outcome().ledger();
      assertTrue(ledger.contains("skipped=" + Ledger.of(spoiled)), ledger);
      assertEquals(
          Ledger.of(pairs(2, 260).stream().map(ImageTextPair::id).toList()),
          run.record().outcome().accepted());
      assertTrue(run.record().outcome().step() > 20, "steps " + run.record().outcome().step());
      List<String> named = log.containing("not finite");
      assertEquals(1, named.size());
      spoiled.forEach(id -> assertTrue(named.get(0).contains(id), named.get(0)));
    }
  }

  @Test
  void afterAFaultTheAdapterHasTheSameBytesAsWithoutOne() throws Exception {
    Faults unbroken = run("unbroken", Place.NOWHERE);
    List<String> announced = digests("unbroken");
    assertTrue(announced.size() >= 3, announced.toString());
    assertEquals(
        Ledger.of(pairs(2, 260).stream().map(ImageTextPair::id).toList()),
        unbroken.record().outcome().accepted());
    for (Place place :
        List.of(
            Place.BEFORE_FIRST_CHECKPOINT,
            Place.IN_STEP,
            Place.BETWEEN_SNAPSHOT_AND_COMPLETION,
            Place.WHILE_A_CANDIDATE_IS_WRITTEN,
            Place.AFTER_COMPLETION)) {
      String name = "broken-" + place.name().toLowerCase(Locale.ROOT);
      Faults broken =
          place == Place.BEFORE_FIRST_CHECKPOINT
              ? run(name, place, "checkpoint.interval=1h")
              : run(name, place);
      assertEquals(unbroken.record().outcome(), broken.record().outcome(), place.toString());
      assertEquals(announced, digests(name), place.toString());
    }
  }

  private static List<String> digests(String name) {
    return harness.announcements(harness.config(name, 1)).stream()
        .map(AdapterAnnouncement::digest)
        .toList();
  }

  @Test
  void aLostTaskManagerChangesNothing() throws Exception {
    assertALostTaskManagerChangesNothing("lost");
  }

  /** Images of any size, and positions of three axes. */
  @Tag("slow")
  @Test
  void aLostTaskManagerChangesNothingOfQwen2Vl() throws Exception {
    assertALostTaskManagerChangesNothing(
        "lost-qwen", "base.model=../model/src/test/resources/golden/qwen2vl-e2e-tiny");
  }

  private static void assertALostTaskManagerChangesNothing(String name, String... overrides)
      throws Exception {
    Faults unbroken = run(name + "-never", Place.NOWHERE, overrides);
    FineTuneConfig config = harness.config(name, 1, with(with(DETERMINISTIC), overrides));
    harness.produce(config, pairs(2, 260));
    Faults run = Faults.of(name, Place.NOWHERE);
    JobID job = harness.submit(config, true, run, null);
    FineTuneHarness.await(
        "a checkpoint in training", Duration.ofMinutes(5), () -> run.record().completedStep() >= 2);
    harness.loseTaskManager();
    harness.finish(job);
    assertEquals(unbroken.record().outcome(), run.record().outcome());
    assertAnnouncedOnce(config, run);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3})
  void inFreeOrderUnderRandomFaultsEveryPairHasOneFate(int seed) throws Exception {
    assertEveryPairHasOneFateUnderRandomFaults(seed);
  }

  static IntStream twentyMoreSeeds() {
    return IntStream.range(100, 120);
  }

  @Tag("slow")
  @ParameterizedTest
  @MethodSource("twentyMoreSeeds")
  void inFreeOrderUnderManyMoreRandomFaultsEveryPairHasOneFate(int seed) throws Exception {
    assertEveryPairHasOneFateUnderRandomFaults(seed);
  }

  private static void assertEveryPairHasOneFateUnderRandomFaults(int seed) throws Exception {
    String name = "free-" + seed;
    FineTuneConfig config =
        harness.config(
            name,
            2,
            with(
                "checkpoint.interval=50ms",
                "prepare.parallelism=2",
                "mining.parallelism=2",
                "mining.replayShare=0.25"));
    List<ImageTextPair> pairs = pairs(10 + seed, 240);
    harness.produce(config, pairs);
    Faults run = Faults.of(name, Place.ANYWHERE);
    harness.run(config, run);
    assertTrue(run.record().fired() > 0);
    assertVersionsAreUnique(config);
    assertEquals(
        Ledger.of(pairs.stream().map(ImageTextPair::id).toList()),
        run.record().outcome().accepted());
    assertAnnouncedOnce(config, run);
  }

  @Test
  void whateverIsLostAndHoweverTheJobIsScaledEveryPairHasOneFateAndAVersionOneAdapter()
      throws Exception {
    String[] settings =
        with(
            "checkpoint.interval=100ms",
            "mining.replayShare=0.25",
            "gate.minChange=0",
            "gate.error=0.4");
    FineTuneConfig one = harness.config("lost-all", 2, settings);
    FineTuneConfig two =
        harness.reconfigured(
            one, List.of(with(settings, "prepare.parallelism=2", "mining.parallelism=2")));
    List<ImageTextPair> pairs = pairs(60, 480);
    harness.produce(one, pairs.subList(0, 160));
    Faults run = Faults.of("lost-all", Place.NOWHERE);
    JobID job = harness.submit(two, false, run, null);
    awaitSteps(run, 4);
    // All operators are lost at once, wherever each is.
    harness.loseTaskManager();
    harness.produce(one, pairs.subList(160, 320));
    awaitSteps(run, 10);
    harness.loseJobManager(job);
    awaitSteps(run, 14);
    String savepoint = harness.stop(job);
    harness.produce(one, pairs.subList(320, 480));
    job = harness.submit(one, false, run, savepoint);
    awaitSteps(run, 18);
    harness.loseTaskManager();
    JobID last = job;
    FineTuneHarness.await("all pairs are read", Duration.ofMinutes(5), () -> harness.allRead(one));
    harness.drain(last);
    assertEquals(
        Ledger.of(pairs.stream().map(ImageTextPair::id).toList()),
        run.record().outcome().accepted());
    List<AdapterAnnouncement> announced = harness.announcements(one);
    assertEquals(
        announced.size(), announced.stream().map(AdapterAnnouncement::digest).distinct().count());
    assertVersionsAreUnique(one);
  }

  /** What the trainer was at when it ended; in this process. */
  private record LastStep() implements TrainerHooks {
    private static final long serialVersionUID = 1L;
    private static volatile double learningRate;
    private static volatile long step;

    @Override
    public void atEnd(ContinualTrainer trainer) {
      learningRate = trainer.figures().last.learningRate();
      step = trainer.stepNumber();
    }
  }

  /** The same scenes with light and dark exchanged. */
  private static List<ImageTextPair> negatives(List<ImageTextPair> pairs) throws Exception {
    List<ImageTextPair> changed = new ArrayList<>();
    for (ImageTextPair pair : pairs) {
      BufferedImage picture = ImageIO.read(new ByteArrayInputStream(pair.image()));
      for (int y = 0; y < picture.getHeight(); y++) {
        for (int x = 0; x < picture.getWidth(); x++) {
          picture.setRGB(x, y, ~picture.getRGB(x, y));
        }
      }
      ByteArrayOutputStream png = new ByteArrayOutputStream();
      ImageIO.write(picture, "png", png);
      changed.add(
          new ImageTextPair(
              "negative-" + pair.id(),
              null,
              null,
              pair.caption(),
              pair.captionLong(),
              pair.source(),
              pair.eventTime(),
              png.toByteArray(),
              null));
    }
    return changed;
  }

  @Test
  void aChangeOfTheStreamIsAnsweredOnceAndNotByItsOwnAnswer() throws Exception {
    for (int lasts : new int[] {1_000, 5}) {
      FineTuneConfig config =
          harness.config(
              "adapt-" + lasts,
              1,
              with("drift.response=ADAPT", "drift.rateFactor=3", "drift.steps=" + lasts));
      List<ImageTextPair> pairs = new ArrayList<>(pairs(71, 480));
      pairs.addAll(negatives(pairs(72, 480)));
      harness.produce(config, pairs);
      try (CapturedLog log = new CapturedLog(ContinualTrainer.class)) {
        harness.run(config, new LastStep());
        List<String> changes = log.containing("Distribution change");
        assertEquals(1, changes.size(), changes.toString());
        assertTrue(changes.get(0).contains("Response: adapt"), changes.get(0));
      }
      // As long as the answer lasts the rate is three times what it is.
      assertEquals(lasts == 5 ? 0.003 : 0.009, LastStep.learningRate, 1e-6, "" + LastStep.step);
    }
  }

  private static void awaitSteps(Faults run, long steps) throws Exception {
    FineTuneHarness.await(
        steps + " steps", Duration.ofMinutes(5), () -> run.record().completedStep() >= steps);
  }

  /** In the registry too, with what checkpoints that were aborted have left there. */
  private static void assertVersionsAreUnique(FineTuneConfig config) {
    Map<String, String> digests = new HashMap<>();
    AdapterRegistry.open(RegistryOptions.of(config.registry().uri()))
        .list()
        .forEach(
            entry -> {
              String other =
                  digests.putIfAbsent(entry.manifest().version().toString(), entry.digest());
              assertTrue(
                  other == null || other.equals(entry.digest()),
                  entry.manifest().version() + " names two adapters");
            });
  }

  @Test
  void namesInKafkaTellStreamsBehindDifferentPrefixesApart() {
    FineTuneConfig some = harness.config("prefixed", 1, TINY);
    FineTuneConfig other =
        FineTuneConfig.loader()
            .parse("", "test", List.of("name=prefixed", "kafka.topicPrefix=other."));
    assertEquals("whetstream-finetune-prefixed.prefixed", FineTuneJob.group(some));
    assertEquals("whetstream-finetune-other.prefixed", FineTuneJob.group(other));
  }

  @Test
  void aRollbackStandsUntilResumeAndVersionsStayUniqueOverRescaledRestores() throws Exception {
    FineTuneConfig one = harness.config("rollback", 2, with("checkpoint.interval=200ms"));
    FineTuneConfig two =
        harness.config(
            "rollback",
            2,
            with("checkpoint.interval=200ms", "prepare.parallelism=2", "mining.parallelism=2"));
    List<ImageTextPair> pairs = pairs(20, 600);
    harness.produce(one, pairs.subList(0, 200));
    Faults run = Faults.of("rollback", Place.NOWHERE);
    JobID job = harness.submit(one, false, run, null);
    FineTuneHarness.await(
        "two adapters", Duration.ofMinutes(5), () -> harness.announcements(one).size() >= 2);
    String good = harness.announcements(one).get(0).digest();
    harness.produce(one, AdapterControl.rollback("rollback", good, "test", 1));
    FineTuneHarness.await("the rollback", Duration.ofMinutes(5), () -> run.record().paused());
    String savepoint = harness.stop(job);
    // Only now: what was emitted before the rollback is committed by the savepoint at the latest.
    int announced = harness.announcements(one).size();

    // The pause and the adapter gone back to are part of the state.
    harness.produce(one, pairs.subList(200, 400));
    job = harness.submit(two, false, run, savepoint);
    long before = run.record().snapshotStep();
    FineTuneHarness.await(
        "ten more steps", Duration.ofMinutes(5), () -> run.record().snapshotStep() >= before + 10);
    assertTrue(run.record().paused());
    assertEquals(announced, harness.announcements(one).size());
    harness.produce(one, AdapterControl.resume("rollback", "test", 2));
    FineTuneHarness.await("the resume", Duration.ofMinutes(5), () -> !run.record().paused());
    savepoint = harness.stop(job);

    harness.produce(one, pairs.subList(400, 600));
    job = harness.submit(one, false, run, savepoint);
    long resumed = run.record().snapshotStep();
    FineTuneHarness.await(
        "more steps", Duration.ofMinutes(5), () -> run.record().snapshotStep() >= resumed + 15);
    harness.drain(job);
    assertEquals(
        Ledger.of(pairs.stream().map(ImageTextPair::id).toList()),
        run.record().outcome().accepted());
    List<AdapterAnnouncement> all = harness.announcements(one);
    assertTrue(all.size() > announced);
    assertEquals(good, all.get(announced).parentDigest());
    assertEquals(
        all.size(), all.stream().map(each -> each.epoch() + "." + each.n()).distinct().count());
    assertTrue(all.get(all.size() - 1).epoch() > all.get(0).epoch());
  }

  @Test
  void stateOfOtherSettingsIsRefusedOnceWithTheRemedy() throws Exception {
    FineTuneConfig config = harness.config("other", 1, TINY);
    harness.produce(config, pairs(30, 120));
    Faults run = Faults.of("other", Place.NOWHERE);
    JobID job = harness.submit(config, false, run, null);
    FineTuneHarness.await(
        "a checkpoint in training", Duration.ofMinutes(5), () -> run.record().completedStep() >= 2);
    String savepoint = harness.stop(job);
    FineTuneConfig other = harness.config("other", 1, with("adapter.rank=4"));
    JobID refused = harness.submit(other, true, run, savepoint);
    Exception failure = assertThrows(Exception.class, () -> harness.finish(refused));
    String text = org.apache.flink.util.ExceptionUtils.stringifyException(failure);
    assertTrue(text.contains("adapter.rank was 2, is 4"), text);
    assertTrue(text.contains("training.resetOptimizer"), text);
  }

  @Test
  void pairsThatKafkaDeletedUnreadAreAnErrorAndSkippedOnlyByChoice() throws Exception {
    FineTuneConfig config = harness.config("deleted", 1, TINY);
    harness.produce(config, pairs(31, 40));
    Faults run = Faults.of("deleted", Place.NOWHERE);
    JobID job = harness.submit(config, false, run, null);
    FineTuneHarness.await(
        "a checkpoint", Duration.ofMinutes(5), () -> run.record().completedStep() >= 0);
    String savepoint = harness.stop(job);
    harness.produce(config, pairs(32, 10));
    harness.deletePairs(config);
    JobID restored = harness.submit(config, false, run, savepoint);
    FineTuneHarness.await(
        "the refusal",
        Duration.ofMinutes(5),
        () -> harness.failure(restored).contains("out of range"));
    harness.cluster().cancelJob(restored).get(60, TimeUnit.SECONDS);

    harness.produce(config, pairs(33, 20));
    List<String> settings = new ArrayList<>(List.of(TINY));
    settings.add("kafka.properties.auto.offset.reset=earliest");
    FineTuneConfig going = harness.reconfigured(config, settings);
    JobID skipping = harness.submit(going, false, run, savepoint);
    FineTuneHarness.await(
        "what is left is read", Duration.ofMinutes(5), () -> harness.allRead(config));
    harness.drain(skipping);
    List<ImageTextPair> read = new ArrayList<>(pairs(31, 40));
    read.addAll(pairs(33, 20));
    assertEquals(
        Ledger.of(read.stream().map(ImageTextPair::id).toList()),
        run.record().outcome().accepted());
  }

  @Test
  void aTopicThatIsNotAsItMustBeIsRefusedAtTheStart() {
    FineTuneConfig config = harness.config("topics", 2, TINY);
    FineTuneConfig elsewhere =
        FineTuneConfig.loader()
            .parse(
                "",
                "test",
                List.of(
                    "kafka.bootstrapServers=" + config.kafka().bootstrapServers(),
                    "kafka.topicPrefix=missing."));
    String message =
        assertThrows(BadInputException.class, () -> FineTuneJob.check(elsewhere)).getMessage();
    assertTrue(message.contains("missing.adapters.control does not exist"), message);
    message =
        assertThrows(
                BadInputException.class,
                () -> harness.config("topics", 2, with("deterministic=true")))
            .getMessage();
    assertTrue(message.contains("needs one partition of topics.pairs, it has 2"), message);
  }
}
