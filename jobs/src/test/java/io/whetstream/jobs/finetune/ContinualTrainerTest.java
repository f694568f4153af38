package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.jobs.finetune.Gate.Decision;
import io.whetstream.jobs.finetune.Ledger.Fate;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.train.PreparedPair;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
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
    trainer.startEpoch(1);
    return trainer;
  }

  private static byte[] state(ContinualTrainer trainer) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    trainer.write(new DataOutputStream(bytes));
    return bytes.toByteArray();
  }

  private static void restore(ContinualTrainer trainer, byte[] state) throws IOException {
    trainer.read(new DataInputStream(new ByteArrayInputStream(state)));
  }

  /** All that a run leaves behind. */
  private record Outcome(
      String digest, long step, String ledger, List<ContinualTrainer.Announced> versions) {
    static Outcome of(ContinualTrainer trainer) {
      return new Outcome(
          trainer.weights().digest(),
          trainer.stepNumber(),
          trainer.ledger().entries().toString(),
          trainer.waiting());
    }
  }

  private static Outcome unbroken() {
    try (ContinualTrainer trainer = open(config())) {
      GROUPS.forEach(trainer::accept);
      return Outcome.of(trainer);
    }
  }

  /** A run that is written after thirteen groups and read by another trainer. */
  private static Outcome broken(TrainerHooks hooks) throws IOException {
    byte[] state;
    try (ContinualTrainer first = open(config(), hooks)) {
      GROUPS.subList(0, 13).forEach(first::accept);
      assertTrue(first.pendingPairs() > 0, "an unfinished batch must be in the state");
      assertTrue(first.heldOutPairs() > 0);
      assertFalse(first.waiting().isEmpty());
      state = state(first);
    }
    try (ContinualTrainer second = open(config(), hooks)) {
      restore(second, state);
      GROUPS.subList(13, GROUPS.size()).forEach(second::accept);
      return Outcome.of(second);
    }
  }

  @Test
  void everyPairHasExactlyOneFate() {
    try (ContinualTrainer trainer = open(config())) {
      GROUPS.forEach(trainer::accept);
      assertEquals(
          Ledger.of(ScenePairs.of(1, 0, 120).stream().map(MinedPair::id).toList()),
          trainer.ledger().accepted());
      assertEquals(trainer.pendingPairs(), trainer.ledger().entry(Fate.PENDING).count());
      assertEquals(8 * trainer.stepNumber(), trainer.ledger().entry(Fate.TRAINED).count());
      assertTrue(trainer.ledger().entry(Fate.HELD_OUT).count() > 10);
    }
  }

  @Test
  void aRestoredTrainerEndsWhereAnUnbrokenOneDoes() throws IOException {
    assertEquals(unbroken(), broken(TrainerHooks.NONE));
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
    try (ContinualTrainer trainer = open(config(), without(missing))) {
      GROUPS.subList(0, 2).forEach(trainer::accept);
      state = state(trainer);
    }
    assertRefused(state, "it has no " + missing + "; restore from another savepoint");
  }

  private static TrainerHooks without(StatePart missing) {
    return new TrainerHooks() {
      @Override
      public boolean keeps(StatePart part) {
        return part != missing;
      }
    };
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
        trainer.accept(group);
        if (trainer.figures().skippedSteps == 1 && trainer.stepNumber() == steps && steps == 2) {
          assertEquals(before, trainer.weights().digest());
        }
      }
      assertEquals(1, trainer.figures().skippedSteps);
      assertEquals(8, trainer.ledger().entry(Fate.SKIPPED).count());
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
      batches.forEach(skipped::accept);
      without.forEach(never::accept);
      assertEquals(1, skipped.figures().skippedSteps);
      assertEquals(7, never.stepNumber());
      assertEquals(never.weights().digest(), skipped.weights().digest());
    }
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
        trainer.accept(group);
        if (trainer.figures().returns > returns && trainer.stepNumber() % 3 == 0) {
          after.add(trainer.weights().digest());
        }
      }
      assertTrue(trainer.figures().refusals >= 2);
      assertTrue(trainer.waiting().isEmpty());
      assertFalse(after.isEmpty());
      after.forEach(digest -> assertEquals(start, digest));
    }
  }

  @Test
  void afterARollbackNothingIsPublishedUntilResume() {
    try (ContinualTrainer trainer = open(config())) {
      GROUPS.subList(0, 10).forEach(trainer::accept);
      ContinualTrainer.Announced good = trainer.waiting().get(0);
      AdapterArtifact artifact = trainer.artifact(good.digest());
      trainer.announced();

      trainer.rollback(artifact);
      assertEquals(good.digest(), trainer.weights().digest());
      assertEquals(good.digest(), trainer.publishedDigest());
      GROUPS.subList(10, 15).forEach(trainer::accept);
      assertTrue(trainer.waiting().isEmpty());

      trainer.resume();
      GROUPS.subList(15, GROUPS.size()).forEach(trainer::accept);
      assertFalse(trainer.waiting().isEmpty());
      ContinualTrainer.Announced next = trainer.waiting().get(0);
      assertEquals(good.digest(), trainer.artifact(next.digest()).manifest().parent());
      assertTrue(next.n() > good.n());
    }
  }

  @Test
  void theManifestNamesLineageFiguresAndCalibration() {
    try (ContinualTrainer trainer = open(config())) {
      GROUPS.forEach(trainer::accept);
      var versions = trainer.waiting();
      var manifest = trainer.artifact(versions.get(1).digest()).manifest();
      assertEquals(versions.get(0).digest(), manifest.parent());
      assertEquals(trainer.baseDigest(), manifest.baseDigest());
      assertEquals(versions.get(1).step(), manifest.step());
      assertEquals(8 * manifest.step(), manifest.pairs());
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
      GROUPS.subList(0, 4).forEach(trainer::accept);
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
