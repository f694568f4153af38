package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.jobs.score.Explanation.Verdict;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.apache.flink.api.common.JobID;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What the commands {@code explain} and {@code backtest} work with. */
@Tag("cluster")
class ExplainTest extends RealScoreJob {
  private static final int ITEMS = 12;
  private static final long GONE = 1_000_000;
  private static final ObjectMapper JSON = new ObjectMapper();

  /** What equal contents alone score, by more than a tie's tolerance below 1. */
  private static final double SAME = 1 - 5 * Explanation.TOLERANCE;

  private AdapterArtifact first;
  private AdapterArtifact second;

  /** Items alerted under a first adapter; then a second one is published. */
  private Map<String, Alert> alerted() throws Exception {
    query("picture", null, picture(3), MatchKind.IMAGE_IMAGE, SAME);
    query("words", caption(5), null, MatchKind.TEXT_TEXT, SAME);
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

  /** An alert as it would be if something else stood in the topic. */
  private static Alert with(Alert alert, Consumer<ObjectNode> change) throws Exception {
    ObjectNode json = (ObjectNode) JSON.readTree(codec(RecordType.ALERT).encode(alert));
    change.accept(json);
    return codec(RecordType.ALERT).decode(JSON.writeValueAsBytes(json), null, 0);
  }

  private static Alert withThreshold(Alert alert, double score, double threshold) throws Exception {
    return with(
        alert,
        json ->
            ((ObjectNode) json.get("scores").get(0))
                .put("score", score)
                .put("threshold", threshold));
  }

  private static Alert withOffset(Alert alert, String where, long offset) throws Exception {
    return with(alert, json -> ((ObjectNode) json.get(where)).put("offset", offset));
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

  /** Items say what a query is unlike, or what it asks for; an alert carries what decided. */
  @Test
  void whatAnItemMustBeLessLikeIsComputedAgainToo() throws Exception {
    String words = caption(5);
    query("words", words, null, MatchKind.TEXT_TEXT, -1, List.of(caption(6), caption(7)));
    first = publish(adapter(1));
    item("own", null, words, 1000);
    item("other", null, caption(6), 1001);
    item("last", null, words, 1002);
    cluster.flush();
    JobID job = submit(config());
    ScoreCluster.await("what is like the query is alerted", () -> alerts().size() == 2);
    cluster.cancel(job);
    second = publish(adapter(2));
    Alert alert = alerts().get(0);
    assertEquals(
        Set.of("own", "last"), alerts().stream().map(Alert::itemId).collect(Collectors.toSet()));
    try (Recomputed again = new Recomputed()) {
      Content item = new Content(null, words);
      double unlike =
          Math.max(
              again.score(first.digest(), MatchKind.TEXT_TEXT, item, new Content(null, caption(6))),
              again.score(
                  first.digest(), MatchKind.TEXT_TEXT, item, new Content(null, caption(7))));
      assertEquals(unlike, alert.scores().get(0).threshold(), 1e-5);
    }
    try (Explainer explainer = new Explainer(config())) {
      Explanation explanation = explainer.explain(alert);
      assertTrue(explanation.reproduces());
      assertTrue(explanation.holdsUnderPublished());
      assertTrue(explanation.underPublished().get(0).threshold() > -1);
      double score = alert.scores().get(0).score();
      assertFalse(explainer.explain(withThreshold(alert, score, -1)).reproduces());
    }
    try (Backtest backtest = new Backtest(config())) {
      String query =
          "{\"id\":\"q\",\"minScore\":-1,\"kinds\":[\"text-text\"],\"text\":\"" + words + "\"";
      String unlike = ",\"unlike\":[\"" + caption(6) + "\"]";
      assertEquals(3, matches(backtest, query + "}"));
      assertEquals(2, matches(backtest, query + unlike + "}"));
    }
  }

  private static long matches(Backtest backtest, String query) {
    SimilarityQuery parsed = backtest.parse(query.getBytes(StandardCharsets.UTF_8));
    return backtest.run(List.of(parsed), 0, List.of()).get(0).matches();
  }

  @Test
  void whatIsNoLongerRetainedIsSaid() throws Exception {
    Alert alert = alerted().get("words");
    String unknown = "0".repeat(64);
    try (Explainer explainer = new Explainer(config())) {
      assertNotRetained(explainer, withOffset(alert, "itemAt", GONE), "item");
      long another = alert.itemAt().offset() == 0 ? 1 : 0;
      assertNotRetained(explainer, withOffset(alert, "itemAt", another), "item");
      assertNotRetained(explainer, withOffset(alert, "queryAt", GONE), "query");
      assertNotRetained(
          explainer, with(alert, json -> json.put("adapterDigest", unknown)), unknown);
    }
  }

  @Test
  void anItemWhoseImageIsAtAnUriIsExplainedAndBackTestedAsLongAsTheImageIsThere() throws Exception {
    Path images = Files.createDirectories(directory.resolve("images"));
    String allowed = "images.roots=[" + images.toUri() + "]";
    query("picture", null, picture(3), MatchKind.IMAGE_IMAGE, SAME);
    publish(adapter(1));
    for (int i = 2; i < 5; i++) {
      Path image = Files.write(images.resolve(i + ".png"), picture(i));
      String uri = image.toUri().toString();
      send(
          topics.items(),
          RecordType.ITEM,
          new Item("item" + i, uri, null, null, null, 1000 + i, null, null));
    }
    cluster.flush();
    JobID job = submit(config(allowed));
    ScoreCluster.await("the planted item is alerted", () -> alerts().size() == 1);
    cluster.cancel(job);
    Alert alert = alerts().get(0);
    assertEquals("item3", alert.itemId());

    Explanation explanation = explained(alert, config(allowed));
    assertTrue(explanation.retained(), explanation.reason());
    assertTrue(explanation.reproduces());
    assertEquals(List.of(3L, 0L, 1L), itemsUnusableMatches(config(allowed)));

    // Nothing is fetched that is not allowed here.
    assertNotRetained(explained(alert, config()), "refused");
    assertEquals(List.of(3L, 3L, 0L), itemsUnusableMatches(config()));

    Files.write(images.resolve("3.png"), picture(7));
    assertNotRetained(explained(alert, config(allowed)), "3.png");
    Files.delete(images.resolve("3.png"));
    assertNotRetained(explained(alert, config(allowed)), "does not exist");
    assertEquals(List.of(3L, 1L, 0L), itemsUnusableMatches(config(allowed)));
  }

  private static Explanation explained(Alert alert, ScoreConfig config) {
    try (Explainer explainer = new Explainer(config)) {
      return explainer.explain(alert);
    }
  }

  private static List<Long> itemsUnusableMatches(ScoreConfig config) {
    try (Backtest backtest = new Backtest(config)) {
      SimilarityQuery query =
          new SimilarityQuery(
              "again",
              null,
              null,
              null,
              List.of(MatchKind.IMAGE_IMAGE),
              null,
              0.99999,
              null,
              null,
              true,
              1,
              picture(3),
              null);
      SimilarityQuery read = backtest.parse(codec(RecordType.QUERY).encode(query));
      Backtest.Result result = backtest.run(List.of(read), 0, List.of()).get(0);
      return List.of(result.items(), result.unusable(), result.matches());
    }
  }

  private static void assertNotRetained(Explainer explainer, Alert alert, String what) {
    assertNotRetained(explainer.explain(alert), what);
  }

  private static void assertNotRetained(Explanation explanation, String what) {
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
