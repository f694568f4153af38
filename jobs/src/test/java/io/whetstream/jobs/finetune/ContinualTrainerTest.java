package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.jobs.finetune.Gate.Decision;
import io.whetstream.jobs.finetune.Ledger.Fate;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.train.PreparedPair;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The trainer's logic on a tiny base with random weights: books, state, gate. */
class ContinualTrainerTest {
  private static final String TINY = "../model/src/test/resources/golden/llava-tiny";
  private static final String OTHER = "../model/src/test/resources/golden/llava-mha-tiny";
  private static final List<PairGroup> GROUPS = ScenePairs.groups(ScenePairs.of(1, 0, 120), 6);

  private static FineTuneConfig config(String... overrides) {
    List<String> all = new ArrayList<>();
    all.add("base.model=" + TINY);
    all.add("base.device=cpu");
    all.add("base.threads=1");
    all.add("deterministic=true");
    all.add("training.globalBatch=8");
    all.add("training.learningRate=0.003");
    all.add("adapter.rank=2");
    all.add("heldOut.share=0.2");
    all.add("heldOut.size=16");
    all.add("gate.minSample=4");
    all.add("gate.minChange=-1");
    all.add("publish.everySteps=3");
    all.add("publish.comparePublishedEvery=0");
    all.add("publish.compareBaseEvery=0");
    all.addAll(List.of(overrides));
    return FineTuneConfig.loader().parse("", "test", all);
  }

  private static ContinualTrainer open(FineTuneConfig config) {
    return open(config, TrainerHooks.NONE);
  }

  private static ContinualTrainer open(FineTuneConfig config, TrainerHooks hooks) {
    ContinualTrainer trainer = new ContinualTrainer(config, new TrainingEngine(config), hooks);
    trainer.line().startEpoch();
    trainer.line().taken(List.of(), true);
    return trainer;
  }

  static void accept(ContinualTrainer trainer, List<PairGroup> groups) {
    for (PairGroup group : groups) {
      trainer.take(group);
      while (trainer.ready()) {
        trainer.step();
      }
    }
  }

  private static byte[] state(ContinualTrainer trainer) throws IOException {
    return state(trainer, EnumSet.allOf(StatePart.class));
  }

  private static byte[] state(ContinualTrainer trainer, Set<StatePart> parts) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    trainer.write(new DataOutputStream(bytes), parts);
    return bytes.toByteArray();
  }

  private static void restore(ContinualTrainer trainer, byte[] state) throws IOException {
    restore(trainer, state, EnumSet.allOf(StatePart.class));
  }

  private static void restore(ContinualTrainer trainer, byte[] state, Set<StatePart> parts)
      throws IOException {
    trainer.read(new DataInputStream(new ByteArrayInputStream(state)), parts);
  }

  private static Set<StatePart> without(StatePart missing) {
    return EnumSet.complementOf(EnumSet.of(missing));
  }

  /** All that a run leaves behind. */
  private record Outcome(
      String digest, long step, String ledger, List<AdapterLine.Version> versions) {
    static Outcome of(ContinualTrainer trainer) {
      return new Outcome(
          trainer.weights().digest(),
          trainer.stepNumber(),
          trainer.ledger().entries().toString(),
          trainer.line().waiting());
    }
  }

  private static Outcome unbroken() {
    try (ContinualTrainer trainer = open(config())) {
      accept(trainer, GROUPS);
      return Outcome.of(trainer);
    }
  }

  /** A run that is written after thirteen groups and read by another trainer. */
  private static Outcome broken(Set<StatePart> parts) throws IOException {
    byte[] state;
    try (ContinualTrainer first = open(config())) {
      accept(first, GROUPS.subList(0, 13));
      assertTrue(first.pendingPairs() > 0, "an unfinished batch must be in the state");
      assertTrue(first.heldOutPairs() > 0);
      assertFalse(first.line().waiting().isEmpty());
      state = state(first, parts);
    }
    try (ContinualTrainer second = open(config())) {
      restore(second, state, parts);
      accept(second, GROUPS.subList(13, GROUPS.size()));
      return Outcome.of(second);
    }
  }

  @Test
  void everyPairHasExactlyOneFate() {
    try (ContinualTrainer trainer = open(config())) {
      accept(trainer, GROUPS);
      assertEquals(
          Ledger.of(ScenePairs.of(1, 0, 120).stream().map(MinedPair::id).toList()),
          trainer.ledger().accepted());
      assertEquals(trainer.pendingPairs(), trainer.ledger().entry(Fate.PENDING).count());
      assertTrue(trainer.ledger().entry(Fate.TRAINED).count() <= 8 * trainer.stepNumber());
      assertTrue(trainer.ledger().entry(Fate.HELD_OUT).count() > 10);
    }
  }

  @Test
  void aRestoredTrainerEndsWhereAnUnbrokenOneDoes() throws IOException {
    assertEquals(unbroken(), broken(EnumSet.allOf(StatePart.class)));
  }

  @ParameterizedTest
  @EnumSource(names = {"MODEL", "LEDGER", "BATCH", "HELD_OUT", "PUBLISHING"})
  void stateWithoutOneOfItsPartsIsNoticed(StatePart missing) throws IOException {
    assertNotEquals(unbroken(), broken(without(missing)));
  }

  @ParameterizedTest
  @EnumSource
  void stateThatLacksAPartIsRefusedWithTheRemedy(StatePart missing) throws IOException {
    byte[] state;
    try (ContinualTrainer trainer = open(config())) {
      accept(trainer, GROUPS.subList(0, 2));
      state = state(trainer, without(missing));
    }
    assertRefused(state, "it has no " + missing + "; restore from another savepoint");
  }

  @Test
  void aStepThatIsNotFiniteChangesNothingButTheBooks() {
    TrainerHooks poison =
        new TrainerHooks() {
          private boolean done;

          @Override
          public List<PreparedPair> batch(long step, List<PreparedPair> pairs) {
            if (step != 2 || done) {
              return pairs;
            }
            done = true;
            return Faults.spoiled(pairs);
          }
        };
    try (ContinualTrainer trainer = open(config(), poison)) {
      String before = trainer.weights().digest();
      for (PairGroup group : GROUPS) {
        if (trainer.figures().skippedSteps == 0) {
          before = trainer.weights().digest();
        }
        long steps = trainer.stepNumber();
        accept(trainer, List.of(group));
        if (trainer.figures().skippedSteps == 1 && trainer.stepNumber() == steps && steps == 2) {
          assertEquals(before, trainer.weights().digest());
        }
      }
      assertEquals(1, trainer.figures().skippedSteps);
      assertTrue(trainer.ledger().entry(Fate.SKIPPED).count() > 0);
      assertTrue(trainer.stepNumber() > 5, "training goes on");
      assertEquals(
          Ledger.of(ScenePairs.of(1, 0, 120).stream().map(MinedPair::id).toList()),
          trainer.ledger().accepted());
    }
  }

  @Test
  void nothingOfASkippedStepIsLeftInWeightsOrMoments() {
    FineTuneConfig config = config("heldOut.share=0");
    List<PairGroup> batches = ScenePairs.groups(ScenePairs.of(1, 0, 64), 8);
    TrainerHooks third =
        new TrainerHooks() {
          private int batch;

          @Override
          public List<PreparedPair> batch(long step, List<PreparedPair> pairs) {
            return batch++ == 2 ? Faults.spoiled(pairs) : pairs;
          }
        };
    List<PairGroup> without = new ArrayList<>(batches);
    without.remove(2);
    try (ContinualTrainer skipped = open(config, third);
        ContinualTrainer never = open(config)) {
      accept(skipped, batches);
      accept(never, without);
      assertEquals(1, skipped.figures().skippedSteps);
      assertEquals(7, never.stepNumber());
      assertEquals(never.weights().digest(), skipped.weights().digest());
    }
  }

  @Test
  void ofTrainedAndAveragedWeightsTheBetterIsPublishedAndTheManifestSaysWhich() {
    // The rate is so high that what lies between is better again and again.
    FineTuneConfig wild = config("gate.average=0.5", "training.learningRate=0.1");
    int averaged = 0;
    try (ContinualTrainer trainer = open(wild)) {
      AdapterWeights inUse = null;
      String seen = "";
      for (PairGroup group : GROUPS) {
        accept(trainer, List.of(group));
        String published = trainer.line().published();
        if (published.equals(seen)) {
          continue;
        }
        AdapterArtifact artifact = trainer.line().artifact(published);
        AdapterWeights trained = trainer.weights();
        if (artifact.manifest().training().containsKey("gate.average")) {
          averaged++;
          assertEquals(trained.towards(inUse, 0.5).digest(), published);
        } else {
          assertEquals(trained.digest(), published);
        }
        seen = published;
        inUse = artifact.weights();
      }
      assertTrue(trainer.figures().published > averaged, "the trained weights are published too");
    }
    assertTrue(averaged > 0);
  }

  @Test
  void refusalsInARowReturnToThePublishedAdapter() {
    // No adapter can be better than the one in use by a whole recall of 1.
    FineTuneConfig strict = config("gate.minChange=1", "gate.maxRefusals=2");
    try (ContinualTrainer trainer = open(strict)) {
      String start = trainer.weights().digest();
      List<String> after = new ArrayList<>();
      for (PairGroup group : GROUPS) {
        long returns = trainer.figures().returns;
        accept(trainer, List.of(group));
        if (trainer.figures().returns > returns && trainer.stepNumber() % 3 == 0) {
          after.add(trainer.weights().digest());
        }
      }
      assertTrue(trainer.figures().refusals >= 2);
      assertTrue(trainer.line().waiting().isEmpty());
      assertFalse(after.isEmpty());
      after.forEach(digest -> assertEquals(start, digest));
    }
  }

  @Test
  void afterARollbackNothingIsPublishedUntilResume() {
    try (ContinualTrainer trainer =
        open(config("publish.everySteps=2", "gate.minSample=2", "gate.error=0.3"))) {
      accept(trainer, GROUPS.subList(0, 10));
      AdapterLine.Version good = trainer.line().waiting().get(0);
      AdapterArtifact artifact = trainer.line().artifact(good.digest());
      trainer.line().written(good, "somewhere");
      assertEquals(good, trainer.line().announceable().version());
      trainer.line().announced(1, 1);

      trainer.obey(AdapterControl.rollback("s", good.digest(), "test", 1));
      assertEquals(good.digest(), trainer.order(), "newer ones have taken its place in state");
      accept(trainer, GROUPS.subList(10, 11));
      trainer.carryOut(good.digest(), artifact);
      assertEquals(good.digest(), trainer.weights().digest());
      assertEquals(good.digest(), trainer.line().published());
      accept(trainer, GROUPS.subList(10, 15));
      assertTrue(trainer.line().waiting().isEmpty());

      trainer.obey(AdapterControl.resume("s", good.digest(), good.epoch(), good.n(), "test", 2));
      accept(trainer, GROUPS.subList(15, GROUPS.size()));
      assertFalse(trainer.line().waiting().isEmpty());
      AdapterLine.Version next = trainer.line().waiting().get(0);
      assertEquals(good.digest(), trainer.line().artifact(next.digest()).manifest().parent());
      assertTrue(next.n() > good.n());
    }
  }

  @Test
  void aBatchIsOfWholeGroupsAndNoneIsTorn() {
    List<List<String>> batches = new ArrayList<>();
    TrainerHooks watch =
        new TrainerHooks() {
          @Override
          public List<PreparedPair> batch(long step, List<PreparedPair> pairs) {
            batches.add(pairs.stream().map(PreparedPair::id).toList());
            return pairs;
          }
        };
    try (ContinualTrainer trainer = open(config("heldOut.share=0"), watch)) {
      accept(trainer, ScenePairs.groups(ScenePairs.of(1, 0, 60), 3));
      assertEquals(10, batches.size() + 1, "two groups of three fit a batch of eight");
      for (int i = 0; i < batches.size(); i++) {
        assertEquals(6, batches.get(i).size());
        assertTrue(batches.get(i).contains("scene-1-" + 6 * i), batches.get(i).toString());
        assertTrue(batches.get(i).contains("scene-1-" + (6 * i + 5)), batches.get(i).toString());
      }
      accept(trainer, ScenePairs.groups(ScenePairs.of(2, 0, 20), 20));
      assertEquals(20, batches.get(batches.size() - 1).size(), "a larger group is a batch");
    }
  }

  @Test
  void anOrderThatWaitsForItsAdapterStopsTrainingAtOnceAndOutlivesARestart() throws IOException {
    byte[] state;
    String wanted = "a".repeat(64);
    AdapterArtifact artifact;
    try (ContinualTrainer trainer = open(config())) {
      accept(trainer, GROUPS.subList(0, 10));
      artifact = trainer.line().artifact(trainer.line().published());
      long step = trainer.stepNumber();
      trainer.obey(AdapterControl.rollback("s", wanted, "test", 1));
      assertTrue(trainer.paused());
      accept(trainer, GROUPS.subList(10, 16));
      assertEquals(step, trainer.stepNumber());
      trainer.obey(AdapterControl.resume("s", "test", 2));
      assertTrue(trainer.paused(), "a resume comes behind the order that it follows");
      state = state(trainer);
    }
    try (ContinualTrainer trainer = open(config())) {
      restore(trainer, state);
      assertEquals(wanted, trainer.order());
      assertFalse(trainer.ready());
      trainer.carryOut("b".repeat(64), artifact);
      assertEquals(wanted, trainer.order(), "an answer to another order");
      trainer.carryOut(wanted, artifact);
      assertEquals("", trainer.order());
      assertEquals(artifact.digest(), trainer.weights().digest());
      assertFalse(trainer.paused());
      assertTrue(trainer.ready(), "what came meanwhile is trained on");
    }
  }

  @Test
  void anAdapterThatIsKeptIsGoneBackToWithoutTheRegistry() {
    try (ContinualTrainer trainer = open(config())) {
      accept(trainer, GROUPS.subList(0, 10));
      String published = trainer.line().published();
      accept(trainer, GROUPS.subList(10, 11));
      trainer.obey(AdapterControl.rollback("s", published, "test", 1));
      assertEquals("", trainer.order());
      assertEquals(published, trainer.weights().digest());
      trainer.obey(AdapterControl.rollback("s", trainer.baseDigest(), "test", 2));
      assertEquals("", trainer.order());
      assertEquals("", trainer.line().published());
    }
  }

  @Test
  void aResumeSaysWhatIsInUseToATrainerThatNeverSawTheRollback() {
    try (ContinualTrainer trainer = open(config())) {
      accept(trainer, GROUPS.subList(0, 10));
      AdapterArtifact artifact = trainer.line().artifact(trainer.line().published());
      trainer.adopt(artifact, 4, 7);
      String earlier = "c".repeat(64);
      trainer.obey(AdapterControl.resume("s", earlier, 4, 7, "test", 2));
      assertEquals(earlier, trainer.order());
      trainer.refuseOrder(earlier);
      // What was announced after the resume stands above it.
      trainer.adopt(artifact, 4, 8);
      trainer.obey(AdapterControl.resume("s", earlier, 4, 7, "test", 2));
      assertEquals("", trainer.order());
    }
  }

  @Test
  void ofTooManyCandidatesTheOldestGivesWayUnlessAllMustComeAgain() {
    for (boolean deterministic : new boolean[] {false, true}) {
      FineTuneConfig config =
          config("deterministic=" + deterministic, "publish.everySteps=1", "heldOut.size=8");
      try (ContinualTrainer trainer = open(config)) {
        accept(trainer, GROUPS);
        List<AdapterLine.Version> waiting = trainer.line().waiting();
        if (deterministic) {
          assertEquals(AdapterLine.MOST_PASSED + 1, waiting.size());
          assertFalse(trainer.mayTrain());
          trainer.line().written(waiting.get(0), "somewhere");
          assertTrue(trainer.mayTrain());
        } else {
          assertEquals(AdapterLine.MOST_PASSED, waiting.size());
          assertTrue(trainer.line().replaced() > 3);
          // Lineage leads past those that nobody saw.
          assertEquals(null, trainer.line().artifact(waiting.get(0).digest()).manifest().parent());
          assertEquals(
              waiting.get(0).digest(),
              trainer.line().artifact(waiting.get(1).digest()).manifest().parent());
        }
      }
    }
  }

  @Test
  void aReplayedPairIsNeverHeldOutWhateverTheShareIsNow() {
    List<MinedPair> all = ScenePairs.of(9, 0, 40);
    List<MinedPair> out =
        all.stream().filter(pair -> PairIds.heldOut(pair.imageDigest(), 0.5)).toList();
    List<MinedPair> in = all.stream().filter(pair -> !out.contains(pair)).toList();
    try (ContinualTrainer trainer = open(config("heldOut.share=0.5"))) {
      for (int i = 0; i < 8; i++) {
        trainer.take(new PairGroup(List.of(in.get(i), out.get(i)), 1));
      }
      assertEquals(0, trainer.heldOutPairs());
      assertEquals(16, trainer.pendingPairs());
      trainer.take(new PairGroup(List.of(in.get(8), out.get(8)), 2));
      assertEquals(1, trainer.heldOutPairs());
    }
  }

  @Test
  void aPicturePostedAgainHasTheFateOfTheFirst() {
    try (ContinualTrainer trainer = open(config("heldOut.share=0.3", "heldOut.size=200"))) {
      List<MinedPair> pairs = ScenePairs.of(3, 0, 60);
      accept(trainer, ScenePairs.groups(pairs, 4));
      int held = trainer.heldOutPairs();
      assertTrue(held > 8, held + " held out");
      List<MinedPair> again =
          pairs.stream()
              .map(
                  pair ->
                      new MinedPair(
                          "again-" + pair.id(),
                          pair.image(),
                          pair.shortCaption(),
                          pair.longCaption(),
                          pair.imageDigest(),
                          pair.captionDigest(),
                          pair.vector(),
                          0,
                          pair.eventTime(),
                          0,
                          1_000 + pair.offset()))
              .toList();
      accept(trainer, ScenePairs.groups(again, 4));
      assertEquals(2 * held, trainer.heldOutPairs());
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"SAMPLE", "NEWEST"})
  void whatIsMoreThanMayWaitIsShedAndCountedTheEasyBeforeTheHard(
      FineTuneConfig.WhenBehind whenBehind) throws IOException {
    FineTuneConfig config =
        config(
            "deterministic=false",
            "heldOut.share=0",
            "training.whenBehind=" + whenBehind,
            "training.maxLag=24");
    List<MinedPair> pairs = new ArrayList<>();
    List<PairGroup> groups = new ArrayList<>();
    for (int g = 0; g < 50; g++) {
      List<MinedPair> members = new ArrayList<>();
      for (MinedPair pair : ScenePairs.of(5, 2 * g, 2 * g + 2)) {
        byte[] vector = new byte[4];
        // In even groups the pictures are alike.
        vector[g % 2 == 0 ? 0 : members.size()] = 100;
        members.add(pair.mined(vector, 0));
      }
      pairs.addAll(members);
      groups.add(new PairGroup(members, 2));
    }
    byte[] state;
    try (ContinualTrainer trainer = open(config)) {
      groups.forEach(trainer::take);
      assertEquals(24, trainer.pendingPairs());
      assertEquals(76, trainer.ledger().entry(Fate.SHED).count());
      state = state(trainer);
    }
    List<String> trained = new ArrayList<>();
    TrainerHooks watch =
        new TrainerHooks() {
          @Override
          public List<PreparedPair> batch(long step, List<PreparedPair> batch) {
            batch.forEach(pair -> trained.add(pair.id()));
            return batch;
          }
        };
    try (ContinualTrainer trainer = open(config, watch)) {
      restore(trainer, state);
      while (trainer.ready()) {
        trainer.step();
      }
      assertEquals(
          Ledger.of(pairs.stream().map(MinedPair::id).toList()), trainer.ledger().accepted());
    }
    long hard =
        trained.stream()
            .mapToLong(id -> Long.parseLong(id.substring(id.lastIndexOf('-') + 1)) / 2)
            .filter(group -> group % 2 == 0)
            .count();
    assertEquals(24, trained.size());
    assertTrue(hard >= 16, hard + " of 24 pairs are of hard groups");
  }

  @Test
  void noVersionNamesTwoAdaptersOfRunsThatAreGone() {
    String[] often = {"deterministic=false", "publish.everySteps=2", "gate.minSample=2"};
    try (ContinualTrainer trainer = open(config(often))) {
      accept(trainer, GROUPS.subList(0, 12));
      List<AdapterLine.Version> mine = trainer.line().waiting();
      assertTrue(mine.size() > 1);
      // The first is there; in the second's place is one of a checkpoint that was aborted.
      trainer
          .line()
          .taken(
              List.of(
                  new AdapterLine.Taken(1, 1, mine.get(0).digest()),
                  new AdapterLine.Taken(1, 2, "d".repeat(64)),
                  new AdapterLine.Taken(1, 3, "e".repeat(64))),
              false);
      List<AdapterLine.Version> now = trainer.line().waiting();
      assertEquals(mine.get(0), now.get(0));
      assertEquals(4, now.get(1).n());
      assertEquals(mine.get(1).digest(), now.get(1).digest());
      var manifest = trainer.line().artifact(now.get(1).digest()).manifest();
      assertEquals(4, manifest.version().n());
    }
    FineTuneConfig config = config(often);
    try (ContinualTrainer fork =
        new ContinualTrainer(config, new TrainingEngine(config), TrainerHooks.NONE)) {
      fork.line().startEpoch();
      accept(fork, GROUPS.subList(0, 12));
      fork.line().taken(List.of(new AdapterLine.Taken(6, 2, "d".repeat(64))), true);
      assertEquals(7, fork.line().epoch());
      assertEquals(7, fork.line().waiting().get(0).epoch());
      assertEquals(1, fork.line().waiting().get(0).n());
    }
  }

  @Test
  void whatABrokerMayHaveAbortedIsAnnouncedAgainCountedFromItsTransactionsFirstRecord()
      throws IOException {
    byte[] open;
    byte[] settled;
    try (ContinualTrainer trainer = open(config())) {
      accept(trainer, GROUPS);
      List<AdapterLine.Version> waiting = trainer.line().waiting();
      waiting.forEach(version -> trainer.line().written(version, "somewhere"));
      waiting.forEach(version -> trainer.line().announced(1_000, 3));
      open = state(trainer);
      trainer.line().settle(2);
      assertEquals(state(trainer).length, open.length);
      trainer.line().settle(3);
      settled = state(trainer);
    }
    try (ContinualTrainer trainer = open(config())) {
      restore(trainer, open);
      // The snapshot was taken a while after the transaction began.
      trainer.line().restored(1_601, 600, 1_300);
      assertEquals(1, trainer.line().waiting().size());
      assertEquals(trainer.line().published(), trainer.line().waiting().get(0).digest());
      assertEquals(1, trainer.line().unwritten().size());
    }
    try (ContinualTrainer trainer = open(config())) {
      restore(trainer, open);
      trainer.line().restored(1_600, 600, 1_300);
      assertTrue(trainer.line().waiting().isEmpty());
    }
    try (ContinualTrainer trainer = open(config())) {
      restore(trainer, settled);
      trainer.line().restored(900_000, 600, 1_300);
      assertTrue(trainer.line().waiting().isEmpty(), "it was committed long ago");
    }
  }

  @Test
  void theManifestNamesLineageFiguresAndCalibration() {
    try (ContinualTrainer trainer = open(config())) {
      accept(trainer, GROUPS);
      var versions = trainer.line().waiting();
      var manifest = trainer.line().artifact(versions.get(1).digest()).manifest();
      assertEquals(versions.get(0).digest(), manifest.parent());
      assertEquals(trainer.baseDigest(), manifest.baseDigest());
      assertEquals(versions.get(1).step(), manifest.step());
      assertTrue(manifest.pairs() > 2 * manifest.step(), manifest.pairs() + " pairs");
      assertTrue(manifest.offsets().get("pairs-0") > 0);
      assertTrue(manifest.metrics().containsKey("heldOut.recallPublished"));
      assertEquals(3, manifest.calibration().curves().size());
      assertEquals("0.003", manifest.training().get("training.learningRate"));
      assertEquals(Decision.PUBLISH, trainer.figures().verdict.decision());
    }
  }

  @Test
  void stateOfAnotherBaseOrOfOtherSettingsIsRefusedWithTheRemedy() throws IOException {
    byte[] state;
    String weights;
    try (ContinualTrainer trainer = open(config())) {
      accept(trainer, GROUPS.subList(0, 4));
      state = state(trainer);
      weights = trainer.weights().digest();
    }
    assertRefused(state, "base.model", "base.model=" + OTHER);
    assertRefused(state, "adapter.rank was 2, is 4", "adapter.rank=4");
    assertRefused(
        state, "training.learningRate was 0.003, is 0.001", "training.learningRate=0.001");
    assertRefused(state, "training.resetOptimizer", "training.learningRate=0.001");
    assertRefused(
        "something else entirely".getBytes(java.nio.charset.StandardCharsets.UTF_8),
        "not of this job");
    try (ContinualTrainer trainer =
        open(config("training.learningRate=0.001", "training.resetOptimizer=true"))) {
      restore(trainer, state);
      assertEquals(weights, trainer.weights().digest());
    }
  }

  @Test
  void aSettingThatAnEarlierReleaseDidNotKnowCountsAsItsDefault() {
    String written =
        TrainingFingerprint.of(config()).replaceFirst("(?m)^training\\.clipNorm: .*\n", "");
    assertNotEquals(TrainingFingerprint.of(config()), written);
    assertEquals("", TrainingFingerprint.difference(written, config()));
    assertEquals(
        "training.clipNorm was " + FineTuneConfig.defaults().training().clipNorm() + ", is 7.0",
        TrainingFingerprint.difference(written, config("training.clipNorm=7")));
  }

  private static void assertRefused(byte[] state, String reason, String... overrides) {
    try (ContinualTrainer trainer = open(config(overrides))) {
      String message =
          assertThrows(BadInputException.class, () -> restore(trainer, state)).getMessage();
      assertTrue(message.contains(reason), message);
    }
  }
}
