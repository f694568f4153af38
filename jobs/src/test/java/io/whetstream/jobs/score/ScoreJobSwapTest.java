package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.records.QueryStatus.State;
import io.whetstream.model.adapter.AdapterArtifact;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.apache.flink.api.common.JobID;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Adapters swapped under load with restarts, and a flood of matches, with ONNX Runtime. */
@Tag("cluster")
class ScoreJobSwapTest extends RealScoreJob {

  /** A query of the swap test: what it watches for, and from which score. */
  private record Watch(MatchKind kind, Content content, double minScore) {}

  private final Map<String, Watch> watched = new LinkedHashMap<>();
  private final Map<String, Content> sent = new LinkedHashMap<>();

  private void watch(String id, MatchKind kind, int scene, double minScore) {
    boolean image = kind.querySide() == MatchKind.Side.IMAGE;
    Content content = new Content(image ? picture(scene) : null, image ? null : caption(scene));
    watched.put(id, new Watch(kind, content, minScore));
    query(id, content.text(), content.image(), kind, minScore);
  }

  private void sendItem() {
    int n = sent.size();
    // No two items are one near-duplicate to each other's caption: texts differ by number.
    Content content = new Content(picture(n % 40), caption(n % 40) + " " + n);
    sent.put("item" + n, content);
    item("item" + n, content.image(), content.text(), 1000 + n);
  }

  /** Ids of items that were matched, each of them by all queries that match everything. */
  private static Map<String, Set<String>> everythingByItem(List<Alert> alerts) {
    Map<String, Set<String>> found = new HashMap<>();
    for (Alert alert : alerts) {
      if (alert.queryId().startsWith("all-")) {
        assertTrue(
            found.computeIfAbsent(alert.itemId(), any -> new HashSet<>()).add(alert.queryId()),
            "twice: " + alert);
      }
    }
    return found;
  }

  private void swapUnderLoad(int swaps) throws Exception {
    Random random = new Random(3);
    for (MatchKind kind : MatchKind.values()) {
      watch("all-" + kind.label(), kind, 2, -1);
      for (int i = 0; i < 4; i++) {
        watch(kind.label() + i, kind, 10 + i, 0.2 + 0.2 * i);
      }
    }
    publish(adapter(1));
    JobID job = submit(config());
    int restarts = 0;
    for (int n = 2; n <= swaps + 1; n++) {
      AdapterArtifact next = publish(adapter(n));
      if (random.nextInt(6) == 0) {
        FaultyParts.FAILURES.set(1);
        restarts++;
      }
      ScoreCluster.await(
          "adapter " + n + " serves",
          () -> {
            sendItem();
            sendItem();
            cluster.flush();
            return FaultyParts.FAILURES.get() == 0
                && alerts().stream().anyMatch(a -> a.adapterDigest().equals(next.digest()));
          });
    }
    ScoreCluster.await(
        "every item is matched", () -> everythingByItem(alerts()).size() == sent.size());
    cluster.cancel(job);

    List<Alert> alerts = alerts();
    Map<String, Set<String>> everything = everythingByItem(alerts);
    assertEquals(sent.keySet(), everything.keySet());
    assertTrue(
        everything.values().stream().allMatch(ids -> ids.size() == 4), "matched once, whole");
    Map<String, String> digests = new HashMap<>();
    Map<String, Set<String>> matches = new HashMap<>();
    int apart = 0;
    try (Recomputed recomputed = new Recomputed()) {
      String first = adapters.keySet().iterator().next();
      for (Alert alert : alerts) {
        String digest = digests.putIfAbsent(alert.itemId(), alert.adapterDigest());
        assertTrue(digest == null || digest.equals(alert.adapterDigest()), "two digests: " + alert);
        Content item = sent.get(alert.itemId());
        Watch query = watched.get(alert.queryId());
        recomputed.assertRight(alert, item, query.content());
        assertTrue(
            matches.computeIfAbsent(alert.itemId(), any -> new HashSet<>()).add(alert.queryId()));
        double mixed =
            recomputed.mixed(alert.adapterDigest(), first, query.kind(), item, query.content());
        apart += Math.abs(mixed - alert.scores().get(0).score()) > 1e-3 ? 1 : 0;
      }
      // What was not alerted must not match either, under the digest that its item was scored with.
      for (Map.Entry<String, Content> item : sent.entrySet()) {
        for (Map.Entry<String, Watch> query : watched.entrySet()) {
          Watch watch = query.getValue();
          double score =
              recomputed.score(
                  digests.get(item.getKey()), watch.kind(), item.getValue(), watch.content());
          if (Math.abs(score - watch.minScore()) > 1e-5) {
            assertEquals(
                score >= watch.minScore(),
                matches.get(item.getKey()).contains(query.getKey()),
                item.getKey() + " and " + query.getKey() + ": " + score);
          }
        }
      }
    }
    assertTrue(apart > alerts.size() / 2, "mixed digests would show: " + apart);
    assertTrue(new TreeSet<>(digests.values()).size() >= swaps, "every swap took place under load");
    assertTrue(adapters.keySet().containsAll(digests.values()), "nothing scored without adapter");
    assertTrue(restarts >= swaps / 12, restarts + " restarts");
  }

  @Test
  void duringSwapsWithRestartsEveryAlertIsOfOneDigestAndEveryItemIsMatchedOnce() throws Exception {
    swapUnderLoad(8);
  }

  @Tag("slow")
  @Test
  void duringFiftySwapsWithRestartsEveryAlertIsOfOneDigestAndEveryItemIsMatchedOnce()
      throws Exception {
    swapUnderLoad(50);
  }

  @Test
  void aFloodNeitherSilencesItsQueryNorAnotherAndEveryMatchIsCounted() throws Exception {
    int limit = 20;
    int groups = 100;
    int copies = 300;
    query("everything", caption(1), null, MatchKind.TEXT_TEXT, -1);
    query("rare", caption(2), null, MatchKind.TEXT_TEXT, 0.99999);
    publish(adapter(1));
    JobID job =
        submit(
            config(
                "suppression.floodMatches=" + limit,
                "suppression.floodWindow=1000h",
                "suppression.quarantine=8s"));
    for (int i = 0; i < groups; i++) {
      item("item" + i, null, i % 10 == 0 ? caption(2) + "!".repeat(i) : caption(3) + " " + i, i);
    }
    for (int i = 0; i < copies; i++) {
      item("copy" + i, null, caption(3) + " 1", 1_000 + i);
    }
    // Hidden behind the flood, with a time that no clock reaches.
    item("hidden", null, caption(5), System.currentTimeMillis() + 3_600_000);
    cluster.flush();
    ScoreCluster.await(
        "the hidden one is alerted",
        () -> alerts().stream().anyMatch(alert -> alert.itemId().equals("hidden")));
    ScoreCluster.await(
        "the quarantine ends",
        () -> answers().stream().anyMatch(answer -> answer.state() == State.RELEASED));
    cluster.cancel(job);
    List<Alert> withheld = read(topics.alertsWithheld(), RecordType.ALERT);
    assertEquals(withheld.size(), quarantined());
    assertEquals(
        groups + copies + 1,
        Stream.concat(alerts().stream(), withheld.stream())
            .filter(alert -> alert.queryId().equals("everything"))
            .map(Alert::itemId)
            .distinct()
            .count());
    assertTrue(withheld.size() > copies / 2, withheld.size() + " withheld");
    List<QueryStatus> about = answers().stream().filter(a -> a.state() != State.ACCEPTED).toList();
    assertEquals(
        List.of(State.QUARANTINED, State.RELEASED),
        about.stream().map(QueryStatus::state).toList());
    assertTrue(about.stream().allMatch(answer -> answer.queryId().equals("everything")));
    assertFalse(about.get(0).reason().isEmpty());
  }

  private long quarantined() {
    return answers().stream().mapToLong(QueryStatus::matches).sum();
  }
}
