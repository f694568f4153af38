package io.whetstream.kafka;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.BadInputException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Tag("cluster")
@Timeout(120)
class EmbeddedKafkaTest {
  @TempDir Path dir;

  @Test
  void keepsRecordsOverARestartOnTheSameDirectoryAndPort() throws Exception {
    int port;
    try (EmbeddedKafka kafka = EmbeddedKafka.start(dir.resolve("da ta,1:2"), 0)) {
      port = kafka.port();
      create(kafka, "t");
      send(kafka, null, Duration.ZERO, "before", true);
    }
    try (EmbeddedKafka kafka = EmbeddedKafka.start(dir.resolve("da ta,1:2"), port)) {
      assertEquals("127.0.0.1:" + port, kafka.bootstrapServers());
      send(kafka, null, Duration.ZERO, "after", true);
      assertEquals(List.of("before", "after"), read(kafka, 2));
    }
  }

  @Test
  void committedTransactionsAreSeenAndAbortedOnesAreNot() throws Exception {
    try (EmbeddedKafka kafka = EmbeddedKafka.start(dir.resolve("da ta,1:2"), 0)) {
      create(kafka, "t");
      send(kafka, "tx", Duration.ofMinutes(14), "aborted", false);
      send(kafka, "tx", Duration.ofMinutes(14), "committed", true);
      assertEquals(List.of("committed"), read(kafka, 1));
    }
  }

  @Test
  void refusesTransactionTimeoutsAboveAStockBrokersMaximum() throws Exception {
    try (EmbeddedKafka kafka = EmbeddedKafka.start(dir.resolve("da ta,1:2"), 0)) {
      create(kafka, "t");
      KafkaException refused =
          assertThrows(
              KafkaException.class, () -> send(kafka, "tx", Duration.ofMinutes(16), "x", true));
      assertTrue(refused.getMessage().contains("transaction.max.timeout.ms"));
    }
  }

  @Test
  void saysThatAPortIsTaken() throws Exception {
    try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
      BadInputException refused =
          assertThrows(
              BadInputException.class,
              () -> EmbeddedKafka.start(dir.resolve("da ta,1:2"), taken.getLocalPort()));
      assertTrue(refused.getMessage().contains("port " + taken.getLocalPort()));
    }
  }

  @Test
  void closesAnyNumberOfTimesAndLeavesNoThreadBehind() throws Exception {
    EmbeddedKafka kafka = EmbeddedKafka.start(dir.resolve("da ta,1:2"), 0);
    assertTrue(kafka.running());
    kafka.stop();
    kafka.close();
    kafka.close();
    assertFalse(kafka.running());
    long end = System.nanoTime() + Duration.ofSeconds(60).toNanos();
    // A thread that has done its work may need a moment to end.
    while (!threadsOfBrokers().isEmpty() && System.nanoTime() < end) {
      LockSupport.parkNanos(10_000_000);
    }
    assertEquals(List.of(), threadsOfBrokers());
  }

  private static List<String> threadsOfBrokers() {
    return Thread.getAllStackTraces().keySet().stream()
        .filter(t -> t.isAlive() && !t.isDaemon())
        .map(Thread::getName)
        .filter(name -> name.contains("kafka") || name.contains("quorum"))
        .toList();
  }

  private static void create(EmbeddedKafka kafka, String topic) throws Exception {
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", kafka.bootstrapServers()))) {
      admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
    }
  }

  private static void send(
      EmbeddedKafka kafka, String transaction, Duration timeout, String value, boolean commit)
      throws Exception {
    Map<String, Object> config = new HashMap<>();
    config.put("bootstrap.servers", kafka.bootstrapServers());
    if (transaction != null) {
      config.put("transactional.id", transaction);
      config.put("transaction.timeout.ms", (int) timeout.toMillis());
    }
    try (KafkaProducer<String, String> producer =
        new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
      if (transaction != null) {
        producer.initTransactions();
        producer.beginTransaction();
      }
      producer.send(new ProducerRecord<>("t", "k", value)).get();
      if (transaction != null) {
        if (commit) {
          producer.commitTransaction();
        } else {
          producer.abortTransaction();
        }
      }
    }
  }

  private static List<String> read(EmbeddedKafka kafka, int count) {
    List<String> values = new ArrayList<>();
    try (KafkaConsumer<String, String> consumer =
        new KafkaConsumer<>(
            Map.of(
                "bootstrap.servers", kafka.bootstrapServers(), "isolation.level", "read_committed"),
            new StringDeserializer(),
            new StringDeserializer())) {
      TopicPartition partition = new TopicPartition("t", 0);
      consumer.assign(List.of(partition));
      consumer.seekToBeginning(List.of(partition));
      while (values.size() < count) {
        for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
          values.add(record.value());
        }
      }
    }
    return values;
  }
}
