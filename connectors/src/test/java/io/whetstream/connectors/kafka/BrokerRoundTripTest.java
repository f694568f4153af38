package io.whetstream.connectors.kafka;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.KafkaBroker;
import io.whetstream.connectors.LoopbackRegistry;
import io.whetstream.connectors.Samples;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.connectors.types.Read;
import io.whetstream.connectors.types.Types;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Every record through a broker, a job and a broker again. */
@Tag("cluster")
@Timeout(300)
class BrokerRoundTripTest {
  private final KafkaConnection kafka = KafkaBroker.shared();
  private final long started = System.currentTimeMillis();

  @ParameterizedTest
  @ValueSource(strings = {"json", "avro", "avro-registry"})
  void everyRecordComesOutAsItWentIn(String name) throws Exception {
    try (LoopbackRegistry registry = new LoopbackRegistry()) {
      RecordFormat format =
          name.equals("avro-registry") ? registry.format() : RecordFormat.named(name, Map.of());
      Configuration config = new Configuration();
      config.set(PipelineOptions.GENERIC_TYPES, false);
      config.set(RestartStrategyOptions.RESTART_STRATEGY, "none");
      StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(config);
      env.setParallelism(1);
      for (RecordType<?> type : RecordType.all()) {
        prepare(env, type, format, topic(name, type));
      }
      env.execute();
      for (RecordType<?> type : RecordType.all()) {
        check(type, format, topic(name, type));
      }
    }
  }

  private static String topic(String format, RecordType<?> type) {
    return "trip-" + format + "-" + type;
  }

  private static <T extends StreamRecord> List<T> samples(RecordType<T> type) {
    List<T> samples = new ArrayList<>();
    for (StreamRecord sample : Samples.all()) {
      if (type.javaClass().isInstance(sample)) {
        samples.add(type.javaClass().cast(sample));
      }
    }
    assertFalse(samples.isEmpty(), type.name());
    return samples;
  }

  private <T extends StreamRecord> void prepare(
      StreamExecutionEnvironment env, RecordType<T> type, RecordFormat format, String topic) {
    KafkaBroker.create(kafka, topic, 1, Map.of());
    KafkaBroker.create(kafka, topic + ".out", 1, Map.of());
    RecordCodec<T> codec = format.codec(type, topic + "-value");
    KafkaBroker.send(
        kafka, topic, new byte[] {1}, samples(type).stream().map(codec::encode).toList());
    Sources.read(
            env,
            type,
            SourceOptions.of(kafka, topic, format, "g").startingAt("earliest").bounded(),
            topic)
        .reads()
        .map(Read::value)
        .returns(Types.of(type))
        .sinkTo(Sinks.records(type, topic + ".out", format, SinkOptions.atLeastOnce(kafka)));
  }

  private <T extends StreamRecord> void check(
      RecordType<T> type, RecordFormat format, String topic) {
    RecordCodec<T> codec = format.codec(type, topic + "-value");
    List<T> samples = samples(type);
    List<ConsumerRecord<byte[], byte[]>> out = KafkaBroker.readAll(kafka, topic + ".out");
    assertEquals(samples.size(), out.size(), topic);
    for (int i = 0; i < out.size(); i++) {
      T sample = samples.get(i);
      assertEquals(
          sample,
          codec.decode(out.get(i).value(), type.coordinatesOf(sample), out.get(i).timestamp()));
      assertArrayEquals(sample.key().getBytes(StandardCharsets.UTF_8), out.get(i).key());
      // The samples' own times are long ago: under them Kafka would soon delete what was written.
      assertTrue(out.get(i).timestamp() >= started, sample.toString());
    }
  }
}
