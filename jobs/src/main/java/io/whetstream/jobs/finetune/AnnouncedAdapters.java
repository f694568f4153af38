package io.whetstream.jobs.finetune;

import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.Coordinates;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;

/** What a stream has announced so far. */
final class AnnouncedAdapters {
  private static final Duration POLL = Duration.ofMillis(100);

  /** A broker that gives nothing for so long while records are due is reported. */
  private static final Duration STALL = Duration.ofSeconds(60);

  private AnnouncedAdapters() {}

  /** The newest committed announcement of the configured stream, or null: the highest version. */
  static AdapterAnnouncement newest(FineTuneConfig config) {
    String topic = new Topics(config.kafka().topicPrefix()).adapters();
    RecordCodec<AdapterAnnouncement> codec =
        config.kafka().ownFormat().codec(RecordType.ADAPTER, topic + "-value");
    AdapterAnnouncement newest = null;
    try (KafkaConsumer<byte[], byte[]> consumer = config.kafka().connection().consumer()) {
      List<TopicPartition> partitions =
          consumer.partitionsFor(topic).stream()
              .map(info -> new TopicPartition(topic, info.partition()))
              .toList();
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
      long progress = System.nanoTime();
      while (partitions.stream().anyMatch(each -> consumer.position(each) < ends.get(each))) {
        boolean any = false;
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
          any = true;
          AdapterAnnouncement each = decode(codec, record);
          if (each != null
              && Objects.equals(each.stream(), config.name())
              && (newest == null || follows(each, newest))) {
            newest = each;
          }
        }
        progress = any ? System.nanoTime() : progress;
        if (System.nanoTime() - progress > STALL.toNanos()) {
          throw new IllegalStateException(
              "topic "
                  + topic
                  + " gave nothing for "
                  + TimeUnit.MILLISECONDS.toSeconds(STALL.toMillis())
                  + " s before its end");
        }
      }
    }
    return newest;
  }

  private static AdapterAnnouncement decode(
      RecordCodec<AdapterAnnouncement> codec, ConsumerRecord<byte[], byte[]> record) {
    return record.value() == null
        ? null
        : codec.decode(
            record.value(),
            new Coordinates(record.topic(), record.partition(), record.offset()),
            record.timestamp());
  }

  private static boolean follows(AdapterAnnouncement one, AdapterAnnouncement other) {
    return one.epoch() != other.epoch() ? one.epoch() > other.epoch() : one.n() >= other.n();
  }
}
