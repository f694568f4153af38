package io.whetstream.connectors.kafka;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.KafkaBroker;
import io.whetstream.connectors.Samples;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.model.BadInputException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(120)
class DeadLetterReplayTest {
  private static int tests;

  private final KafkaConnection kafka = KafkaBroker.shared();
  private final String source = "replay" + tests++;

  @TempDir Path spilled;

  @BeforeEach
  void topics() {
    KafkaBroker.create(kafka, source, 1, Map.of());
    KafkaBroker.create(kafka, source + ".dlq", 2, Map.of());
  }

  private void letter(int partition, String topic, byte[] value, String spilledTo) {
    DeadLetter letter =
        new DeadLetter(
            new Coordinates(topic, 0, 7),
            5,
            new byte[] {1},
            value,
            List.of(),
            "decode",
            "E",
            "why",
            0,
            spilledTo);
    KafkaBroker.send(
        kafka,
        List.of(
            new ProducerRecord<>(
                source + ".dlq",
                partition,
                letter.recordKey(),
                value,
                DeadLetters.headers(letter))));
  }

  private DeadLetterReplay replay() {
    return new DeadLetterReplay(kafka, source + ".dlq", spilled.toString(), 3);
  }

  private List<byte[]> back() {
    return KafkaBroker.readAll(kafka, source).stream().map(record -> record.value()).toList();
  }

  @Test
  void nothingIsReplayedTwiceAlsoAfterTheBrokersHaveForgottenTheGroup() throws Exception {
    letter(0, source, new byte[] {1}, null);
    letter(1, source, new byte[] {2}, null);
    assertEquals(new DeadLetterReplay.Result(2, 0, 0), replay().run());
    try (Admin admin = kafka.admin()) {
      admin.deleteConsumerGroups(List.of("whetstream-dlq-replay-" + source + ".dlq")).all().get();
    }
    assertEquals(new DeadLetterReplay.Result(0, 0, 0), replay().preview());
    assertEquals(new DeadLetterReplay.Result(0, 0, 0), replay().run());
    letter(1, source, new byte[] {3}, null);
    assertEquals(new DeadLetterReplay.Result(1, 0, 0), replay().run());
    assertEquals(3, back().size());
    assertArrayEquals(new byte[] {3}, back().get(2));
    int records = KafkaBroker.readAll(kafka, source + ".dlq").size();
    replay().run();
    assertEquals(
        records, KafkaBroker.readAll(kafka, source + ".dlq").size(), "no mark for nothing");
  }

  @Test
  void aLetterGoesToTheTopicsOwnSourceWhateverItsHeadersSay() {
    KafkaBroker.create(kafka, source + "victim", 1, Map.of());
    letter(0, source + "victim", new byte[] {1}, null);
    letter(0, source, new byte[] {2}, null);
    assertEquals(new DeadLetterReplay.Result(1, 0, 1), replay().run());
    assertEquals(0, KafkaBroker.readAll(kafka, source + "victim").size());
    assertEquals(1, back().size());
  }

  @Test
  void aSpilledValueIsReadFromTheRegistryByItsDigestAndVerified() throws Exception {
    byte[] value = Samples.bytes(3, 100);
    String written = SpillLargeLetters.store(spilled.toString(), value);
    letter(0, source, null, written);
    // As the header names it, or from where the registry has been moved to.
    letter(0, source, null, "s3://elsewhere/" + written.substring(written.lastIndexOf('/') + 1));
    assertEquals(new DeadLetterReplay.Result(2, 0, 0), replay().run());
    back().forEach(each -> assertArrayEquals(value, each));
  }

  @Test
  void noOtherFileIsRead() throws Exception {
    Path secret = Files.writeString(spilled.resolve("secret"), "secret");
    String digest = "a".repeat(64);
    Files.writeString(spilled.resolve(digest), "of another digest");
    for (String where :
        List.of(secret.toUri().toString(), spilled.resolve(digest).toString(), "")) {
      topicsAnew();
      letter(0, source, null, where);
      BadInputException refused = assertThrows(BadInputException.class, () -> replay().run());
      assertTrue(refused.getMessage().contains(source + "-0@7"), refused.getMessage());
    }
    assertEquals(0, back().size());
    assertTrue(
        assertThrows(
                BadInputException.class,
                () -> new DeadLetterReplay(kafka, source + ".dlq", null, 3).run())
            .getMessage()
            .contains("--registry"));
  }

  /** Without the letter of the case before. */
  private void topicsAnew() throws Exception {
    try (Admin admin = kafka.admin()) {
      var ends =
          Map.of(
              new org.apache.kafka.common.TopicPartition(source + ".dlq", 0),
              org.apache.kafka.clients.admin.RecordsToDelete.beforeOffset(-1));
      admin.deleteRecords(ends).all().get();
    }
  }

  @Test
  void aNameThatIsNoDeadLetterTopicsIsRefused() {
    for (String name : List.of("items", ".dlq")) {
      assertThrows(BadInputException.class, () -> new DeadLetterReplay(kafka, name, null, 3));
    }
  }
}
