package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.jobs.ReleasedSavepoints;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.Calibration;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.apache.flink.api.common.JobID;
import org.apache.flink.util.ExceptionUtils;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Savepoints that released versions of the scoring job wrote, restored by the present one on
 * another broker whose topics hold the same records.
 */
@Tag("cluster")
class SavepointCompatibilityTest extends RealScoreJob {
  private static final int MORE = 5;
  private static final String[] SETTINGS = {
    // All of it goes by the clock, and savepoints are kept for long.
    "suppression.coolDown=10000d", "suppression.finalCountAfter=1d", "suppression.stateTtl=36500d"
  };

  @TempDir private Path own;

  /**
   * What is known of a savepoint.
   *
   * @param prefix of its topics
   * @param settings of the job that wrote it; what they leave out had its default
   * @param adapter digest of the one that served
   * @param matches items before the savepoint that match: one alert and the rest suppressed
   */
  record Expected(String prefix, List<String> settings, String adapter, int matches) {}

  static List<Path> released() throws IOException {
    return ReleasedSavepoints.of("score");
  }

  private static Path present() {
    return ReleasedSavepoints.directory("score", MatcherState.VERSION);
  }

  @Test
  void theSavepointOfThePresentStateVersionIsKept() {
    assertTrue(
        Files.isDirectory(present()),
        present() + " is missing; its README says how it is made when the version is raised");
  }

  @ParameterizedTest
  @MethodSource("released")
  void everyReleasedSavepointOfTheScoringJobRestores(Path savepoint) throws Exception {
    assertRestores(savepoint);
  }

  @Tag("slow")
  @Test
  void theSavepointOfThisVersionIsWrittenAndRestores() throws Exception {
    Path to = ReleasedSavepoints.destination("score", MatcherState.VERSION, own);
    write(to);
    stop();
    start();
    assertRestores(to);
  }

  /** The topics as the job that wrote the savepoint found them. */
  private AdapterArtifact fill(String prefix, int matches) {
    topics(prefix);
    query("words", caption(5), null, MatchKind.TEXT_TEXT, 0.99999);
    send(
        topics.queries(),
        RecordType.QUERY,
        new SimilarityQuery(
            "tooFine",
            "a cat",
            null,
            null,
            List.of(MatchKind.TEXT_TEXT),
            null,
            null,
            0.001,
            null,
            true,
            1,
            null,
            null));
    // Scores are sampled for the kinds that an adapter is calibrated for.
    Calibration calibration =
        new Calibration(
            new TreeMap<>(
                Map.of(
                    CalibratedThresholds.name(MatchKind.TEXT_TEXT),
                    new Calibration.Curve(1_000, List.of(0.01, 1.0), List.of(0.9999, -1.0)))));
    AdapterArtifact artifact = publish(TinyModel.adapter(1, 4, embedder.baseDigest(), calibration));
    for (int i = 0; i < matches; i++) {
      ordered("match" + i, caption(5), 1_000 + i);
      ordered("other" + i, caption(20 + i), 1_000 + i);
    }
    cluster.send(topics.items(), 0, null, "broken", "{no json".getBytes(StandardCharsets.UTF_8));
    cluster.flush();
    return artifact;
  }

  /** An item whose place among the others does not depend on its id. */
  private void ordered(String id, String text, long time) {
    Item item = new Item(id, null, null, text, null, time, null, null);
    cluster.send(topics.items(), 0, time, id, codec(RecordType.ITEM).encode(item));
  }

  private void write(Path to) throws Exception {
    String prefix = "score-v" + MatcherState.VERSION + ".";
    int matches = 8;
    AdapterArtifact artifact = fill(prefix, matches);
    JobID job = submit(config(SETTINGS));
    // The last item: all before it are in a completed checkpoint then.
    ScoreCluster.await(
        "the broken item is a dead letter",
        () -> !cluster.read(topics.itemsDeadLetters()).isEmpty());
    ScoreCluster.await("queries are answered", () -> answers().size() == 2);
    String savepoint = cluster.stopWithSavepoint(job);
    assertEquals(1, alerts().size());
    ReleasedSavepoints.keep(
        savepoint, to, new Expected(prefix, List.of(SETTINGS), artifact.digest(), matches));
  }

  private void assertRestores(Path kept) throws Exception {
    Expected expected = ReleasedSavepoints.expected(kept, Expected.class);
    assertEquals(
        expected.adapter(),
        fill(expected.prefix(), expected.matches()).digest(),
        "the adapter that served cannot be made again");
    for (int i = 0; i < MORE; i++) {
      ordered("more" + i, caption(5), 2_000 + i);
    }
    query("new", caption(7), null, MatchKind.TEXT_TEXT, 0.99999);
    cluster.flush();
    Path moved = ReleasedSavepoints.copyOf(kept, own.resolve("moved"));
    JobID job =
        submit(config(expected.settings().toArray(new String[0])), moved.toUri().toString());
    ScoreCluster.await("the new query is answered", () -> !answers().isEmpty());
    // Queries that had been answered are not answered again.
    assertEquals(List.of("new"), answers().stream().map(QueryStatus::queryId).toList());
    // All items before the last are in a completed checkpoint when its alert is visible. The
    // changed query lets its counts go.
    ordered("new", caption(7), 2_100);
    cluster.flush();
    ScoreCluster.await(
        "the new query alerts", () -> alerts().stream().anyMatch(a -> a.itemId().equals("new")));
    query("words", caption(5), null, MatchKind.TEXT_TEXT, 0.99998);
    cluster.flush();
    // An item that came before the change would be one more copy for the former revision.
    ScoreCluster.await(
        "the changed query is answered",
        () -> answers().stream().anyMatch(answer -> answer.queryId().equals("words")));
    int[] sent = {0};
    ScoreCluster.await(
        "the changed query alerts",
        () -> {
          ordered("changed" + sent[0], caption(5), 3_000 + sent[0]++);
          cluster.flush();
          return alerts().stream().anyMatch(a -> a.itemId().equals("changed0") && !a.finalCount());
        });
    cluster.stopWithSavepoint(job);

    // Counts have come back, and no item is matched twice: of the matches before the savepoint one
    // was alerted then. Where the cool-down was in event time, one more is now.
    List<Alert> former =
        alerts().stream().filter(alert -> !alert.itemId().matches("new|changed.*")).toList();
    long raised = former.stream().filter(alert -> !alert.finalCount()).count();
    long counted = former.stream().mapToLong(Alert::suppressed).sum();
    assertEquals(expected.matches() - 1 + MORE, raised + counted);
    assertEquals(kept.endsWith("score-v1") ? 1 : 0, raised);
    assertTrue(former.stream().allMatch(a -> a.adapterDigest().equals(expected.adapter())));
    assertEquals(List.of(), cluster.read(topics.itemsDeadLetters()));
  }

  @Test
  void aSavepointOfAnUnknownStateVersionIsRefusedOnceWithTheRemedy() throws Exception {
    Expected expected = ReleasedSavepoints.expected(present(), Expected.class);
    Path changed = ReleasedSavepoints.copyOf(present(), own.resolve("changed"));
    byte[] state =
        new MatcherState(
                new AdapterVersion(0, 1, expected.adapter()), null, null, Map.of(), Map.of())
            .toBytes();
    // Up to the end of the digest, every subtask's state begins like this.
    byte[] beginning =
        Arrays.copyOf(state, 2 + 2 * Long.BYTES + Integer.BYTES + expected.adapter().length());
    int unknown = MatcherState.VERSION + 1;
    assertTrue(replaceFirstByte(changed, beginning, (byte) unknown) > 0);
    topics(expected.prefix());
    JobID job =
        submit(config(expected.settings().toArray(new String[0])), changed.toUri().toString());
    String refusal =
        ExceptionUtils.stringifyException(
            assertThrows(
                Exception.class,
                () ->
                    cluster
                        .flink()
                        .requestJobResult(job)
                        .get()
                        .toJobExecutionResult(getClass().getClassLoader())));
    assertTrue(
        refusal.contains(
            "the matcher's state has version "
                + unknown
                + ", this release reads 1 to "
                + MatcherState.VERSION
                + "; restore with the release that wrote it"),
        refusal);
  }

  private static int replaceFirstByte(Path savepoint, byte[] bytes, byte by) throws IOException {
    int found = 0;
    List<Path> files;
    try (Stream<Path> all = Files.list(savepoint)) {
      files = all.toList();
    }
    for (Path file : files) {
      byte[] content = Files.readAllBytes(file);
      for (int at = 0; at + bytes.length <= content.length; at++) {
        if (Arrays.equals(content, at, at + bytes.length, bytes, 0, bytes.length)) {
          content[at] = by;
          found++;
        }
      }
      Files.write(file, content);
    }
    return found;
  }
}
