package io.whetstream.jobs.score;

import io.whetstream.model.BadInputException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads whole topics from their beginning, without a consumer group and only what is committed.
 *
 * <p>The scoring job needs what {@code queries}, {@code adapters} and {@code adapters.control} hold
 * <em>before</em> it takes an item; a Flink source gives no such order. One thread.
 */
final class TopicReader implements AutoCloseable {
  private static final Duration POLL = Duration.ofMillis(100);

  /** A broker that says nothing for this long while records are due is reported, not waited for. */
  private static final Duration STALL = Duration.ofSeconds(60);

  private final KafkaConsumer<byte[], byte[]> consumer;
  private final String topic;
  private final List<TopicPartition> partitions = new ArrayList<>();

  /**
   * @param client properties of the Kafka client, bootstrap servers among them
   */
  TopicReader(Properties client, String topic) {
    Properties own = new Properties();
    own.putAll(client);
    own.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
    own.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");
    own.put(ConsumerConfig.ALLOW_AUTO_CREATE_TOPICS_CONFIG, "false");
    own.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
    own.remove(ConsumerConfig.GROUP_ID_CONFIG);
    this.topic = topic;
    this.consumer =
        new KafkaConsumer<>(own, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    List<PartitionInfo> found = consumer.partitionsFor(topic);
    if (found == null || found.isEmpty()) {
      consumer.close();
      throw new BadInputException(
          "topic " + topic + " does not exist; make it with 'whetstream topics create'");
    }
    for (PartitionInfo partition : found) {
      partitions.add(new TopicPartition(topic, partition.partition()));
    }
    consumer.assign(partitions);
    consumer.seekToBeginning(partitions);
  }

  /** Starts at the first record with a timestamp of at least {@code millis}. */
  void seek(long millis) {
    Map<TopicPartition, Long> wanted = new HashMap<>();
    partitions.forEach(partition -> wanted.put(partition, millis));
    consumer
        .offsetsForTimes(wanted)
        .forEach(
            (partition, at) -> {
              if (at == null) {
                consumer.seekToEnd(List.of(partition));
              } else {
                consumer.seek(partition, at.offset());
              }
            });
  }

  /** Starts one partition at an offset and leaves the others out. */
  void seek(int partition, long offset) {
    TopicPartition only = new TopicPartition(topic, partition);
    partitions.clear();
    partitions.add(only);
    consumer.assign(partitions);
    consumer.seek(only, offset);
  }

  /** The first offset still retained of each partition. */
  Map<TopicPartition, Long> beginningOffsets() {
    return consumer.beginningOffsets(partitions);
  }

  /**
   * Hands over everything up to what was the end when it was called.
   *
   * @return by partition, the offset that follows the last one read: a source may skip what lies
   *     before it
   */
  Map<Integer, Long> readToEnd(Consumer<ConsumerRecord<byte[], byte[]>> sink) {
    Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
    long lastProgress = System.nanoTime();
    while (behind(ends)) {
      ConsumerRecords<byte[], byte[]> records = consumer.poll(POLL);
      records.forEach(sink);
      if (!records.isEmpty()) {
        lastProgress = System.nanoTime();
      } else if (System.nanoTime() - lastProgress > STALL.toNanos() && behind(ends)) {
        throw new IllegalStateException(
            "topic " + topic + " gave nothing for " + STALL.toSeconds() + " s before its end");
      }
    }
    Map<Integer, Long> reached = new HashMap<>();
    partitions.forEach(
        partition -> reached.put(partition.partition(), consumer.position(partition)));
    return reached;
  }

  /** The next record before what was the end when it was called, if there is one. */
  Optional<ConsumerRecord<byte[], byte[]>> next() {
    Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
    while (behind(ends)) {
      for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
        return Optional.of(record);
      }
    }
    return Optional.empty();
  }

  /** Waits a little for further records. */
  void poll(Consumer<ConsumerRecord<byte[], byte[]>> sink) {
    consumer.poll(POLL).forEach(sink);
  }

  private boolean behind(Map<TopicPartition, Long> ends) {
    for (TopicPartition partition : partitions) {
      if (consumer.position(partition) < ends.get(partition)) {
        return true;
      }
    }
    return false;
  }

  @Override
  public void close() {
    consumer.close();
  }
}
