package io.whetstream.connectors.kafka;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.KafkaBroker;
import io.whetstream.model.BadInputException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

@Tag("cluster")
class TopicsTest {
  private final KafkaConnection kafka = KafkaBroker.shared();

  @Test
  void createsEveryTopicOnceAndFindsThemAsTheyMustBe() {
    Topics topics = new Topics("made.");
    try (Admin admin = kafka.admin()) {
      assertEquals(12, topics.check(admin, List.of()).size());
      assertEquals(12, topics.create(admin, 2, (short) 1).size());
      assertEquals(List.of(), topics.create(admin, 2, (short) 1));
      assertEquals(Map.of(), topics.check(admin, List.of()));
      topics.require(admin, List.of(topics.queries()));
    }
  }

  @Test
  void refusesAControlTopicThatIsNotCompacted() {
    Topics topics = new Topics("wrong.");
    KafkaBroker.create(kafka, topics.adapters(), 3, Map.of());
    try (Admin admin = kafka.admin()) {
      Map<String, String> problems = topics.check(admin, Set.of(topics.adapters()));
      assertTrue(problems.get(topics.adapters()).contains("must be compact"));
      assertTrue(problems.get(topics.adapters()).contains("3 partitions"));
      BadInputException refused =
          assertThrows(
              BadInputException.class,
              () -> topics.require(admin, Set.of(topics.adapters(), topics.queries())));
      assertTrue(refused.getMessage().contains("topics create"));
    }
  }

  @Test
  void refusesDeadLetterTopicsThatCannotTakeEveryRecordOfTheirSource() {
    Topics topics = new Topics("small.");
    KafkaBroker.create(
        kafka, topics.items(), 1, Map.of("max.message.bytes", Integer.toString(5 << 20)));
    KafkaBroker.create(kafka, topics.itemsDeadLetters(), 1, Map.of());
    try (Admin admin = kafka.admin()) {
      assertTrue(
          topics
              .check(admin, Set.of(topics.itemsDeadLetters()))
              .get(topics.itemsDeadLetters())
              .contains("max.message.bytes"));
    }
  }

  @Test
  void refusesATransactionTimeoutTheBrokerDoesNotAllow() {
    try (Admin admin = kafka.admin()) {
      Topics.requireTransactionTimeout(admin, SinkOptions.TRANSACTION_TIMEOUT);
      assertThrows(
          BadInputException.class,
          () -> Topics.requireTransactionTimeout(admin, Duration.ofMinutes(16)));
    }
  }
}
