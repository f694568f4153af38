package io.whetstream.connectors.kafka;

import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.Ids;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.connectors.types.Read;
import io.whetstream.model.BadInputException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;

/** Emits exactly one {@link Read} for each Kafka record; a record it cannot read is a dead one. */
final class RecordDeserializer<T extends StreamRecord>
    implements KafkaRecordDeserializationSchema<Read<T>> {
  private static final long serialVersionUID = 1L;

  private final Class<T> javaClass;
  private final RecordFormat format;
  private final boolean tombstones;
  private final long maxAheadMillis;
  private transient RecordCodec<T> codec;

  RecordDeserializer(RecordType<T> type, SourceOptions options) {
    this.javaClass = type.javaClass();
    this.format = options.format();
    this.tombstones = options.tombstones();
    Duration maxAhead = options.eventTime().maxAhead();
    this.maxAheadMillis = maxAhead == null ? -1 : maxAhead.toMillis();
  }

  @Override
  public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Read<T>> out) {
    out.collect(read(record));
  }

  Read<T> read(ConsumerRecord<byte[], byte[]> record) {
    if (codec == null) {
      codec = format.codec(RecordType.forClass(javaClass), record.topic() + "-value");
    }
    Coordinates at = new Coordinates(record.topic(), record.partition(), record.offset());
    Coordinates origin = origin(record);
    long timestamp = origin == null ? record.timestamp() : timestamp(record);
    Read<T> raw =
        new Read<>(
            at,
            timestamp,
            record.key(),
            record.value(),
            DeadLetters.own(record),
            hops(record),
            origin,
            null,
            null);
    try {
      if (record.value() == null) {
        if (tombstones && record.key() != null) {
          return raw;
        }
        throw new BadInputException("the value is null");
      }
      T value = codec.decode(record.value(), at, timestamp);
      Ids.requireShort(value.key());
      // Against the clock: Kafka's timestamp is the producer's, who may leave it at 1970 or write
      // the year 3000 into both.
      long latest = System.currentTimeMillis() + maxAheadMillis;
      if (maxAheadMillis >= 0 && value.timeMillis() > latest) {
        throw new BadInputException(
            "the event time "
                + value.timeMillis()
                + " is more than "
                + maxAheadMillis
                + " ms ahead of the clock");
      }
      return raw.withValue(value);
    } catch (BadInputException e) {
      return raw.dead("decode", e);
    }
  }

  private static int hops(ConsumerRecord<byte[], byte[]> record) {
    String text = header(record, DeadLetters.HOPS);
    // Whatever else another system says under that name, it says nothing about replays.
    return text != null && text.matches("\\d{1,9}") ? Integer.parseInt(text) : 0;
  }

  private static Coordinates origin(ConsumerRecord<byte[], byte[]> record) {
    String text = header(record, DeadLetters.ORIGIN);
    try {
      return text == null ? null : Coordinates.parse(text);
    } catch (BadInputException e) {
      // Not ours, as above.
      return null;
    }
  }

  /** The time a record had before it was sent back; Kafka's is that of the sending. */
  private static long timestamp(ConsumerRecord<byte[], byte[]> record) {
    String text = header(record, DeadLetters.TIMESTAMP);
    return text != null && text.matches("-?\\d{1,18}") ? Long.parseLong(text) : record.timestamp();
  }

  private static String header(ConsumerRecord<byte[], byte[]> record, String name) {
    Header header = record.headers().lastHeader(name);
    return header == null || header.value() == null
        ? null
        : new String(header.value(), StandardCharsets.UTF_8);
  }

  @Override
  public TypeInformation<Read<T>> getProducedType() {
    return Read.typeInfo(RecordType.forClass(javaClass));
  }
}
