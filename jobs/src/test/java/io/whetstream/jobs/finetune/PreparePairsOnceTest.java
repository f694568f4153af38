package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.types.Read;
import java.util.List;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.state.rocksdb.EmbeddedRocksDBStateBackend;
import org.apache.flink.streaming.api.operators.KeyedProcessOperator;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;

/** Of pairs with one id, one is let through. */
class PreparePairsOnceTest {
  private static final long REMEMBER = 1_000;
  private static final byte[] PNG = ScenePairs.of(1, 0, 1).get(0).image();
  private static final FineTuneConfig CONFIG =
      FineTuneConfig.loader()
          .parse(
              "",
              "test",
              List.of(
                  "base.model=../model/src/test/resources/golden/llava-tiny",
                  "prepare.deduplicateFor=" + REMEMBER + "ms"));

  /** The operator on RocksDB. */
  private static final class Stage implements AutoCloseable {
    private final KeyedOneInputStreamOperatorTestHarness<String, Read<ImageTextPair>, PreparedImage>
        harness;
    private final PreparePairs prepare = new PreparePairs(CONFIG);

    Stage(OperatorSubtaskState restored) throws Exception {
      harness =
          new KeyedOneInputStreamOperatorTestHarness<>(
              new KeyedProcessOperator<>(prepare), read -> read.value().id(), Types.STRING);
      harness.setStateBackend(new EmbeddedRocksDBStateBackend(true));
      harness.setup(
          StreamTypes.PREPARED.createSerializer(
              harness.getExecutionConfig().getSerializerConfig()));
      if (restored != null) {
        harness.initializeState(restored);
      }
      harness.open();
    }

    void add(String id, long time) throws Exception {
      add(id, time, PNG);
    }

    void add(String id, long time, byte[] image) throws Exception {
      ImageTextPair pair =
          new ImageTextPair(id, null, null, "a red circle", null, "test", time, image, null);
      harness.processElement(
          Read.of(new Coordinates("pairs", 0, time), time, null, new byte[] {2}, pair), time);
    }

    List<String> passed() {
      return harness.extractOutputValues().stream()
          .map(image -> image.pair().id() + "@" + image.pair().eventTime())
          .toList();
    }

    @Override
    public void close() throws Exception {
      harness.close();
    }
  }

  @Test
  void theFirstPairOfAnIdPassesAndTheOthersDoNotForAWhileOfEventTime() throws Exception {
    try (Stage stage = new Stage(null)) {
      stage.add("a", 0);
      stage.add("b", 10);
      stage.add("a", 20);
      stage.add("a", REMEMBER - 1);
      stage.add("b", REMEMBER + 9);
      stage.add("a", REMEMBER);
      assertEquals(List.of("a@0", "b@10", "a@" + REMEMBER), stage.passed());
    }
  }

  @Test
  void whatCountsIsEventTimeWhetherOrNotTheWatermarkHasCome() throws Exception {
    try (Stage early = new Stage(null);
        Stage late = new Stage(null)) {
      for (Stage stage : List.of(early, late)) {
        stage.add("a", 0);
        if (stage == early) {
          stage.harness.processWatermark(REMEMBER - 1);
        }
        stage.add("a", REMEMBER - 1);
        stage.add("a", REMEMBER + 1);
      }
      assertEquals(List.of("a@0", "a@" + (REMEMBER + 1)), early.passed());
      assertEquals(early.passed(), late.passed());
    }
  }

  @Test
  void idsAreForgottenSoThatStateIsBounded() throws Exception {
    try (Stage stage = new Stage(null)) {
      for (int i = 0; i < 50; i++) {
        stage.add("p" + i, i);
      }
      assertEquals(50, stage.harness.numEventTimeTimers());
      stage.harness.processWatermark(REMEMBER + 100);
      assertEquals(0, stage.harness.numEventTimeTimers());
      // Late and of an old time, but nothing is known of it any more.
      stage.add("p0", 0);
      assertEquals(51, stage.passed().size());
    }
  }

  @Test
  void inABackfillWhatIsOlderThanTheWatermarkIsRememberedAsLongAsAnythingElse() throws Exception {
    try (Stage stage = new Stage(null)) {
      stage.add("new", 50_000);
      stage.harness.processWatermark(50_000);
      stage.add("old", 7);
      stage.harness.processWatermark(50_500);
      stage.add("old", 7);
      stage.harness.processWatermark(50_000 + REMEMBER - 1);
      stage.add("old", 8);
      assertEquals(List.of("new@50000", "old@7"), stage.passed());
      stage.harness.processWatermark(50_000 + REMEMBER);
      assertEquals(0, stage.harness.numEventTimeTimers());
      stage.add("old", 9);
      assertEquals(List.of("new@50000", "old@7", "old@9"), stage.passed());
    }
  }

  @Test
  void aCorrectedPairIsTakenUnderAnIdThatWasRefused() throws Exception {
    try (Stage stage = new Stage(null)) {
      stage.add("a", 0, new byte[] {1, 2, 3});
      assertEquals(1, stage.harness.getSideOutput(PreparePairs.DEAD).size());
      stage.add("a", 5);
      stage.add("a", 6);
      assertEquals(List.of("a@5"), stage.passed());
      // What is wrong is refused as a duplicate once there is a right one.
      stage.add("a", 7, new byte[] {1, 2, 3});
      assertEquals(1, stage.harness.getSideOutput(PreparePairs.DEAD).size());
    }
  }

  @Test
  void whatWasSeenAndDroppedIsKnownAfterARestore() throws Exception {
    OperatorSubtaskState state;
    try (Stage before = new Stage(null)) {
      before.add("a", 0);
      before.add("a", 1);
      assertEquals(1, before.prepare.duplicates());
      state = before.harness.snapshot(1, 1);
    }
    try (Stage after = new Stage(state)) {
      after.add("a", 5);
      after.add("b", 6);
      assertEquals(List.of("b@6"), after.passed());
      assertEquals(2, after.prepare.duplicates());
    }
  }
}
