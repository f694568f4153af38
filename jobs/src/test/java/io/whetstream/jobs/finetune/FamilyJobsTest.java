package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.connectors.registry.AdapterRegistry;
import io.whetstream.connectors.registry.RegistryOptions;
import io.whetstream.jobs.score.ScoreConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;
import org.apache.flink.api.common.JobID;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Both jobs on a base of each model family, tiny and random: the loss falls, adapters are published
 * and swapped in, alerts come, and jobs restored from savepoints go on.
 */
@Tag("cluster")
class FamilyJobsTest {
  private static final Path MODELS = Path.of("../model/src/test/resources/golden");
  private static final Duration LONG = Duration.ofMinutes(5);
  private static final int PAIRS = 320;

  @TempDir private static Path directory;
  private static FineTuneHarness harness;

  @BeforeAll
  static void start() throws Exception {
    harness = new FineTuneHarness(directory);
  }

  @AfterAll
  static void stop() throws Exception {
    harness.close();
  }

  @Test
  void aFamilyWithImagesOfAnySizeLearnsAndScores() throws Exception {
    learnsAndScores("qwen2vl-e2e-tiny");
  }

  static Stream<String> others() throws IOException {
    try (Stream<Path> models = Files.list(MODELS)) {
      return models
          .filter(model -> Files.exists(model.resolve("batch.json")))
          .map(model -> model.getFileName().toString())
          .filter(model -> !model.equals("qwen2vl-e2e-tiny"))
          .sorted()
          .toList()
          .stream();
    }
  }

  @Tag("slow")
  @ParameterizedTest
  @MethodSource("others")
  void everyOtherFamilyLearnsAndScores(String model) throws Exception {
    learnsAndScores(model);
  }

  private static void learnsAndScores(String model) throws Exception {
    FineTuneConfig config =
        harness.config(
            model,
            1,
            FineTuneJobTest.with(
                FineTuneJobTest.TINY,
                "base.model=" + MODELS.resolve(model),
                "training.learningRate=0.01"));
    List<ImageTextPair> pairs = FineTuneJobTest.pairs(50, PAIRS);
    Scoring scoring = new Scoring(config, pairs.get(0));
    harness.produce(config, pairs.subList(0, PAIRS / 2));
    Faults run = Faults.of(model, Faults.Place.NOWHERE);
    JobID training = harness.submit(config, false, run, null);
    JobID serving = harness.submit(scoring.config, null);
    FineTuneHarness.await("an adapter", LONG, () -> !harness.announcements(config).isEmpty());
    scoring.awaitAlertsUnderTheNewestAdapter();
    String trained = harness.stop(training);
    String served = harness.stop(serving);
    int announced = harness.announcements(config).size();

    harness.produce(config, pairs.subList(PAIRS / 2, PAIRS));
    training = harness.submit(config, false, run, trained);
    serving = harness.submit(scoring.config, served);
    FineTuneHarness.await(
        "another adapter", LONG, () -> harness.announcements(config).size() > announced);
    scoring.awaitAlertsUnderTheNewestAdapter();
    FineTuneHarness.await("all pairs", LONG, () -> harness.allRead(config));
    harness.drain(training);
    harness.stop(serving);

    assertEquals(List.of(), harness.deadLetters(config));
    assertEquals(
        Ledger.of(pairs.stream().map(ImageTextPair::id).toList()),
        run.record().outcome().accepted());
    List<AdapterAnnouncement> all = harness.announcements(config);
    double first = loss(config, all.get(0));
    double last = loss(config, all.get(all.size() - 1));
    assertTrue(last < 0.95 * first, model + ": loss " + first + ", then " + last);
  }

  /** Both losses of the last step before an adapter was published. */
  private static double loss(FineTuneConfig config, AdapterAnnouncement announcement) {
    var metrics =
        AdapterRegistry.open(RegistryOptions.of(config.registry().uri()))
            .read(announcement.digest())
            .manifest()
            .metrics();
    return metrics.get("training.lossContrastive") + metrics.get("training.lossNextToken");
  }

  /** A scoring job on the same topics, that watches for one pair's picture and caption. */
  private static final class Scoring {
    private final FineTuneConfig training;
    private final Topics topics;
    private final ImageTextPair watched;
    private final ScoreConfig config;
    private int sent;

    Scoring(FineTuneConfig training, ImageTextPair watched) throws Exception {
      this.training = training;
      this.watched = watched;
      topics = new Topics(training.kafka().topicPrefix());
      config =
          ScoreConfig.loader()
              .parse(
                  "",
                  "scoring",
                  List.of(
                      "name=" + training.name() + "-score",
                      "adapterStream=" + training.name(),
                      "parallelism=1",
                      "kafka.bootstrapServers=" + training.kafka().bootstrapServers(),
                      "kafka.topicPrefix=" + training.kafka().topicPrefix(),
                      "kafka.startingOffsets=earliest",
                      "registry.uri=" + training.registry().uri(),
                      "base.model=" + training.base().model(),
                      "base.threads=1",
                      "checkpoint.directory="
                          + directory.resolve(training.name() + "-score").toUri(),
                      "checkpoint.interval=300ms",
                      "match.batchSize=4",
                      "watchlist.spillDirectory=" + directory.resolve(training.name() + "-spill"),
                      "suppression.coolDown=0s",
                      "suppression.finalCountAfter=0s",
                      "suppression.floodMatches=1000000"));
      query("picture", null, watched.image(), MatchKind.of("image-image"));
      query("words", watched.caption(), null, MatchKind.of("text-text"));
    }

    private void query(String id, String text, byte[] image, MatchKind kind) throws Exception {
      SimilarityQuery query =
          new SimilarityQuery(
              id,
              text,
              null,
              null,
              List.of(kind),
              List.of(),
              0.999,
              null,
              null,
              true,
              1,
              image,
              null);
      harness.send(training, topics.queries(), RecordType.QUERY, List.of(query));
    }

    /** Sends items until both queries have been alerted under the adapter announced last. */
    void awaitAlertsUnderTheNewestAdapter() throws Exception {
      FineTuneHarness.await(
          "alerts under the newest adapter",
          LONG,
          () -> {
            Item item =
                new Item(
                    "item" + sent,
                    null,
                    null,
                    watched.caption(),
                    null,
                    1000 + sent,
                    watched.image(),
                    null);
            if (alerted() >= sent) {
              sent++;
              harness.send(training, topics.items(), RecordType.ITEM, List.of(item));
            }
            List<AdapterAnnouncement> announced = harness.announcements(training);
            String newest = announced.get(announced.size() - 1).digest();
            return Stream.of("picture", "words")
                .allMatch(
                    query ->
                        harness.alerts(training).stream()
                            .anyMatch(
                                alert ->
                                    alert.queryId().equals(query)
                                        && alert.adapterDigest().equals(newest)));
          });
    }

    private long alerted() {
      return harness.alerts(training).stream().map(alert -> alert.itemId()).distinct().count();
    }
  }
}
