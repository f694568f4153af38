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
        maxGroups: 1000
        quarantine: 10s
      """;

  private final List<Alert> raised = new ArrayList<>();
  private final List<Alert> withheld = new ArrayList<>();
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
    if (harness.getSideOutput(AlertSuppressor.WITHHELD) != null) {
      for (StreamRecord<Alert> record : harness.getSideOutput(AlertSuppressor.WITHHELD)) {
        withheld.add(record.getValue());
      }
      harness.getSideOutput(AlertSuppressor.WITHHELD).clear();
    }
  }

  private static MatchedItem match(String query, long revision, String text, long time) {
    return match(query, revision, text, time, -1);
  }

  private static MatchedItem match(
      String query, long revision, String text, long time, long coolDown) {
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
            false,
            time,
            time),
        ContentGroup.of(text),
        coolDown);
  }

  private static void send(
      KeyedOneInputStreamOperatorTestHarness<String, MatchedItem, Alert> harness,
      MatchedItem match,
      long clock)
      throws Exception {
    harness.setProcessingTime(clock);
    harness.processElement(match, match.alert().eventTime());
  }

  @Test
  void countsSurviveARestoreAndAreGivenByTheTimer() throws Exception {
    OperatorSubtaskState snapshot;
    try (var harness = harness(null)) {
      send(harness, match("q", 1, "buy now", 100), 100);
      send(harness, match("q", 1, "Buy now!", 200), 200);
      send(harness, match("q", 1, "sell", 300), 300);
      snapshot = harness.snapshot(1, 1);
      drain(harness);
    }
    assertEquals(2, raised.size());
    try (var harness = harness(snapshot)) {
      send(harness, match("q", 1, "buy NOW", 400), 400);
      harness.setProcessingTime(1599);
      drain(harness);
      assertEquals(2, raised.size());
      harness.setProcessingTime(1600);
      drain(harness);
      assertEquals(3, raised.size());
      Alert last = raised.get(2);
      assertTrue(last.finalCount());
      assertEquals(2, last.suppressed());
      assertEquals("item-100", last.itemId());
      harness.setProcessingTime(59_999);
      assertEquals(1, harness.numProcessingTimeTimers());
      // The flood window's end.
      harness.setProcessingTime(60_000);
      assertEquals(0, harness.numProcessingTimeTimers());
    }
  }

  @Test
  void aFloodOfGroupsThatEndOneByOneIsCountedAllTheSame() throws Exception {
    try (var harness = harness(null)) {
      for (int i = 0; i <= 100; i++) {
        send(harness, match("q", 1, "unlike " + i, i, 0), 550L * i);
        drain(harness);
        assertEquals(i < 100, answers.isEmpty(), "after " + i);
      }
      harness.setProcessingTime(200_000);
      drain(harness);
      assertEquals(
          List.of(State.QUARANTINED, State.RELEASED),
          answers.stream().map(QueryStatus::state).toList());
      assertEquals(0, harness.numProcessingTimeTimers());
    }
  }

  @Test
  void theEndOfTheInputGivesWhatIsStillCounted() throws Exception {
    try (var harness = harness(null)) {
      send(harness, match("q", 1, "buy", 100), 100);
      send(harness, match("q", 1, "buy", 200), 200);
      harness.processWatermark(1_000_000_000_000L);
      drain(harness);
      assertEquals(1, raised.size());
      harness.processWatermark(Long.MAX_VALUE);
      drain(harness);
      assertEquals(1, raised.get(1).suppressed());
    }
  }

  /** One record of the year 3000 used to silence its group, or its query, until then. */
  @Test
  void eventTimesAheadOfTheClockExtendNeitherCoolDownNorQuarantine() throws Exception {
    long year3000 = 32_503_680_000_000L;
    try (var harness = harness(null)) {
      send(harness, match("q", 1, "buy", year3000), 1_000);
      for (int i = 0; i < 200; i++) {
        send(harness, match("q", 1, "text " + i, year3000 + i), 1_000);
      }
      drain(harness);
      assertEquals(11_000, answers.get(0).untilMillis());
      raised.clear();
      // Both are over: by the clock, and by nothing else.
      send(harness, match("q", 1, "buy", 5), 11_000);
      send(harness, match("q", 1, "buy", year3000 - 1), 12_000);
      drain(harness);
    }
    assertEquals(List.of("item-5", "item-" + (year3000 - 1)), ids(raised));
    assertEquals(
        List.of(State.QUARANTINED, State.RELEASED),
        answers.stream().map(QueryStatus::state).toList());
  }

  private static List<String> ids(List<Alert> alerts) {
    return alerts.stream().filter(alert -> !alert.finalCount()).map(Alert::itemId).toList();
  }

  @Test
  void aFloodHidesNothingFromAQueryAndWhatIsWithheldIsKept() throws Exception {
    try (var harness = harness(null)) {
      for (int i = 0; i < 1000; i++) {
        send(harness, match("everything", 1, "text " + i % 150, i), i);
        if (i % 100 == 0) {
          send(harness, match("rare", 1, "text " + i, i), i);
        }
      }
      send(harness, match("everything", 1, "what they would hide", 5_000), 1_000);
      drain(harness);
      assertEquals(10, count("rare"));
      assertEquals(List.of(State.QUARANTINED), answers.stream().map(QueryStatus::state).toList());
      assertEquals(10_100, answers.get(0).untilMillis());
      assertTrue(ids(raised).contains("item-5000"));
      // Every group once, and of their 850 copies one in a hundred.
      assertEquals(151 + 8, count("everything"));
      assertEquals(842, withheld.size());
      assertEquals(842, withheld.stream().map(Alert::alertId).distinct().count());
      harness.setProcessingTime(10_100);
      drain(harness);
      assertEquals(State.RELEASED, answers.get(1).state());
      assertEquals(842, answers.get(1).matches());
    }
  }

  private long count(String query) {
    return raised.stream()
        .filter(alert -> alert.queryId().equals(query) && !alert.finalCount())
        .count();
  }

  @Test
  void aChangedQueryStartsAnewAndTheOldCountIsGiven() throws Exception {
    try (var harness = harness(null)) {
      send(harness, match("q", 1, "buy", 100), 100);
      send(harness, match("q", 1, "buy", 200), 200);
      send(harness, match("q", 7, "buy", 300), 300);
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
          time += random.nextInt(i % 200 < 100 ? 60 : 3);
          String text = "text " + random.nextInt(i % 200 < 100 ? 5 : 500);
          send(harness, match("q", 1, text, time), time);
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
    assertEquals(withheld.size(), quarantined);
    assertTrue(quarantined > 0 && suppressed > 0);
  }
}
