package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.DeadLetters;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.records.SimilarityQuery;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.flink.api.common.JobID;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Images by URI, of items and of queries, in the scoring job. */
@Tag("cluster")
class ItemImagesTest extends RealScoreJob {
  /** September 2020. */
  private static final long LONG_AGO = 1_600_000_000_000L;

  private final Map<String, byte[]> pages = new ConcurrentHashMap<>();
  private final CountDownLatch slow = new CountDownLatch(1);
  private final Map<String, Integer> fetches = new ConcurrentHashMap<>();
  private final CountDownLatch together = new CountDownLatch(4);
  private HttpServer web;
  private ExecutorService threads;

  @BeforeEach
  void serve() throws IOException {
    web = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    threads = Executors.newCachedThreadPool();
    web.setExecutor(threads);
    web.createContext(
        "/",
        exchange -> {
          String path = exchange.getRequestURI().getPath();
          if (path.equals("/slow.png")) {
            try {
              slow.await();
            } catch (InterruptedException e) {
              Thread.currentThread().interrupt();
            }
          }
          fetches.merge(path, 1, Integer::sum);
          if (path.startsWith("/together")) {
            // None is answered before all that may be fetched at once are asked for.
            together.countDown();
            try {
              together.await();
            } catch (InterruptedException e) {
              Thread.currentThread().interrupt();
            }
          }
          byte[] page = pages.get(path);
          exchange.sendResponseHeaders(page == null ? 404 : 200, page == null ? -1 : page.length);
          if (page != null) {
            exchange.getResponseBody().write(page);
          }
          exchange.close();
        });
    web.start();
    pages.put("/3.png", picture(3));
  }

  @AfterEach
  void stopServing() {
    slow.countDown();
    web.stop(0);
    threads.shutdownNow();
  }

  private String host() {
    return "127.0.0.1:" + web.getAddress().getPort();
  }

  private String url(String path) {
    return "http://" + host() + path;
  }

  private ScoreConfig fetching() {
    return config(
        "images.hosts=['" + host() + "']",
        "images.privateNetworks=['127.0.0.1/32']",
        "images.retries=0",
        "images.attemptTimeout=100s",
        "images.totalTimeout=100s");
  }

  private void item(String id, String uri) {
    send(
        topics.items(), RecordType.ITEM, new Item(id, uri, null, null, null, LONG_AGO, null, null));
  }

  private void query(String id, String uri, String digest) {
    send(
        topics.queries(),
        RecordType.QUERY,
        new SimilarityQuery(
            id,
            null,
            uri,
            digest,
            List.of(MatchKind.IMAGE_IMAGE),
            null,
            0.99,
            null,
            null,
            true,
            1,
            null,
            null));
  }

  private static void assertNeverFailed(JobID job) throws Exception {
    assertEquals(JobStatus.RUNNING, cluster.status(job));
    assertNull(cluster.flink().getExecutionGraph(job).get().getFailureInfo());
  }

  private Map<String, QueryStatus> lastAnswers() {
    Map<String, QueryStatus> last = new HashMap<>();
    answers().forEach(answer -> last.put(answer.queryId(), answer));
    return last;
  }

  @Test
  void itemsAreFetchedAndWhatCannotBeIsADeadLetterWhileTheJobGoesOn() throws Exception {
    long started = System.currentTimeMillis();
    publish(adapter(1));
    query("watched", null, picture(3), MatchKind.IMAGE_IMAGE, 0.99);
    cluster.flush();
    JobID job = submit(fetching());
    item("byUri", url("/3.png"));
    item("gone", url("/gone.png"));
    item("foreign", "http://other.example/3.png");
    item("inline", picture(3), null, LONG_AGO);
    cluster.flush();
    ScoreCluster.await("both are alerted", () -> alerts().size() >= 2);
    ScoreCluster.await(
        "the others are dead letters", () -> cluster.read(topics.itemsDeadLetters()).size() >= 2);
    assertNeverFailed(job);
    cluster.cancel(job);

    Map<String, Alert> alerts = new HashMap<>();
    alerts().forEach(alert -> assertNull(alerts.put(alert.itemId(), alert)));
    assertEquals(Set.of("byUri", "inline"), alerts.keySet());
    for (Alert alert : alerts.values()) {
      assertEquals(Digests.sha256(picture(3)), alert.itemDigest());
      assertEquals(LONG_AGO, alert.eventTime());
    }
    // Under the items' time, of years ago, Kafka would soon delete what was written just now.
    for (String topic : List.of(topics.alerts(), topics.queriesStatus())) {
      cluster.read(topic).forEach(read -> assertTrue(read.timestamp() >= started, topic));
    }

    Map<String, DeadLetter> letters = new HashMap<>();
    for (var read : cluster.read(topics.itemsDeadLetters())) {
      DeadLetter letter = DeadLetters.read(read);
      assertEquals("fetch", letter.stage());
      letters.put(new String(letter.recordKey(), java.nio.charset.StandardCharsets.UTF_8), letter);
    }
    assertEquals(Set.of("gone", "foreign"), letters.keySet());
    assertTrue(letters.get("gone").message().contains("404"), letters.get("gone").message());
    assertTrue(letters.get("foreign").message().contains("on the list"));
    assertArrayEquals(
        codec(RecordType.ITEM)
            .encode(new Item("gone", url("/gone.png"), null, null, null, LONG_AGO, null, null)),
        letters.get("gone").value());
  }

  @Test
  void queriesWatchForTheImageThatWasThereWhenTheyWereRegistered() throws Exception {
    publish(adapter(1));
    query("early", url("/3.png"), null);
    query("earlyGone", url("/gone.png"), null);
    cluster.flush();
    ScoreConfig config = fetching();
    JobID job = submit(config);
    ScoreCluster.await("those before the start are answered", () -> answers().size() >= 2);
    query("live", url("/3.png"), Digests.sha256(picture(3)));
    query("gone", url("/gone.png"), null);
    query("foreign", "http://other.example/3.png", null);
    query("other", url("/3.png"), "ab".repeat(32));
    cluster.flush();
    ScoreCluster.await("those that come live are answered", () -> answers().size() >= 6);
    Map<String, QueryStatus> answers = lastAnswers();
    assertEquals(QueryStatus.State.ACCEPTED, answers.get("early").state());
    assertEquals(QueryStatus.State.ACCEPTED, answers.get("live").state());
    Map<String, String> reasons =
        Map.of("earlyGone", "404", "gone", "404", "foreign", "on the list", "other", "was meant");
    reasons.forEach(
        (id, reason) -> {
          assertEquals(QueryStatus.State.REFUSED, answers.get(id).state());
          assertTrue(answers.get(id).reason().contains(reason), answers.get(id).reason());
        });
    assertNeverFailed(job);

    // A later start does not depend on what lies at the URI then.
    pages.put("/3.png", picture(5));
    String savepoint = cluster.stopWithSavepoint(job);
    StreamExecutionEnvironment env = cluster.environment();
    ScoreJob.build(env, config, new FaultyParts(config));
    job = cluster.submit(env, savepoint);
    item("five", picture(5), null, LONG_AGO);
    item("three", picture(3), null, LONG_AGO);
    cluster.flush();
    ScoreCluster.await("both queries match", () -> alerts().size() >= 2);
    for (Alert alert : alerts()) {
      assertEquals("three", alert.itemId());
      assertEquals(Digests.sha256(picture(3)), alert.queryDigest());
    }

    // An alert is explained by what was watched for; a back-test looks at what is there now.
    try (Explainer explainer = new Explainer(config)) {
      assertTrue(explainer.explain(alerts().get(0)).reproduces());
    }
    try (Backtest backtest = new Backtest(config)) {
      assertEquals(List.of("five"), found(backtest, url("/3.png")));
      assertTrue(result(backtest, url("/gone.png")).refused().contains("404"));
    }

    // What is kept goes with its query: two images, and why the other four have none. Of each only
    // the last start's word, or every start would leave more files.
    Map<Boolean, Long> kept =
        kept(config).stream()
            .collect(
                Collectors.partitioningBy(
                    file -> file.toString().endsWith(QueryImages.REFUSED), Collectors.counting()));
    assertEquals(Map.of(false, 2L, true, 4L), kept);
    answers.keySet().forEach(id -> cluster.send(topics.queries(), id, null));
    cluster.flush();
    ScoreCluster.await("nothing is kept", () -> kept(config).isEmpty());
    assertNeverFailed(job);
    cluster.cancel(job);
  }

  @Test
  void atTheStartImagesAreFetchedOnceForAllSubtasksAndSideBySide() throws Exception {
    publish(adapter(1));
    for (int i = 0; i < 4; i++) {
      pages.put("/together" + i + ".png", picture(i));
      query("q" + i, url("/together" + i + ".png"), null);
    }
    query("gone", url("/gone.png"), null);
    // In both partitions, so that both subtasks match.
    for (int i = 0; i < 20; i++) {
      item("item" + i, picture(i % 4), null, LONG_AGO);
    }
    cluster.flush();
    JobID job = submit(fetching());
    ScoreCluster.await("every item is alerted", () -> ofOwnQuery() == 20);
    ScoreCluster.await("all are answered", () -> answers().size() >= 5);
    assertNeverFailed(job);
    cluster.cancel(job);
    for (int i = 0; i < 4; i++) {
      assertEquals(1, fetches.get("/together" + i + ".png"));
    }
    Map<String, QueryStatus.State> states = new HashMap<>();
    answers().forEach(answer -> states.put(answer.queryId(), answer.state()));
    assertEquals(QueryStatus.State.REFUSED, states.get("gone"));
    assertEquals(QueryStatus.State.ACCEPTED, states.get("q3"));
  }

  private long ofOwnQuery() {
    return alerts().stream()
        .filter(a -> a.queryId().equals("q" + Integer.parseInt(a.itemId().substring(4)) % 4))
        .count();
  }

  @Test
  void aSlowImageHoldsUpNoItemAndKeepsItsPlaceAmongTheQuerysRevisions() throws Exception {
    publish(adapter(1));
    query("watched", null, picture(3), MatchKind.IMAGE_IMAGE, 0.99);
    cluster.flush();
    JobID job = submit(fetching());
    ScoreCluster.await("the first is answered", () -> answers().size() >= 1);
    query("slow", url("/slow.png"), null);
    query("slow", "a cat", null, MatchKind.TEXT_TEXT, 0.5);
    cluster.flush();
    item("meanwhile", picture(3), null, LONG_AGO);
    cluster.flush();
    ScoreCluster.await("an item is alerted", () -> alerts().size() >= 1);
    assertEquals(1, answers().size());
    slow.countDown();
    ScoreCluster.await("both revisions are answered", () -> answers().size() >= 3);
    List<QueryStatus.State> states = new ArrayList<>();
    answers().stream()
        .filter(answer -> answer.queryId().equals("slow"))
        .forEach(answer -> states.add(answer.state()));
    assertEquals(List.of(QueryStatus.State.REFUSED, QueryStatus.State.ACCEPTED), states);
    assertNeverFailed(job);
    cluster.cancel(job);
  }

  private static Backtest.Result result(Backtest backtest, String uri) {
    SimilarityQuery query =
        new SimilarityQuery(
            "q",
            null,
            uri,
            null,
            List.of(MatchKind.IMAGE_IMAGE),
            null,
            0.99,
            null,
            null,
            true,
            1,
            null,
            new Coordinates("backtest", 0, 0));
    return backtest.run(List.of(query), 0, List.of()).get(0);
  }

  private static List<String> found(Backtest backtest, String uri) {
    return result(backtest, uri).best().stream().map(Backtest.Example::itemId).toList();
  }

  private static List<Path> kept(ScoreConfig config) throws IOException {
    try (Stream<Path> files = Files.walk(Path.of(config.registry().uri(), "query-images"))) {
      return files.filter(Files::isRegularFile).toList();
    }
  }
}
