package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.records.QueryStatus.State;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.state.rocksdb.EmbeddedRocksDBStateBackend;
import org.apache.flink.streaming.api.operators.KeyedProcessOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;

class AlertSuppressorTest {
  private static final String CONFIG =
      """
      suppression:
        coolDown: 1s
        finalCountAfter: 500ms
        floodWindow: 1m
        floodMatches: 100
        quarantine: 10s
      """;

  private final List<Alert> raised = new ArrayList<>();
  private final List<QueryStatus> answers = new ArrayList<>();

  private KeyedOneInputStreamOperatorTestHarness<String, MatchedItem, Alert> harness(
      OperatorSubtaskState state) throws Exception {
    KeyedOneInputStreamOperatorTestHarness<String, MatchedItem, Alert> harness =
        new KeyedOneInputStreamOperatorTestHarness<>(
            new KeyedProcessOperator<>(new AlertSuppressor(ScoreConfig.parse(CONFIG, List.of()))),
            MatchedItem::queryId,
            Types.STRING);
    harness.setStateBackend(new EmbeddedRocksDBStateBackend());
    harness
        .getExecutionConfig()
        .configure(
            new Configuration().set(PipelineOptions.GENERIC_TYPES, false),
            AlertSuppressorTest.class.getClassLoader());
    if (state != null) {
      harness.initializeState(state);
    }
    harness.open();
    return harness;
  }

  private void drain(KeyedOneInputStreamOperatorTestHarness<String, MatchedItem, Alert> harness) {
    harness.extractOutputStreamRecords().forEach(record -> raised.add(record.getValue()));
    harness.getOutput().clear();
    if (harness.getSideOutput(AlertSuppressor.EVENTS) != null) {
      for (StreamRecord<QueryStatus> record : harness.getSideOutput(AlertSuppressor.EVENTS)) {
        answers.add(record.getValue());
      }
      harness.getSideOutput(AlertSuppressor.EVENTS).clear();
    }
  }

  private static MatchedItem match(String query, long revision, String text, long time) {
    Coordinates at = new Coordinates("items", 0, time);
    return new MatchedItem(
        new Alert(
            MatchedItem.alertId(at, query, revision, "d"),
            "item-" + time,
            at,
            "i",
            query,
            revision,
            new Coordinates("queries", 0, revision),
            "q",
            "d",
            0,
            1,
            "b",
            List.of(new Alert.Score(MatchKind.TEXT_TEXT, 0.9, 0.5)),
            List.of(new Alert.Near("other", MatchKind.TEXT_TEXT, 0.4)),
            0,
            false,
            time,
            time),
        ContentGroup.of(text),
        -1);
  }

  @Test
  void countsSurviveARestoreAndAreGivenByTheTimer() throws Exception {
    OperatorSubtaskState snapshot;
    try (var harness = harness(null)) {
      harness.processElement(match("q", 1, "buy now", 100), 100);
      harness.processElement(match("q", 1, "Buy now!", 200), 200);
      harness.processElement(match("q", 1, "sell", 300), 300);
      snapshot = harness.snapshot(1, 1);
      drain(harness);
    }
    assertEquals(2, raised.size());
    try (var harness = harness(snapshot)) {
      harness.processElement(match("q", 1, "buy NOW", 400), 400);
      harness.processWatermark(1599);
      drain(harness);
      assertEquals(2, raised.size());
      harness.processWatermark(1600);
      drain(harness);
      assertEquals(3, raised.size());
      Alert last = raised.get(2);
      assertTrue(last.finalCount());
      assertEquals(2, last.suppressed());
      assertEquals("item-100", last.itemId());
      harness.processWatermark(5000);
      assertEquals(0, harness.numEventTimeTimers());
    }
  }

  @Test
  void aFloodingQueryIsQuarantinedWithAnEventAndTheOthersAreNot() throws Exception {
    try (var harness = harness(null)) {
      for (int i = 0; i < 1000; i++) {
        harness.processElement(match("everything", 1, "text " + i, i), i);
        if (i % 100 == 0) {
          harness.processElement(match("rare", 1, "text " + i, i), i);
        }
      }
      drain(harness);
      assertEquals(100, count("everything"));
      assertEquals(10, count("rare"));
      assertEquals(List.of(State.QUARANTINED), answers.stream().map(QueryStatus::state).toList());
      assertEquals(10_100, answers.get(0).untilMillis());
      harness.processWatermark(10_100);
      drain(harness);
      assertEquals(State.RELEASED, answers.get(1).state());
      assertEquals(900, answers.get(1).matches());
    }
  }

  private long count(String query) {
    return raised.stream().filter(alert -> alert.queryId().equals(query)).count();
  }

  @Test
  void aChangedQueryStartsAnewAndTheOldCountIsGiven() throws Exception {
    try (var harness = harness(null)) {
      harness.processElement(match("q", 1, "buy", 100), 100);
      harness.processElement(match("q", 1, "buy", 200), 200);
      harness.processElement(match("q", 7, "buy", 300), 300);
      drain(harness);
    }
    assertEquals(List.of(false, true, false), raised.stream().map(Alert::finalCount).toList());
    assertEquals(1, raised.get(1).suppressed());
    assertEquals(7, raised.get(2).queryRevision());
  }

  @Test
  void everyMatchIsCountedOnceOverRestores() throws Exception {
    Random random = new Random(11);
    OperatorSubtaskState state = null;
    long time = 0;
    for (int run = 0; run < 5; run++) {
      try (var harness = harness(state)) {
        for (int i = 0; i < 400; i++) {
          time += random.nextInt(60);
          harness.processElement(match("q", 1, "text " + random.nextInt(5), time), time);
          if (random.nextInt(20) == 0) {
            harness.processWatermark(time - 50);
          }
        }
        if (run == 4) {
          harness.processWatermark(Long.MAX_VALUE);
        }
        state = harness.snapshot(run, run);
        drain(harness);
      }
    }
    long alerts = raised.stream().filter(alert -> !alert.finalCount()).count();
    long suppressed = raised.stream().mapToLong(Alert::suppressed).sum();
    long quarantined = answers.stream().mapToLong(QueryStatus::matches).sum();
    assertEquals(2000, alerts + suppressed + quarantined);
    assertTrue(quarantined > 0 && suppressed > 0);
  }
}
