package io.whetstream.connectors.kafka;

import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.connectors.types.Read;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import java.util.Properties;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.lineage.KafkaDatasetFacet;
import org.apache.flink.connector.kafka.lineage.KafkaDatasetFacetProvider;
import org.apache.flink.connector.kafka.sink.HeaderProvider;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.sink.KafkaSinkBuilder;
import org.apache.flink.connector.kafka.sink.TransactionNamingStrategy;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Headers;

/**
 * Records to Kafka. Event times are in the records; Kafka's timestamp says when they were written.
 *
 * <p>Exactly-once sinks draw transaction names from a pool, so that a restart finds and ends
 * whatever a failed attempt left open and no reader is held up by it. That strategy asks
 * serialisers for their topic, which only named classes can answer.
 */
public final class Sinks {
  private Sinks() {}

  /** Writes records under their keys. */
  public static <T extends StreamRecord> Sink<T> records(
      RecordType<T> type, String topic, RecordFormat format, SinkOptions options) {
    return build(
        KafkaRecordSerializationSchema.<T>builder()
            .setTopic(topic)
            .setKeySerializationSchema(new Key<T>())
            .setValueSerializationSchema(new Value<>(type, format, topic))
            .build(),
        options);
  }

  /**
   * Writes what was read to another topic: values under the keys they had, and tombstones, which
   * remove a key. For compacted topics.
   */
  public static <T extends StreamRecord> Sink<Read<T>> changes(
      RecordType<T> type, String topic, RecordFormat format, SinkOptions options) {
    return build(
        KafkaRecordSerializationSchema.<Read<T>>builder()
            .setTopic(topic)
            .setKeySerializationSchema(new ChangeKey<T>())
            .setValueSerializationSchema(new ChangeValue<>(new Value<>(type, format, topic)))
            .build(),
        options);
  }

  /**
   * Writes dead letters. What is larger than the topic takes must be spilled before, see {@link
   * SpillLargeLetters}.
   */
  public static Sink<DeadLetter> deadLetters(String topic, SinkOptions options) {
    return build(
        KafkaRecordSerializationSchema.<DeadLetter>builder()
            .setTopic(topic)
            .setKeySerializationSchema(new LetterKey())
            .setValueSerializationSchema(new LetterValue())
            .setHeaderProvider(new LetterHeaders())
            .build(),
        options);
  }

  private static <T> Sink<T> build(
      KafkaRecordSerializationSchema<T> serializer, SinkOptions options) {
    Properties properties = options.kafka().clientProperties();
    properties.putIfAbsent(
        "max.request.size",
        Integer.toString(Topics.MAX_RECORD_BYTES + 2 * Topics.DEAD_LETTER_ROOM));
    properties.put(
        "transaction.timeout.ms", Long.toString(options.transactionTimeout().toMillis()));
    KafkaSinkBuilder<T> builder =
        KafkaSink.<T>builder()
            .setKafkaProducerConfig(properties)
            .setBootstrapServers(options.kafka().bootstrapServers())
            .setDeliveryGuarantee(options.delivery())
            .setRecordSerializer(new WrittenNow<>(serializer));
    if (options.delivery() == DeliveryGuarantee.EXACTLY_ONCE) {
      builder
          .setTransactionalIdPrefix(options.transactionalIdPrefix())
          .setTransactionNamingStrategy(TransactionNamingStrategy.POOLING);
    }
    return new ClosingSink<>(builder.build());
  }

  /**
   * Keeps Flink's timestamps out of Kafka's. They are event times, and a topic that is given a
   * record of last month deletes it at its next look: its retention is over.
   */
  private static final class WrittenNow<T>
      implements KafkaRecordSerializationSchema<T>, KafkaDatasetFacetProvider {
    private static final long serialVersionUID = 1L;

    private final KafkaRecordSerializationSchema<T> records;

    WrittenNow(KafkaRecordSerializationSchema<T> records) {
      this.records = records;
    }

    @Override
    public void open(SerializationSchema.InitializationContext context, KafkaSinkContext sink)
        throws Exception {
      records.open(context, sink);
    }

    @Override
    public ProducerRecord<byte[], byte[]> serialize(
        T element, KafkaSinkContext context, Long eventTime) {
      return records.serialize(element, context, null);
    }

    @Override
    public Optional<KafkaDatasetFacet> getKafkaDatasetFacet() {
      return ((KafkaDatasetFacetProvider) records).getKafkaDatasetFacet();
    }
  }

  private static final class Key<T extends StreamRecord> implements SerializationSchema<T> {
    private static final long serialVersionUID = 1L;

    @Override
    public byte[] serialize(T record) {
      return record.key().getBytes(StandardCharsets.UTF_8);
    }
  }

  private static final class Value<T extends StreamRecord> implements SerializationSchema<T> {
    private static final long serialVersionUID = 1L;

    private final Class<T> javaClass;
    private final RecordFormat format;
    private final String topic;
    private transient RecordCodec<T> codec;

    Value(RecordType<T> type, RecordFormat format, String topic) {
      this.javaClass = type.javaClass();
      this.format = format;
      this.topic = topic;
    }

    @Override
    public byte[] serialize(T record) {
      if (codec == null) {
        codec = format.codec(RecordType.forClass(javaClass), topic + "-value");
      }
      return codec.encode(record);
    }
  }

  private static final class ChangeKey<T extends StreamRecord>
      implements SerializationSchema<Read<T>> {
    private static final long serialVersionUID = 1L;

    @Override
    public byte[] serialize(Read<T> read) {
      return read.rawKey();
    }
  }

  private static final class ChangeValue<T extends StreamRecord>
      implements SerializationSchema<Read<T>> {
    private static final long serialVersionUID = 1L;

    private final Value<T> values;

    ChangeValue(Value<T> values) {
      this.values = values;
    }

    @Override
    public byte[] serialize(Read<T> read) {
      return read.value() == null ? null : values.serialize(read.value());
    }
  }

  private static final class LetterKey implements SerializationSchema<DeadLetter> {
    private static final long serialVersionUID = 1L;

    @Override
    public byte[] serialize(DeadLetter letter) {
      return letter.recordKey();
    }
  }

  private static final class LetterValue implements SerializationSchema<DeadLetter> {
    private static final long serialVersionUID = 1L;

    @Override
    public byte[] serialize(DeadLetter letter) {
      return letter.value();
    }
  }

  private static final class LetterHeaders implements HeaderProvider<DeadLetter> {
    private static final long serialVersionUID = 1L;

    @Override
    public Headers getHeaders(DeadLetter letter) {
      return DeadLetters.headers(letter);
    }
  }
}
