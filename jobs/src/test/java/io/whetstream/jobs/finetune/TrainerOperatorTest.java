package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.connectors.registry.AdapterRegistry;
import io.whetstream.connectors.registry.RegistryOptions;
import io.whetstream.kafka.EmbeddedKafka;
import io.whetstream.model.adapter.AdapterArtifact;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.util.TwoInputStreamOperatorTestHarness;
import org.apache.flink.util.ExceptionUtils;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInfo;
import org.junit.jupiter.api.io.TempDir;

/** The trainer as an operator, beside a registry that does not always answer. */
class TrainerOperatorTest {
  private static final List<PairGroup> GROUPS = ScenePairs.groups(ScenePairs.of(1, 0, 240), 6);

  @TempDir private static Path directory;
  private static EmbeddedKafka broker;

  @BeforeAll
  static void start() throws Exception {
    broker = EmbeddedKafka.start(directory.resolve("kafka"), 0);
  }

  @AfterAll
  static void stop() throws Exception {
    broker.close();
  }

  @AfterEach
  void answer() {
    FaultyFileSystem.DOWN.set(false);
  }

  private static FineTuneConfig config(TestInfo test, String... overrides) {
    String name = test.getTestMethod().orElseThrow().getName();
    List<String> all = new ArrayList<>();
    all.add("name=" + name);
    all.add("kafka.bootstrapServers=" + broker.bootstrapServers());
    all.add("kafka.topicPrefix=" + name + ".");
    all.add("registry.uri=faulty://" + directory.resolve(name));
    all.add("base.model=../model/src/test/resources/golden/llava-tiny");
    all.add("base.device=cpu");
    all.add("base.threads=1");
    all.add("training.globalBatch=8");
    all.add("training.learningRate=0.003");
    all.add("adapter.rank=2");
    all.add("heldOut.share=0.2");
    all.add("heldOut.size=16");
    all.add("gate.minSample=4");
    all.add("gate.minChange=-1");
    all.add("publish.everySteps=1");
    all.add("publish.comparePublishedEvery=0");
    all.add("publish.compareBaseEvery=0");
    all.addAll(List.of(overrides));
    FineTuneConfig config = FineTuneConfig.loader().parse("", "test", all);
    try (Admin admin = config.kafka().connection().admin()) {
      new Topics(config.kafka().topicPrefix()).create(admin, 1, (short) 1);
    }
    return config;
  }

  /** The operator, and what it would be given by its task. */
  private static final class Stage implements AutoCloseable {
    private final TwoInputStreamOperatorTestHarness<PairGroup, AdapterControl, AdapterAnnouncement>
        harness;
    private ContinualTrainer trainer;
    private long checkpoint;

    Stage(FineTuneConfig config, OperatorSubtaskState restored) throws Exception {
      TrainerHooks hooks =
          new TrainerHooks() {
            @Override
            public void afterSnapshot(long number, ContinualTrainer seen) {
              trainer = seen;
            }
          };
      harness =
          new TwoInputStreamOperatorTestHarness<>(new TrainerOperator(config, hooks), 1, 1, 0);
      harness.setup(
          io.whetstream.connectors.types.Types.of(RecordType.ADAPTER)
              .createSerializer(harness.getExecutionConfig().getSerializerConfig()));
      if (restored != null) {
        harness.initializeState(restored);
      }
      harness.open();
    }

    void add(List<PairGroup> groups) throws Exception {
      for (PairGroup group : groups) {
        harness.processElement1(new StreamRecord<>(group));
        mails();
      }
    }

    void order(AdapterControl control) throws Exception {
      harness.processElement2(new StreamRecord<>(control));
    }

    private void mails() throws Exception {
      for (var mail = harness.getTaskMailbox().tryTake(0);
          mail.isPresent();
          mail = harness.getTaskMailbox().tryTake(0)) {
        mail.get().run();
      }
    }

    /** A checkpoint that completes. */
    OperatorSubtaskState checkpoint() throws Exception {
      checkpoint++;
      harness.prepareSnapshotPreBarrier(checkpoint);
      OperatorSubtaskState state = harness.snapshot(checkpoint, checkpoint);
      harness.notifyOfCompletedCheckpoint(checkpoint);
      return state;
    }

    List<AdapterAnnouncement> announced() {
      return harness.extractOutputValues();
    }

    void awaitCheckpointed(String what, java.util.function.BooleanSupplier condition)
        throws Exception {
      long deadline = System.nanoTime() + TimeUnit.MINUTES.toNanos(2);
      while (!condition.getAsBoolean()) {
        assertTrue(System.nanoTime() < deadline, what);
        mails();
        checkpoint();
        TimeUnit.MILLISECONDS.sleep(20);
      }
    }

    @Override
    public void close() throws Exception {
      harness.close();
    }
  }

  private static void announce(FineTuneConfig config, AdapterAnnouncement announcement)
      throws Exception {
    String topic = new Topics(config.kafka().topicPrefix()).adapters();
    try (KafkaProducer<byte[], byte[]> producer =
        KafkaConnection.of(broker.bootstrapServers()).producer(Topics.MAX_RECORD_BYTES)) {
      producer
          .send(
              new ProducerRecord<>(
                  topic,
                  config.name().getBytes(StandardCharsets.UTF_8),
                  RecordFormat.json()
                      .codec(RecordType.ADAPTER, topic + "-value")
                      .encode(announcement)))
          .get(1, TimeUnit.MINUTES);
    }
  }

  @Test
  void aRegistryThatDoesNotAnswerStopsNeitherTrainingNorCheckpoints(TestInfo test)
      throws Exception {
    FineTuneConfig config = config(test);
    FaultyFileSystem.DOWN.set(true);
    try (Stage stage = new Stage(config, null)) {
      for (PairGroup group : GROUPS) {
        stage.add(List.of(group));
        stage.checkpoint();
      }
      assertTrue(stage.announced().isEmpty());
      assertTrue(stage.trainer.stepNumber() > 20, "step " + stage.trainer.stepNumber());
      assertEquals(AdapterLine.MOST_PASSED, stage.trainer.line().waiting().size());
      FaultyFileSystem.DOWN.set(false);
      stage.awaitCheckpointed("all announced", () -> stage.trainer.line().waiting().isEmpty());
      List<AdapterAnnouncement> announced = stage.announced();
      assertEquals(AdapterLine.MOST_PASSED, announced.size());
      AdapterRegistry registry = AdapterRegistry.open(RegistryOptions.of(config.registry().uri()));
      String parent = null;
      for (AdapterAnnouncement each : announced) {
        AdapterArtifact artifact = registry.read(each.digest(), each.manifestDigest());
        assertEquals(each.n(), artifact.manifest().version().n());
        assertEquals(parent, each.parentDigest());
        parent = each.digest();
      }
    }
  }

  @Test
  void deterministicTrainingWaitsInsteadAndCheckpointsGoOn(TestInfo test) throws Exception {
    FineTuneConfig config = config(test, "deterministic=true");
    FaultyFileSystem.DOWN.set(true);
    try (Stage stage = new Stage(config, null)) {
      for (PairGroup group : GROUPS) {
        stage.add(List.of(group));
        stage.checkpoint();
      }
      assertTrue(stage.announced().isEmpty());
      assertEquals(AdapterLine.MOST_PASSED + 1, stage.trainer.line().waiting().size());
      long waited = stage.trainer.stepNumber();
      FaultyFileSystem.DOWN.set(false);
      stage.awaitCheckpointed(
          "training goes on",
          () ->
              stage.trainer.stepNumber() > waited + 20 && stage.trainer.line().waiting().isEmpty());
      assertEquals(
          Ledger.of(ScenePairs.of(1, 0, 240).stream().map(MinedPair::id).toList()),
          stage.trainer.ledger().accepted());
    }
  }

  @Test
  void anOrderIsCarriedOutWhenTheRegistryAnswersAgainThroughARestart(TestInfo test)
      throws Exception {
    FineTuneConfig config = config(test);
    OperatorSubtaskState state;
    String good;
    long step;
    try (Stage stage = new Stage(config, null)) {
      stage.add(GROUPS.subList(0, 10));
      stage.checkpoint();
      stage.awaitCheckpointed("two announced", () -> stage.announced().size() >= 2);
      good = stage.announced().get(0).digest();
      FaultyFileSystem.DOWN.set(true);
      step = stage.trainer.stepNumber();
      stage.order(AdapterControl.rollback(config.name(), good, "test", 1));
      stage.add(GROUPS.subList(10, 14));
      state = stage.checkpoint();
      assertTrue(stage.trainer.paused());
      assertEquals(good, stage.trainer.order());
      assertEquals(step, stage.trainer.stepNumber());
    }
    try (Stage stage = new Stage(config, state)) {
      stage.add(GROUPS.subList(14, 16));
      stage.checkpoint();
      assertEquals(good, stage.trainer.order());
      assertEquals(step, stage.trainer.stepNumber());
      FaultyFileSystem.DOWN.set(false);
      stage.awaitCheckpointed("gone back", () -> stage.trainer.order().isEmpty());
      assertEquals(good, stage.trainer.line().published());
      assertTrue(stage.trainer.paused());
      assertTrue(stage.trainer.line().waiting().isEmpty());
    }
  }

  @Test
  void anOrderForAnAdapterThatIsNotThereIsRefusedAndTrainingGoesOn(TestInfo test) throws Exception {
    FineTuneConfig config = config(test);
    try (Stage stage = new Stage(config, null)) {
      stage.add(GROUPS.subList(0, 4));
      stage.order(AdapterControl.rollback(config.name(), "a".repeat(64), "test", 1));
      stage.order(AdapterControl.rollback("another-stream", "b".repeat(64), "test", 1));
      stage.checkpoint();
      stage.awaitCheckpointed("refused", () -> stage.trainer.order().isEmpty());
      assertFalse(stage.trainer.paused());
      long step = stage.trainer.stepNumber();
      stage.add(GROUPS.subList(4, 12));
      assertTrue(stage.trainer.stepNumber() > step);
    }
  }

  @Test
  void aStartWithoutStateGoesOnFromWhatTheStreamHasOrRefuses(TestInfo test) throws Exception {
    FineTuneConfig config = config(test);
    AdapterAnnouncement last;
    try (Stage stage = new Stage(config, null)) {
      stage.add(GROUPS.subList(0, 10));
      stage.checkpoint();
      stage.awaitCheckpointed("announced", () -> stage.announced().size() >= 2);
      last = stage.announced().get(stage.announced().size() - 1);
      for (AdapterAnnouncement each : stage.announced()) {
        announce(config, each);
      }
    }
    try (Stage stage = new Stage(config, null)) {
      stage.checkpoint();
      assertEquals(last.digest(), stage.trainer.line().published());
      assertEquals(last.digest(), stage.trainer.weights().digest());
      stage.add(GROUPS.subList(10, 20));
      stage.awaitCheckpointed("announced", () -> !stage.announced().isEmpty());
      assertEquals(last.digest(), stage.announced().get(0).parentDigest());
      assertTrue(stage.announced().get(0).epoch() > last.epoch());
    }
    String refusal =
        ExceptionUtils.stringifyException(
            assertThrows(
                Exception.class,
                () -> {
                  try (Stage stage = new Stage(config(test, "adapter.rank=4"), null)) {
                    assertNotNull(stage);
                  }
                }));
    assertTrue(refusal.contains("has announced adapter " + last.digest()), refusal);
    assertTrue(refusal.contains("startFresh: true"), refusal);
    try (Stage stage = new Stage(config(test, "adapter.rank=4", "startFresh=true"), null)) {
      stage.checkpoint();
      assertEquals("", stage.trainer.line().published());
      assertTrue(stage.trainer.line().epoch() > last.epoch());
    }
  }
}
