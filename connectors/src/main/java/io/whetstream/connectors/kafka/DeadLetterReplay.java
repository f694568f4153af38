package io.whetstream.connectors.kafka;

import io.whetstream.connectors.StoredFiles;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Sends dead letters back to the topic they came from, with their bytes and headers unchanged, one
 * more hop, and where and when they lay before. What was replayed is remembered in the same
 * transaction, so no letter is replayed twice, whatever fails. Letters with too many hops stay
 * where they are.
 */
public final class DeadLetterReplay {
  private static final String GROUP = "whetstream-dlq-replay-";
  private static final int BATCH = 500;

  private final KafkaConnection kafka;
  private final String deadLetters;
  private final int maxHops;

  /**
   * What was done.
   *
   * @param replayed letters sent back
   * @param tooManyHops letters that came back too often and were left
   */
  public record Result(long replayed, long tooManyHops) {}

  /**
   * @param deadLetters dead-letter topic, full name
   * @param maxHops letters that were replayed so often already are left
   */
  public DeadLetterReplay(KafkaConnection kafka, String deadLetters, int maxHops) {
    this.kafka = kafka;
    this.deadLetters = deadLetters;
    this.maxHops = maxHops;
  }

  /** Letters that were not replayed yet. */
  public List<ConsumerRecord<byte[], byte[]>> pending() {
    List<ConsumerRecord<byte[], byte[]>> pending = new ArrayList<>();
    try (TopicScan scan = new TopicScan(kafka, deadLetters)) {
      scan.seek(done());
      scan.toEnd(pending::add);
    }
    return pending;
  }

  private Map<Integer, Long> done() {
    Map<Integer, Long> done = new HashMap<>();
    try (Admin admin = kafka.admin()) {
      Topics.await(
              admin.listConsumerGroupOffsets(GROUP + deadLetters).partitionsToOffsetAndMetadata())
          .forEach(
              (partition, offset) -> {
                if (offset != null) {
                  done.put(partition.partition(), offset.offset());
                }
              });
    } catch (GroupIdNotFoundException e) {
      // Nothing was ever replayed.
      return Map.of();
    }
    return done;
  }

  /** Replays all that is pending now. */
  public Result run() {
    List<ConsumerRecord<byte[], byte[]>> pending = pending();
    Properties properties = kafka.clientProperties();
    properties.put("transactional.id", GROUP + deadLetters);
    properties.putIfAbsent(
        "max.request.size",
        Integer.toString(Topics.MAX_RECORD_BYTES + 2 * Topics.DEAD_LETTER_ROOM));
    long replayed = 0;
    long left = 0;
    Properties group = kafka.clientProperties();
    group.put("group.id", GROUP + deadLetters);
    try (KafkaProducer<byte[], byte[]> producer =
            new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
        KafkaConsumer<byte[], byte[]> reader =
            new KafkaConsumer<>(group, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      producer.initTransactions();
      for (int from = 0; from < pending.size(); from += BATCH) {
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        producer.beginTransaction();
        try {
          for (ConsumerRecord<byte[], byte[]> record :
              pending.subList(from, Math.min(pending.size(), from + BATCH))) {
            DeadLetter letter = DeadLetters.read(record);
            if (letter.hops() >= maxHops) {
              left++;
            } else {
              producer.send(replay(letter));
              replayed++;
            }
            offsets.put(
                new TopicPartition(record.topic(), record.partition()),
                new OffsetAndMetadata(record.offset() + 1));
          }
          producer.sendOffsetsToTransaction(offsets, reader.groupMetadata());
          producer.commitTransaction();
        } catch (RuntimeException e) {
          producer.abortTransaction();
          throw e;
        }
      }
    }
    return new Result(replayed, left);
  }

  private ProducerRecord<byte[], byte[]> replay(DeadLetter letter) {
    ProducerRecord<byte[], byte[]> record =
        // With Kafka's time of now: under an old one the topic's retention may delete it unread.
        new ProducerRecord<>(letter.at().topic(), letter.recordKey(), value(letter));
    letter.headers().forEach(header -> record.headers().add(header.name(), header.value()));
    record
        .headers()
        .add(
            DeadLetters.HOPS,
            Integer.toString(letter.hops() + 1).getBytes(StandardCharsets.US_ASCII))
        .add(DeadLetters.ORIGIN, letter.at().toString().getBytes(StandardCharsets.UTF_8))
        .add(
            DeadLetters.TIMESTAMP,
            Long.toString(letter.timestamp()).getBytes(StandardCharsets.US_ASCII));
    return record;
  }

  private static byte[] value(DeadLetter letter) {
    if (letter.spilledTo() == null) {
      return letter.value();
    }
    try {
      byte[] value = StoredFiles.read(StoredFiles.path(letter.spilledTo()), Integer.MAX_VALUE - 8);
      if (value == null) {
        throw new BadInputException(
            "the value of the dead letter of "
                + letter.at()
                + " is gone from "
                + letter.spilledTo());
      }
      return value;
    } catch (IOException e) {
      throw new UncheckedIOException(letter.spilledTo() + " cannot be read", e);
    }
  }
}
