package io.whetstream.jobs.score;

import java.io.IOException;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/**
 * A record of {@code queries}, {@code adapters} or {@code adapters.control} as it was read. It is
 * broadcast unread, so that the same code reads what came before the first item and what comes
 * live, and so that a tombstone is a record like any other.
 *
 * @param timestamp Kafka's, in milliseconds
 * @param key may be null
 * @param value null for a tombstone
 * @param image what was fetched for a query that names its image by URI, or null
 * @param refusal why nothing could be fetched, or null
 */
public record ControlRecord(
    String topic,
    int partition,
    long offset,
    long timestamp,
    byte[] key,
    byte[] value,
    byte[] image,
    String refusal) {

  static ControlRecord of(ConsumerRecord<byte[], byte[]> read) {
    return new ControlRecord(
        read.topic(),
        read.partition(),
        read.offset(),
        read.timestamp(),
        read.key(),
        read.value(),
        null,
        null);
  }

  /** With the image that was fetched for it. */
  ControlRecord withImage(byte[] fetched) {
    return new ControlRecord(topic, partition, offset, timestamp, key, value, fetched, null);
  }

  /** With the reason why its image was not fetched. */
  ControlRecord refused(String reason) {
    return new ControlRecord(topic, partition, offset, timestamp, key, value, null, reason);
  }

  /** For error messages. */
  String where() {
    return topic + "-" + partition + "@" + offset;
  }

  /** Reads records as they are. */
  static final class Schema implements KafkaRecordDeserializationSchema<ControlRecord> {
    private static final long serialVersionUID = 1L;

    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> read, Collector<ControlRecord> out)
        throws IOException {
      out.collect(ControlRecord.of(read));
    }

    @Override
    public TypeInformation<ControlRecord> getProducedType() {
      return TypeInformation.of(ControlRecord.class);
    }
  }
}
