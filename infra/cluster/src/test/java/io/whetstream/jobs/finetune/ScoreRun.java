package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Item;
import io.whetstream.jobs.score.ScoreJob;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** The scoring job that follows a fine-tune job, with one query that every item sent matches. */
final class ScoreRun {
  private static final Duration LONG = Duration.ofMinutes(2);
  private static final String WATCHED = "a red circle";

  private final SessionCluster cluster;
  private final Topics topics;
  private final Path file;
  private String job;
  private int sent;

  /**
   * Configures it.
   *
   * @param stream the fine-tune job's name
   * @param topics of both jobs
   * @param directory for the configuration
   * @param shared the part of the configuration that both jobs have in common
   */
  ScoreRun(SessionCluster cluster, String stream, Topics topics, Path directory, String shared)
      throws Exception {
    this.cluster = cluster;
    this.topics = topics;
    file =
        Files.writeString(
            directory.resolve(stream + "-score.yaml"),
            """
            name: %s-score
            adapterStream: %s
            %s
            """
                .formatted(stream, stream, shared));
  }

  /** Puts the query on the watchlist: the very text of the items, and none of them suppressed. */
  void watch() throws Exception {
    cluster.whetstream(
        topics,
        "queries",
        "add",
        "--id",
        "watched",
        "--text",
        WATCHED,
        "--kinds",
        "text-text",
        "--min-score",
        "0.999",
        "--cool-down",
        "0s",
        "--wait",
        "0");
  }

  void submit() throws Exception {
    job = cluster.submit(List.of(), ScoreJob.class, "--config", file.toString());
  }

  /**
   * Sends items, one after the other has been alerted, until one is under the adapter that is asked
   * for at the time.
   */
  void awaitAlertUnder(Callable<String> digest) throws Exception {
    int first = sent;
    SessionCluster.await(
        "an alert under the adapter",
        LONG,
        () -> {
          List<Alert> alerts = alerts();
          if (alerts.size() >= sent) {
            cluster.send(topics.items(), RecordType.ITEM, List.of(item(sent++)));
          }
          String wanted = digest.call();
          return alerts.stream()
              .anyMatch(alert -> number(alert) >= first && alert.adapterDigest().equals(wanted));
        });
  }

  /**
   * Each item was alerted once, and in the items' order the adapters are those announced, in their
   * order, the one gone back to among them.
   *
   * @param before announced before the rollback
   * @param after announced after it
   */
  void assertServed(
      List<AdapterAnnouncement> before, String goneBackTo, List<AdapterAnnouncement> after)
      throws Exception {
    SessionCluster.await("the last alert", LONG, () -> alerts().size() >= sent);
    List<Alert> alerts = alerts().stream().sorted(Comparator.comparing(ScoreRun::number)).toList();
    assertEquals(
        IntStream.range(0, sent).boxed().toList(), alerts.stream().map(ScoreRun::number).toList());
    List<String> served = new ArrayList<>();
    for (Alert alert : alerts) {
      if (served.isEmpty() || !served.get(served.size() - 1).equals(alert.adapterDigest())) {
        served.add(alert.adapterDigest());
      }
    }
    Iterator<String> announced =
        Stream.of(
                before.stream().map(AdapterAnnouncement::digest),
                Stream.of(goneBackTo),
                after.stream().map(AdapterAnnouncement::digest))
            .flatMap(each -> each)
            .iterator();
    for (String digest : served) {
      boolean found = false;
      while (!found && announced.hasNext()) {
        found = announced.next().equals(digest);
      }
      assertTrue(found, () -> digest + " is out of turn in " + served);
    }
  }

  void cancel() throws Exception {
    cluster.cancel(job);
  }

  private List<Alert> alerts() {
    return cluster.read(topics.alerts(), RecordType.ALERT);
  }

  private static Item item(int number) {
    return new Item(
        Integer.toString(number),
        null,
        null,
        WATCHED,
        "test",
        1_700_000_000_000L + number * 1000L,
        null,
        null);
  }

  private static int number(Alert alert) {
    return Integer.parseInt(alert.itemId());
  }
}
