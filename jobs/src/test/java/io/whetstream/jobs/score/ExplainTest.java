package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.jobs.score.Explanation.Verdict;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.flink.api.common.JobID;
import org.junit.jupiter.api.Test;

/** What the commands {@code explain} and {@code backtest} work with. */
class ExplainTest extends RealScoreJob {
  private static final int ITEMS = 12;

  private AdapterArtifact first;
  private AdapterArtifact second;

  /** Items alerted under a first adapter; then a second one is published. */
  private Map<String, Alert> alerted() throws Exception {
    query("picture", null, picture(3), MatchKind.IMAGE_IMAGE, 0.99999);
    query("words", caption(5), null, MatchKind.TEXT_TEXT, 0.99999);
    first = publish(adapter(1));
    for (int i = 0; i < ITEMS; i++) {
      item("item" + i, picture(i), caption(i), 1000 + i);
    }
    cluster.flush();
    JobID job = submit(config());
    ScoreCluster.await("planted items are alerted", () -> alerts().size() == 2);
    cluster.cancel(job);
    second = publish(adapter(2));
    return alerts().stream().collect(Collectors.toMap(Alert::queryId, alert -> alert));
  }

  private static Alert with(Alert alert, Coordinates item, Coordinates query, String digest) {
    return new Alert(
        alert.alertId(),
        alert.itemId(),
        item,
        alert.itemDigest(),
        alert.queryId(),
        alert.queryRevision(),
        query,
        alert.queryDigest(),
        digest,
        alert.adapterEpoch(),
        alert.adapterN(),
        alert.baseDigest(),
        alert.scores(),
        alert.nearest(),
        0,
        false,
        alert.eventTime(),
        alert.processingTime());
  }

  private static Alert withThreshold(Alert alert, double score, double threshold) {
    return new Alert(
        alert.alertId(),
        alert.itemId(),
        alert.itemAt(),
        alert.itemDigest(),
        alert.queryId(),
        alert.queryRevision(),
        alert.queryAt(),
        alert.queryDigest(),
        alert.adapterDigest(),
        alert.adapterEpoch(),
        alert.adapterN(),
        alert.baseDigest(),
        List.of(new Alert.Score(alert.scores().get(0).kind(), score, threshold)),
        List.of(),
        0,
        false,
        alert.eventTime(),
        alert.processingTime());
  }

  @Test
  void anAlertIsComputedAgainUnderItsAdapterAndThePublishedOne() throws Exception {
    Alert alert = alerted().get("picture");
    try (Explainer explainer = new Explainer(config())) {
      Explanation explanation = explainer.explain(explainer.find(alert.alertId()));
      assertTrue(explanation.retained());
      assertTrue(explanation.reproduces());
      assertEquals(first.digest(), explanation.adapterDigest());
      assertEquals(second.digest(), explanation.publishedDigest());
      // A picture is always its own nearest, whatever the adapter.
      assertTrue(explanation.holdsUnderPublished());
      assertEquals(alert.scores().get(0).score(), explanation.comparisons().get(0).score(), 1e-5);
      assertEquals(Verdict.HOLDS, explanation.comparisons().get(0).verdict());

      double score = explanation.comparisons().get(0).score();
      Explanation tie = explainer.explain(withThreshold(alert, score, score + 5e-6));
      assertEquals(Verdict.TIE, tie.comparisons().get(0).verdict());
      Explanation forged = explainer.explain(withThreshold(alert, score - 0.01, 0.5));
      assertFalse(forged.reproduces());
      byte[] value = codec(RecordType.ALERT).encode(alert);
      assertEquals(alert.alertId(), explainer.parse(value).alertId());
      assertThrows(BadInputException.class, () -> explainer.find("unknown"));
    }
  }

  @Test
  void whatIsNoLongerRetainedIsSaid() throws Exception {
    Alert alert = alerted().get("words");
    Coordinates at = alert.itemAt();
    Coordinates another = new Coordinates(at.topic(), at.partition(), at.offset() == 0 ? 1 : 0);
    Coordinates gone = new Coordinates(at.topic(), at.partition(), 1_000_000);
    try (Explainer explainer = new Explainer(config())) {
      String digest = alert.adapterDigest();
      assertNotRetained(explainer, with(alert, gone, alert.queryAt(), digest), "item");
      assertNotRetained(explainer, with(alert, another, alert.queryAt(), digest), "item");
      Coordinates query = alert.queryAt();
      Coordinates later = new Coordinates(query.topic(), query.partition(), 1_000_000);
      assertNotRetained(explainer, with(alert, at, later, digest), "query");
      String unknown = "0".repeat(64);
      assertNotRetained(explainer, with(alert, at, query, unknown), unknown);
    }
  }

  private static void assertNotRetained(Explainer explainer, Alert alert, String what) {
    Explanation explanation = explainer.explain(alert);
    assertFalse(explanation.retained());
    assertTrue(explanation.reason().startsWith("not retained"), explanation.reason());
    assertTrue(explanation.reason().contains(what), explanation.reason());
  }

  @Test
  void aBacktestFindsWhatTheJobHasAlertedUnderEachAdapterAskedFor() throws Exception {
    alerted();
    item("late", picture(5), caption(5), 5000);
    cluster.send(topics.items(), null, 6000L, "bad", "{".getBytes(StandardCharsets.UTF_8));
    cluster.flush();
    int alerts = alerts().size();
    try (Backtest backtest = new Backtest(config())) {
      SimilarityQuery words =
          backtest.parse(
              ("{\"id\": \"words\", \"kinds\": [\"text-text\"], \"minScore\": 0.99999, \"text\": \""
                      + caption(5)
                      + "\"}")
                  .getBytes(StandardCharsets.UTF_8));
      List<Backtest.Result> results =
          backtest.run(List.of(words), 0, List.of(first.digest(), second.digest()));
      assertEquals(
          List.of(first.digest(), second.digest()),
          results.stream().map(Backtest.Result::adapterDigest).toList());
      for (Backtest.Result result : results) {
        assertEquals(ITEMS + 1, result.items());
        assertEquals(2, result.matches());
        assertEquals(
            List.of("item5", "late"),
            result.best().stream().map(Backtest.Example::itemId).sorted().toList());
      }
      Backtest.Result late = backtest.run(List.of(words), 4000, List.of()).get(0);
      assertEquals(second.digest(), late.adapterDigest(), "the published one");
      assertEquals(1, late.items());
      assertEquals(1, late.matches());
    }
    assertEquals(alerts, alerts().size(), "the live topics are as they were");
  }
}
