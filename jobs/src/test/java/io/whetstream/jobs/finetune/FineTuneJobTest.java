package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.registry.AdapterRegistry;
import io.whetstream.connectors.registry.RegistryOptions;
import io.whetstream.model.adapter.AdapterArtifact;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The whole job on a real broker, Flink cluster and RocksDB, with a tiny base. */
class FineTuneJobTest {
  private static final String[] TINY = {
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

  /** Keeps what a run ended with, under the run's name. */
  record Recorder(String run) implements TrainerHooks {
    private static final long serialVersionUID = 1L;
    private static final Map<String, Outcome> OUTCOMES = new ConcurrentHashMap<>();

    @Override
    public void atEnd(ContinualTrainer trainer) {
      OUTCOMES.put(run, Outcome.of(trainer));
    }

    Outcome outcome() {
      return OUTCOMES.get(run);
    }
  }

  /** What a run ended with. */
  record Outcome(String digest, long step, Ledger.Entry accepted, String ledger) {
    static Outcome of(ContinualTrainer trainer) {
      return new Outcome(
          trainer.weights().digest(),
          trainer.stepNumber(),
          trainer.ledger().accepted(),
          trainer.ledger().entries().toString());
    }
  }

  static String[] with(String... more) {
    List<String> all = new ArrayList<>(List.of(TINY));
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
    Recorder recorder = new Recorder("thread");
    harness.run(config, recorder);

    Set<String> ids = new HashSet<>(pairs.stream().map(ImageTextPair::id).toList());
    assertEquals(Ledger.of(ids), recorder.outcome().accepted());
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
    assertTrue(recorder.outcome().step() >= 25, recorder.outcome().toString());
  }
}
