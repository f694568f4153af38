package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.DeadLetters;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Ids;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.records.SimilarityQuery;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import javax.imageio.ImageIO;
import org.apache.flink.api.common.JobID;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Whatever stands in a topic is answered or put aside; the job goes on and can be stopped. */
@Tag("cluster")
class NoRecordStopsTheJobTest extends RealScoreJob {
  private static final byte[] NO_KEY = {};

  private static SimilarityQuery wordsQuery(String id, String text) {
    return new SimilarityQuery(
        id,
        text,
        null,
        null,
        List.of(MatchKind.TEXT_TEXT),
        null,
        0.99999,
        null,
        null,
        true,
        1,
        null,
        null);
  }

  private static byte[] encoded(SimilarityQuery query) {
    return codec(RecordType.QUERY).encode(query);
  }

  /** The job has not failed, alerts on a further item, and a savepoint can be made of it. */
  private void assertGoesOn(JobID job, String item) throws Exception {
    item(item, null, caption(5), 5_000);
    cluster.flush();
    ScoreCluster.await(
        "the item after all others is alerted",
        () -> {
          assertNull(cluster.flink().getExecutionGraph(job).get().getFailureInfo());
          return alerts().stream().anyMatch(alert -> alert.itemId().equals(item));
        });
    cluster.stopWithSavepoint(job);
    assertNull(cluster.flink().getExecutionGraph(job).get().getFailureInfo());
  }

  @Test
  void idsWithoutBoundAreRefusedAndTheJobGoesOn() throws Exception {
    publish(adapter(1));
    query("words", caption(5), null, MatchKind.TEXT_TEXT, 0.99999);
    String longId = "q".repeat(70_000);
    cluster.send(topics.queries(), longId, "x");
    String otherLongId = "k".repeat(70_000);
    cluster.send(
        topics.queries(), null, null, otherLongId, encoded(wordsQuery(otherLongId, caption(5))));
    cluster.send(topics.queries(), null, null, "", encoded(wordsQuery("words2", "a cat")));
    cluster.send(topics.queries(), null, null, " ", "x".getBytes(StandardCharsets.UTF_8));
    String longItem = "i".repeat(1_100_000);
    item(longItem, null, caption(5), 1_000);
    item("e".repeat(Ids.MAX_BYTES), null, caption(5), 1_001);
    cluster.flush();
    JobID job = submit(config());
    ScoreCluster.await(
        "the long item is a dead letter", () -> !cluster.read(topics.itemsDeadLetters()).isEmpty());
    // The same again while the job runs.
    cluster.send(topics.queries(), longId, "x");
    cluster.send(topics.queries(), null, null, "", encoded(wordsQuery("words2", "a cat")));
    cluster.flush();
    assertGoesOn(job, "after");

    var letter = DeadLetters.read(cluster.read(topics.itemsDeadLetters()).get(0));
    assertTrue(letter.message().contains("1100000 bytes"), letter.message());
    assertTrue(letter.message().length() < 300, letter.message());
    assertEquals(longItem, new String(letter.recordKey(), StandardCharsets.UTF_8));
    Map<String, QueryStatus> last = new HashMap<>();
    answers().forEach(answer -> last.put(answer.queryId(), answer));
    assertEquals(QueryStatus.State.ACCEPTED, last.get("words").state());
    QueryStatus refused = last.get(Ids.shortened(longId));
    assertEquals(QueryStatus.State.REFUSED, refused.state());
    assertTrue(refused.reason().contains("70000 bytes"), refused.reason());
    assertEquals(QueryStatus.State.REFUSED, last.get(Ids.shortened(otherLongId)).state());
    // A query of that key is matched nowhere, and the longest allowed id everywhere.
    assertEquals(
        List.of("after", "e".repeat(Ids.MAX_BYTES)),
        alerts().stream().map(Alert::itemId).sorted().toList());
  }

  /** A picture of one by thirty million pixels: 60 kilobytes as a file, 2 GB when blown up. */
  private static byte[] thin() throws IOException {
    ByteArrayOutputStream png = new ByteArrayOutputStream();
    ImageIO.write(new BufferedImage(1, 30_000_000, BufferedImage.TYPE_BYTE_GRAY), "png", png);
    return png.toByteArray();
  }

  @Test
  void aPictureTooThinToBeResizedIsADeadLetterOrARefusedQueryAndTheJobGoesOn() throws Exception {
    publish(adapter(1));
    query("words", caption(5), null, MatchKind.TEXT_TEXT, 0.99999);
    query("thin", null, thin(), MatchKind.IMAGE_IMAGE, 0.9);
    cluster.flush();
    JobID job = submit(config());
    item("line", thin(), null, 1_000);
    cluster.flush();
    ScoreCluster.await(
        "the line is a dead letter", () -> !cluster.read(topics.itemsDeadLetters()).isEmpty());
    assertGoesOn(job, "after");
    var letter = DeadLetters.read(cluster.read(topics.itemsDeadLetters()).get(0));
    assertEquals("line", new String(letter.recordKey(), StandardCharsets.UTF_8));
    assertEquals("prepare", letter.stage());
    assertTrue(letter.message().contains("too long and thin"), letter.message());
    QueryStatus refused =
        answers().stream().filter(answer -> answer.queryId().equals("thin")).findFirst().get();
    assertEquals(QueryStatus.State.REFUSED, refused.state());
    assertTrue(refused.reason().contains("too long and thin"), refused.reason());
  }

  @Test
  void theLargestItemGivesAnAlertThatTheTopicTakes() throws Exception {
    publish(adapter(1));
    query("picture", null, picture(3), MatchKind.IMAGE_IMAGE, 0.99999);
    query("words", caption(5), null, MatchKind.TEXT_TEXT, 0.99999);
    // Whatever follows a picture's end is not looked at; in base64 it fills the record.
    byte[] large = Arrays.copyOf(picture(3), 5_800_000);
    item("large", large, "word ".repeat(60_000), 1_000);
    cluster.flush();
    JobID job = submit(config("output.embeddings=true"));
    ScoreCluster.await("it is alerted", () -> !alerts().isEmpty());
    assertGoesOn(job, "after");
    assertTrue(cluster.read(topics.alerts()).get(0).value().length < 10_000);
  }

  @Test
  void ordersAndAnnouncementsOfNonsenseAreIgnored() throws Exception {
    publish(adapter(1));
    query("words", caption(5), null, MatchKind.TEXT_TEXT, 0.99999);
    JobID job = submit(config());
    ScoreCluster.await("the query is answered", () -> answers().size() == 1);
    for (String digest : List.of("short", "../../etc", "x".repeat(500_000), "a".repeat(64))) {
      send(
          topics.adapters(),
          RecordType.ADAPTER,
          new AdapterAnnouncement(
              "default", 0, 7, digest, digest, null, "b", "u", 1, 0, Map.of(), 1));
      send(
          topics.adaptersControl(),
          RecordType.ADAPTER_CONTROL,
          AdapterControl.rollback("default", digest, "test", 1));
    }
    send(
        topics.adaptersControl(),
        RecordType.ADAPTER_CONTROL,
        AdapterControl.resume("default", "short", Long.MAX_VALUE - 1, 1, "test", 1));
    for (String topic : List.of(topics.adapters(), topics.adaptersControl())) {
      cluster.send(topic, "default", "x");
      cluster.send(topic, null, null, "", NO_KEY);
    }
    cluster.flush();
    assertGoesOn(job, "after");
  }

  /** Bytes changed anywhere, in items and queries of every kind, before and while it runs. */
  @Test
  void changedBytesInItemsAndQueriesNeverStopTheJob() throws Exception {
    publish(adapter(1));
    query("words", caption(5), null, MatchKind.TEXT_TEXT, 0.99999);
    SplittableRandom random = new SplittableRandom(7);
    List<byte[]> items = new ArrayList<>();
    List<byte[]> queries = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      items.add(
          codec(RecordType.ITEM)
              .encode(new Item("i" + i, null, null, caption(i), "s", 7, picture(i), null)));
      items.add(
          codec(RecordType.ITEM)
              .encode(new Item("u" + i, "http://10.0.0.1/x", null, null, "s", 7, null, null)));
      queries.add(
          encoded(
              new SimilarityQuery(
                  "m" + i,
                  caption(i),
                  null,
                  null,
                  List.of(),
                  List.of(caption(i + 1)),
                  0.9,
                  null,
                  5L,
                  true,
                  1,
                  picture(i),
                  null)));
    }
    for (int i = 0; i < 300; i++) {
      sendChanged(topics.items(), items, random, i);
      sendChanged(topics.queries(), queries, random, i);
    }
    cluster.flush();
    JobID job = submit(config("output.embeddings=true"));
    ScoreCluster.await("it runs", () -> !answers().isEmpty());
    for (int i = 0; i < 300; i++) {
      sendChanged(topics.items(), items, random, i);
      sendChanged(topics.queries(), queries, random, i);
    }
    assertGoesOn(job, "after");
    // Each item is embedded or put aside; some of either show that the changes reach deep enough.
    assertTrue(cluster.read(topics.itemsDeadLetters()).size() > 50);
    assertTrue(cluster.read(topics.embeddings()).size() > 50);
  }

  private void sendChanged(String topic, List<byte[]> seeds, SplittableRandom random, int i) {
    byte[] bytes = seeds.get(random.nextInt(seeds.size())).clone();
    int changes = random.nextInt(4);
    for (int k = 0; k < changes; k++) {
      int at = random.nextInt(random.nextBoolean() ? bytes.length : Math.min(300, bytes.length));
      switch (random.nextInt(5)) {
        case 0 -> bytes[at] ^= (byte) (1 << random.nextInt(8));
        case 1 -> bytes[at] = (byte) random.nextInt(256);
        case 2 -> bytes = Arrays.copyOf(bytes, at + 1);
        case 3 -> bytes[at] = (byte) "{}[]\",:\\0123456789eE+-.tfnu".charAt(random.nextInt(26));
        default -> Arrays.fill(bytes, at, Math.min(bytes.length, at + 20), (byte) '9');
      }
    }
    String[] keys = {"m0", "m1", "m2", "m3", "", " ", "\u0000", "x" + i};
    cluster.send(topic, null, null, keys[random.nextInt(keys.length)], bytes);
  }
}
