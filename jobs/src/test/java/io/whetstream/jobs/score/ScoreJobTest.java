package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.DeadLetters;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.Embedding;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.Calibration;
import io.whetstream.scenes.Claim;
import io.whetstream.scenes.Edit;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.apache.flink.api.common.JobID;
import org.apache.kafka.clients.admin.Admin;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

@Tag("cluster")
class ScoreJobTest extends RealScoreJob {
  @Test
  void plantedItemsAreAlertedUnderEachAdapterAndNothingElseIs() throws Exception {
    query("picture", null, picture(3), MatchKind.IMAGE_IMAGE, 0.99999);
    query("words", caption(5), null, MatchKind.TEXT_TEXT, 0.99999);
    String first = publish(adapter(1)).digest();
    for (int i = 0; i < 20; i++) {
      item("item" + i, picture(i), caption(i), 1000 + i);
    }
    // Near misses: one colour or shape of what is watched for is another.
    List<Claim> nearMisses = nearMisses(5);
    for (int i = 0; i < nearMisses.size(); i++) {
      item("near" + i, null, nearMisses.get(i).text(), 1050 + i);
    }
    byte[] noImage =
        codec(RecordType.ITEM)
            .encode(
                new Item(
                    "bad",
                    null,
                    null,
                    null,
                    null,
                    1100,
                    "no image".getBytes(StandardCharsets.UTF_8),
                    null));
    cluster.send(topics.items(), null, 1100L, "bad", noImage);
    cluster.send(
        topics.items(), null, 1100L, "poison", "{not json".getBytes(StandardCharsets.UTF_8));
    cluster.flush();
    JobID job = submit(config("output.embeddings=true"));
    ScoreCluster.await("planted items are alerted", () -> alerts().size() >= 2);
    ScoreCluster.await(
        "bad items are dead letters", () -> cluster.read(topics.itemsDeadLetters()).size() >= 2);

    String second = publish(adapter(2)).digest();
    int[] sent = {0};
    ScoreCluster.await(
        "the second adapter serves",
        () -> {
          item("again" + sent[0]++, picture(3), "something", 2000 + sent[0]);
          cluster.flush();
          return alerts().stream().anyMatch(alert -> alert.adapterDigest().equals(second));
        });
    cluster.cancel(job);

    List<Alert> alerts = alerts();
    Set<String> ids = new HashSet<>();
    Recomputed recomputed = new Recomputed();
    for (Alert alert : alerts) {
      assertTrue(ids.add(alert.alertId()));
      boolean picture = alert.queryId().equals("picture");
      assertEquals(
          picture
              ? alert.itemId().equals("item3") || alert.itemId().startsWith("again")
              : alert.itemId().equals("item5"),
          true,
          alert.toString());
      boolean five = alert.itemId().equals("item5");
      recomputed.assertRight(
          alert,
          new Content(picture(five ? 5 : 3), five ? caption(5) : "something"),
          new Content(picture(3), caption(5)));
      assertEquals(embedder.baseDigest(), alert.baseDigest());
    }
    assertVectorsAreOfTheirDigests(recomputed);
    recomputed.close();
    assertEquals(
        Set.of("item3", "item5"),
        Set.copyOf(
            alerts.stream()
                .filter(alert -> alert.adapterDigest().equals(first))
                .map(Alert::itemId)
                .filter(id -> id.startsWith("item"))
                .toList()));
    assertEquals(
        Set.of(QueryStatus.State.ACCEPTED),
        Set.copyOf(answers().stream().map(QueryStatus::state).toList()));
    assertEquals(2, answers().size());
    Map<String, DeadLetter> dead = new HashMap<>();
    for (var record : cluster.read(topics.itemsDeadLetters())) {
      dead.put(new String(record.key(), StandardCharsets.UTF_8), DeadLetters.read(record));
    }
    assertArrayEquals(noImage, dead.get("bad").value());
    assertEquals("prepare", dead.get("bad").stage());
    assertArrayEquals("{not json".getBytes(StandardCharsets.UTF_8), dead.get("poison").value());
  }

  private static List<Claim> nearMisses(int index) {
    SceneGenerator generator = new SceneGenerator(7, SceneLook.STANDARD);
    return Arrays.stream(Edit.values())
        .map(edit -> generator.negative(scene(index), edit, 0))
        .filter(Objects::nonNull)
        .toList();
  }

  /** The optional topic with item vectors: one of each side, computed under the digest it names. */
  private void assertVectorsAreOfTheirDigests(Recomputed recomputed) {
    List<Embedding> vectors =
        read(topics.embeddings(), RecordType.EMBEDDING).stream()
            .filter(vector -> vector.itemId().startsWith("item"))
            .toList();
    assertEquals(2 * 20, vectors.size());
    for (Embedding each : vectors) {
      int index = Integer.parseInt(each.itemId().substring("item".length()));
      assertArrayEquals(
          recomputed.vector(
              each.adapterDigest(), each.side(), new Content(picture(index), caption(index))),
          each.vector(),
          1e-5f);
    }
  }

  @Test
  void corruptAdaptersOfEveryKindAreRefusedWhileScoringGoesOn() throws Exception {
    query("words", caption(5), null, MatchKind.TEXT_TEXT, 0.99999);
    AdapterArtifact good = publish(adapter(1));
    JobID job = submit(config());
    awaitItemUnder(good, "first");
    Set<String> corrupt = new HashSet<>();
    for (Corrupt kind : Corrupt.values()) {
      AdapterArtifact bad = corrupt(kind);
      announce(bad);
      corrupt.add(bad.digest());
      ScoreCluster.await(kind + " is refused", () -> FaultyParts.REFUSED.contains(bad.digest()));
      awaitItemUnder(good, kind.name());
    }
    AdapterArtifact last =
        publish(TinyModel.adapter(90, 8, embedder.baseDigest(), Calibration.NONE));
    awaitItemUnder(last, "last");
    cluster.cancel(job);
    assertFalse(alerts().stream().map(Alert::adapterDigest).anyMatch(corrupt::contains));
  }

  /** How an adapter is damaged, and a word of the reason it is refused with. */
  private enum Corrupt {
    BIT_FLIP("damaged"),
    TRUNCATED("adapter_model.safetensors"),
    WRONG_BASE("base model"),
    NOT_A_NUMBER("NaN"),
    MISSING_FILE("prompt_text/adapter_model.safetensors"),
    OTHER_RANK("shape"),
    MISSING("");

    final String reason;

    Corrupt(String reason) {
      this.reason = reason;
    }
  }

  private AdapterArtifact corrupt(Corrupt kind) throws Exception {
    int n = 2 + kind.ordinal();
    AdapterArtifact artifact =
        TinyModel.adapter(
            n,
            4,
            kind == Corrupt.WRONG_BASE ? "f".repeat(64) : embedder.baseDigest(),
            Calibration.NONE);
    if (kind == Corrupt.MISSING) {
      return artifact;
    }
    AdapterCodec.write(at(artifact), artifact);
    byte[] bytes = Files.readAllBytes(tensors(artifact));
    switch (kind) {
      case BIT_FLIP -> bytes[bytes.length - 3] ^= 1;
      case TRUNCATED -> bytes = Arrays.copyOf(bytes, bytes.length - 100);
      case NOT_A_NUMBER ->
          ByteBuffer.wrap(bytes)
              .order(ByteOrder.LITTLE_ENDIAN)
              .putFloat(bytes.length - 4, Float.NaN);
      case MISSING_FILE ->
          Files.delete(at(artifact).resolve("prompt_text/adapter_model.safetensors"));
      case OTHER_RANK -> {
        // The tensors of a rank that the manifest does not speak of.
        AdapterArtifact donor = TinyModel.adapter(80, 8, embedder.baseDigest(), Calibration.NONE);
        AdapterCodec.write(at(donor), donor);
        bytes = Files.readAllBytes(tensors(donor));
      }
      default -> {}
    }
    Files.write(tensors(artifact), bytes);
    return artifact;
  }

  @Test
  void everyKindOfCorruptAdapterIsRefusedWithTheReason() throws Exception {
    AdapterArtifact good = publish(adapter(1));
    LoadedAdapter.Loader loader = new RecordParts(config()).loader(embedder);
    loader.load(versionOf(good)).adapter().close();
    for (Corrupt kind : Corrupt.values()) {
      AdapterArtifact bad = corrupt(kind);
      BadInputException refused =
          assertThrows(BadInputException.class, () -> loader.load(versionOf(bad)));
      String expected = kind == Corrupt.MISSING ? bad.digest() : kind.reason;
      assertTrue(refused.getMessage().contains(expected), kind + ": " + refused.getMessage());
    }
  }

  @Test
  void aQueryThatCannotBeUsedIsAnsweredWithTheReason() throws Exception {
    publish(adapter(1));
    cluster.send(topics.queries(), "broken", "{\"id\": \"broken\"}");
    query("notAPicture", null, "no".getBytes(StandardCharsets.UTF_8), MatchKind.IMAGE_IMAGE, 0.5);
    send(
        topics.queries(),
        RecordType.QUERY,
        new SimilarityQuery(
            "rate", "a cat", null, null, List.of(), null, null, 0.001, null, true, 1, null, null));
    query("good", "a cat", null, MatchKind.TEXT_TEXT, 0.5);
    cluster.flush();
    JobID job = submit(config());
    ScoreCluster.await("all are answered", () -> answers().size() >= 4);
    cluster.send(topics.queries(), "good", null);
    cluster.flush();
    ScoreCluster.await("the removal is answered", () -> answers().size() >= 5);
    cluster.cancel(job);
    Map<String, QueryStatus> last = new HashMap<>();
    answers().forEach(answer -> last.put(answer.queryId(), answer));
    assertEquals(QueryStatus.State.REFUSED, last.get("broken").state());
    assertTrue(last.get("broken").reason().contains("empty"), last.get("broken").reason());
    assertEquals(QueryStatus.State.REFUSED, last.get("notAPicture").state());
    assertTrue(last.get("rate").reason().contains("no calibration"));
    assertEquals(QueryStatus.State.REMOVED, last.get("good").state());
  }

  @Test
  void refusesTopicsThatAreNotAsTheyMustBe() throws Exception {
    try (Admin admin = KafkaConnection.of(cluster.bootstrapServers()).admin()) {
      admin.deleteTopics(List.of(topics.queries())).all().get();
      ScoreCluster.await(
          "the topic is gone", () -> !admin.listTopics().names().get().contains(topics.queries()));
    }
    BadInputException refused =
        assertThrows(
            BadInputException.class, () -> ScoreJob.build(cluster.environment(), config()));
    assertTrue(refused.getMessage().contains(topics.queries()));
  }

  /** Sends matching items until one is alerted under an adapter. */
  private void awaitItemUnder(AdapterArtifact adapter, String name) throws Exception {
    int[] sent = {0};
    ScoreCluster.await(
        "an item is alerted under adapter " + adapter.manifest().version(),
        () -> {
          item(name + sent[0]++, null, caption(5), 3000 + sent[0]);
          cluster.flush();
          return alerts().stream()
              .anyMatch(
                  alert ->
                      alert.itemId().startsWith(name)
                          && alert.adapterDigest().equals(adapter.digest()));
        });
  }
}
