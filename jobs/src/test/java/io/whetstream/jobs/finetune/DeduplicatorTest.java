package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.whetstream.connectors.format.RecordType;
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

class DeduplicatorTest {
  private static final long REMEMBER = 1_000;

  /** The operator on RocksDB. */
  private static final class Stage implements AutoCloseable {
    private final KeyedOneInputStreamOperatorTestHarness<
            String, Read<ImageTextPair>, Read<ImageTextPair>>
        harness;
    private final Deduplicator deduplicator = new Deduplicator(REMEMBER);

    Stage(OperatorSubtaskState restored) throws Exception {
      harness =
          new KeyedOneInputStreamOperatorTestHarness<>(
              new KeyedProcessOperator<>(deduplicator), read -> read.value().id(), Types.STRING);
      harness.setStateBackend(new EmbeddedRocksDBStateBackend(true));
      harness.setup(
          Read.typeInfo(RecordType.PAIR)
              .createSerializer(harness.getExecutionConfig().getSerializerConfig()));
      if (restored != null) {
        harness.initializeState(restored);
      }
      harness.open();
    }

    void add(String id, long time) throws Exception {
      ImageTextPair pair =
          new ImageTextPair(id, null, null, "caption", null, "test", time, new byte[] {1}, null);
      harness.processElement(
          Read.of(new Coordinates("pairs", 0, time), time, null, new byte[] {2}, pair), time);
    }

    List<String> passed() {
      return harness.extractOutputValues().stream()
          .map(read -> read.value().id() + "@" + read.value().eventTime())
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
  void whatWasSeenAndDroppedIsKnownAfterARestore() throws Exception {
    OperatorSubtaskState state;
    try (Stage before = new Stage(null)) {
      before.add("a", 0);
      before.add("a", 1);
      assertEquals(1, before.deduplicator.duplicates());
      state = before.harness.snapshot(1, 1);
    }
    try (Stage after = new Stage(state)) {
      after.add("a", 5);
      after.add("b", 6);
      assertEquals(List.of("b@6"), after.passed());
      assertEquals(2, after.deduplicator.duplicates());
    }
  }
}
