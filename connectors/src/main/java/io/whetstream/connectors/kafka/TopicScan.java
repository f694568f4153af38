package io.whetstream.connectors.kafka;

import io.whetstream.model.BadInputException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;

/**
 * Reads what is committed in a topic, outside of Flink. One thread.
 *
 * <p>A broker that gives nothing for a minute although records are due is an {@link
 * IllegalStateException}.
 */
public final class TopicScan implements AutoCloseable {
  private static final Duration POLL = Duration.ofMillis(200);
  private static final Duration STALL = Duration.ofSeconds(60);

  private final KafkaConsumer<byte[], byte[]> consumer;
  private final String topic;
  private final List<TopicPartition> partitions = new ArrayList<>();

  /** Opens a topic at its beginning. */
  public TopicScan(KafkaConnection kafka, String topic) {
    this.topic = topic;
    this.consumer = kafka.consumer();
    List<PartitionInfo> found = consumer.partitionsFor(topic);
    if (found == null || found.isEmpty()) {
      consumer.close();
      throw new BadInputException(
          "topic " + topic + " does not exist; create it with 'whetstream topics create'");
    }
    found.forEach(p -> partitions.add(new TopicPartition(topic, p.partition())));
    consumer.assign(partitions);
    consumer.seekToBeginning(partitions);
  }

  /** Goes to the end. */
  public void seekToEnd() {
    consumer.seekToEnd(partitions);
    partitions.forEach(consumer::position);
  }

  /**
   * Goes to an offset in each partition; partitions that are not named start at their beginning.
   */
  public void seek(Map<Integer, Long> offsets) {
    offsets.forEach(
        (partition, offset) -> consumer.seek(new TopicPartition(topic, partition), offset));
  }

  /** Hands over all records up to what is the end now. */
  public void toEnd(Consumer<ConsumerRecord<byte[], byte[]>> sink) {
    Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
    long progress = System.nanoTime();
    while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
      ConsumerRecords<byte[], byte[]> records = consumer.poll(POLL);
      for (ConsumerRecord<byte[], byte[]> record : records) {
        TopicPartition partition = new TopicPartition(topic, record.partition());
        if (record.offset() < ends.get(partition)) {
          sink.accept(record);
        }
      }
      if (!records.isEmpty()) {
        progress = System.nanoTime();
      } else if (System.nanoTime() - progress > STALL.toNanos()) {
        throw new IllegalStateException("topic " + topic + " gives nothing before its end");
      }
    }
  }

  /** Hands over records as they come, until told to stop. */
  public void follow(Consumer<ConsumerRecord<byte[], byte[]>> sink, BooleanSupplier stop) {
    while (!stop.getAsBoolean()) {
      for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
        if (stop.getAsBoolean()) {
          return;
        }
        sink.accept(record);
      }
    }
  }

  /** The newest record of each key that is not removed, in order of the keys' last change. */
  public static Map<String, ConsumerRecord<byte[], byte[]>> newest(
      KafkaConnection kafka, String topic) {
    Map<String, ConsumerRecord<byte[], byte[]>> newest = new LinkedHashMap<>();
    try (TopicScan scan = new TopicScan(kafka, topic)) {
      scan.toEnd(
          record -> {
            if (record.key() == null) {
              return;
            }
            String key = new String(record.key(), StandardCharsets.UTF_8);
            newest.remove(key);
            if (record.value() != null) {
              newest.put(key, record);
            }
          });
    }
    return newest;
  }

  @Override
  public void close() {
    consumer.close(CloseOptions.timeout(Duration.ofSeconds(5)));
  }
}
