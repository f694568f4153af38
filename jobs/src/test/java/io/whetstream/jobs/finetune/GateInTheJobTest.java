package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.registry.AdapterRegistry;
import io.whetstream.connectors.registry.RegistryOptions;
import io.whetstream.jobs.finetune.Faults.Place;
import io.whetstream.model.train.PreparedPair;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the gate keeps out while the demo base learns in the running job. */
@Tag("cluster")
class GateInTheJobTest {
  @TempDir static Path directory;
  private static FineTuneHarness harness;

  @BeforeAll
  static void start() throws Exception {
    harness = new FineTuneHarness(directory);
  }

  @AfterAll
  static void stop() throws Exception {
    harness.close();
  }

  private static final String[] LEARNING = {
    "training.globalBatch=64",
    "training.learningRate=0.005",
    "training.logitScale=30",
    "training.falseNegatives=KEEP",
    "heldOut.share=0.2",
    "heldOut.size=256",
    "gate.maxRefusals=3",
    "publish.everySteps=2",
    "mining.depth=0",
    "mining.tables=1",
    "mining.candidates=64",
    "base.model=demo",
    "publish.comparePublishedEvery=0",
    "publish.compareBaseEvery=0"
  };

  /** Scenes of which, after a good start, six in ten have the caption of another. */
  private static List<ImageTextPair> partlyShuffled(int good, int count) {
    List<ImageTextPair> pairs = new ArrayList<>(FineTuneJobTest.pairs(40, count));
    for (int i = good; i < count; i++) {
      if (i % 10 < 6) {
        ImageTextPair pair = pairs.get(i);
        ImageTextPair other = pairs.get(i - 7);
        pairs.set(
            i,
            new ImageTextPair(
                pair.id(),
                null,
                null,
                other.caption(),
                other.captionLong(),
                pair.source(),
                pair.eventTime(),
                pair.image(),
                null));
      }
    }
    return pairs;
  }

  @Test
  void nothingWorseThanWhatWasInUseIsPublishedFromAStreamWithShuffledCaptions() throws Exception {
    try (CapturedLog log = new CapturedLog(ContinualTrainer.class)) {
      FineTuneConfig config = harness.config("shuffled", 1, LEARNING);
      harness.produce(config, partlyShuffled(800, 2_000));
      harness.run(config, Faults.of("shuffled", Place.NOWHERE));
      List<AdapterAnnouncement> announced = harness.announcements(config);
      assertTrue(announced.size() >= 2, announced.toString());
      List<Double> recalls = recalls(config, announced);
      assertTrue(largestFall(recalls) < 0.03, recalls.toString());
      assertTrue(recalls.get(recalls.size() - 1) > recalls.get(0), recalls.toString());
      List<String> refusals = log.containing("change below gate.minChange");
      assertFalse(refusals.isEmpty());
      assertTrue(
          refusals.get(0).matches("Gate at step \\d+: REFUSE, held-out recall .* published, .*"),
          refusals.get(0));
    }
    // The guard guards: a gate that lets everything pass publishes worse ones.
    FineTuneConfig open =
        harness.config("shuffled-open", 1, FineTuneJobTest.with(LEARNING, "gate.minChange=-1"));
    harness.produce(open, partlyShuffled(800, 2_000));
    harness.run(open, Faults.of("shuffled-open", Place.NOWHERE));
    List<Double> recalls = recalls(open, harness.announcements(open));
    assertTrue(largestFall(recalls) > 0.05, recalls.toString());
  }

  /** R@1 of what was announced, in order, on pairs that the stream never had. */
  private static List<Double> recalls(FineTuneConfig config, List<AdapterAnnouncement> announced) {
    List<MinedPair> unseen = ScenePairs.of(77, 0, 400);
    int[] groups = HeldOutSet.groups(unseen);
    AdapterRegistry registry = AdapterRegistry.open(RegistryOptions.of(config.registry().uri()));
    try (TrainingEngine engine = new TrainingEngine(config)) {
      List<PreparedPair> prepared = engine.prepare(unseen);
      return announced.stream()
          .map(each -> registry.read(each.digest()).weights())
          .map(weights -> engine.embed(weights, prepared).recall(groups).mean())
          .toList();
    }
  }

  /** How much worse an adapter was than the best before it. */
  private static double largestFall(List<Double> recalls) {
    double best = Double.NEGATIVE_INFINITY;
    double fall = 0;
    for (double recall : recalls) {
      fall = Math.max(fall, best - recall);
      best = Math.max(best, recall);
    }
    return fall;
  }
}
