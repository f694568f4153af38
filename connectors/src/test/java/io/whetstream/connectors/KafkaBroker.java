package io.whetstream.connectors;

import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.TopicScan;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.kafka.EmbeddedKafka;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.function.Predicate;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;

/** A broker that the tests of this module share; stopped when the JVM ends. */
public final class KafkaBroker {
  /** A machine that is busy with other builds must not look like a broker that is gone. */
  public static final Map<String, String> PATIENT = Map.of("broker.session.timeout.ms", "9000");

  private static EmbeddedKafka shared;

  private KafkaBroker() {}

  public static synchronized KafkaConnection shared() {
    if (shared == null) {
      try {
        Path dir = Files.createTempDirectory("whetstream-kafka");
        shared = EmbeddedKafka.start(dir, 0, PATIENT);
        Runtime.getRuntime().addShutdownHook(new Thread(shared::close));
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
    return KafkaConnection.of(shared.bootstrapServers());
  }

  public static void create(
      KafkaConnection kafka, String topic, int partitions, Map<String, String> config) {
    try (Admin admin = kafka.admin()) {
      Topics.create(admin, List.of(new NewTopic(topic, partitions, (short) 1).configs(config)));
    }
  }

  public static void send(KafkaConnection kafka, String topic, byte[] key, List<byte[]> values) {
    send(kafka, values.stream().map(v -> new ProducerRecord<>(topic, 0, key, v)).toList());
  }

  /** Sends records in order, and fails if the broker did not take them all. */
  public static void send(KafkaConnection kafka, List<ProducerRecord<byte[], byte[]>> records) {
    try (KafkaProducer<byte[], byte[]> producer = kafka.producer(64 << 20)) {
      List<Future<RecordMetadata>> sent = records.stream().map(producer::send).toList();
      for (Future<RecordMetadata> each : sent) {
        each.get();
      }
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  /** Committed records of a topic, in order within partitions, until enough was seen. */
  public static List<ConsumerRecord<byte[], byte[]>> readUntil(
      KafkaConnection kafka, String topic, Predicate<List<ConsumerRecord<byte[], byte[]>>> enough) {
    List<ConsumerRecord<byte[], byte[]>> all = new ArrayList<>();
    try (TopicScan scan = new TopicScan(kafka, topic)) {
      scan.follow(all::add, () -> enough.test(all));
    }
    return all;
  }

  /** All committed records that a topic holds now. */
  public static List<ConsumerRecord<byte[], byte[]>> readAll(KafkaConnection kafka, String topic) {
    List<ConsumerRecord<byte[], byte[]>> all = new ArrayList<>();
    try (TopicScan scan = new TopicScan(kafka, topic)) {
      scan.toEnd(all::add);
    }
    return all;
  }
}
