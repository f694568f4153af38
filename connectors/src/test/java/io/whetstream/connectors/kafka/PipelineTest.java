package io.whetstream.connectors.kafka;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.KafkaBroker;
import io.whetstream.connectors.Samples;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.types.Read;
import io.whetstream.connectors.types.Types;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** From a topic through a job to other topics, on a real broker and a MiniCluster. */
@Tag("cluster")
@Timeout(120)
class PipelineTest {
  private static final int LIMIT = 4096;

  private final KafkaConnection kafka = KafkaBroker.shared();

  @TempDir Path dir;

  @ParameterizedTest
  @ValueSource(strings = {"json", "avro"})
  void goodRecordsPassInOrderAndEachPoisonIsInTheDeadLettersByteForByte(String name)
      throws Exception {
    RecordFormat format = RecordFormat.named(name, Map.of());
    RecordCodec<Item> codec = format.codec(RecordType.ITEM, null);
    String in = "poison-" + name;
    // Larger than its dead letters' topic takes beyond our room, as after a change of limits.
    KafkaBroker.create(
        kafka,
        in,
        1,
        Map.of("max.message.bytes", Integer.toString(LIMIT + Topics.DEAD_LETTER_ROOM)));
    KafkaBroker.create(
        kafka,
        in + ".dlq",
        1,
        Map.of("max.message.bytes", Integer.toString(LIMIT + Topics.DEAD_LETTER_ROOM)));
    KafkaBroker.create(kafka, in + ".out", 1, Map.of());

    // Records older than the topic's retention are deleted by the broker at its next look.
    long now = System.currentTimeMillis();
    List<byte[]> sent = new ArrayList<>();
    List<Integer> bad = new ArrayList<>();
    int good = 0;
    for (byte[] poison : poisons(name, codec)) {
      sent.add(codec.encode(new Item("g" + good++, null, null, "t", null, now, null, null)));
      bad.add(sent.size());
      sent.add(poison);
    }
    sent.add(codec.encode(new Item("g" + good++, null, null, "t", null, now, null, null)));
    KafkaBroker.send(kafka, in, "k".getBytes(StandardCharsets.UTF_8), sent);

    StreamExecutionEnvironment env = environment();
    Sources.Stream<Item> items =
        Sources.read(
            env,
            RecordType.ITEM,
            SourceOptions.of(kafka, in, format, "g").startingAt("earliest").bounded(),
            "items");
    items
        .reads()
        .map(Read::value)
        .returns(Types.of(RecordType.ITEM))
        .sinkTo(
            Sinks.records(
                RecordType.ITEM, in + ".out", format, SinkOptions.exactlyOnce(kafka, in + "-out")));
    SpillLargeLetters.apply(
            items.deadLetters(), dir.toUri().toString(), LIMIT + Topics.DEAD_LETTER_ROOM, "spill")
        .sinkTo(Sinks.deadLetters(in + ".dlq", SinkOptions.exactlyOnce(kafka, in + "-dlq")));
    env.execute();

    List<String> passed =
        KafkaBroker.readAll(kafka, in + ".out").stream()
            .map(r -> codec.decode(r.value(), null, 0).id())
            .toList();
    List<String> expected = new ArrayList<>();
    for (int i = 0; i < good; i++) {
      expected.add("g" + i);
    }
    assertEquals(expected, passed);

    Map<Long, DeadLetter> letters = new TreeMap<>();
    for (ConsumerRecord<byte[], byte[]> record : KafkaBroker.readAll(kafka, in + ".dlq")) {
      DeadLetter letter = DeadLetters.read(record);
      assertNull(letters.put(letter.at().offset(), letter));
    }
    assertEquals(bad.stream().map(Integer::longValue).toList(), List.copyOf(letters.keySet()));
    for (int offset : bad) {
      DeadLetter letter = letters.get((long) offset);
      assertEquals(new Coordinates(in, 0, offset), letter.at());
      assertArrayEquals("k".getBytes(StandardCharsets.UTF_8), letter.recordKey());
      assertEquals("decode", letter.stage());
      assertTrue(!letter.message().isBlank());
      byte[] value = sent.get(offset);
      if (value != null && value.length + 1 > LIMIT) {
        assertNull(letter.value());
        assertArrayEquals(
            value, Files.readAllBytes(Path.of(java.net.URI.create(letter.spilledTo()))));
      } else {
        assertNull(letter.spilledTo());
        assertArrayEquals(value, letter.value());
      }
    }
  }

  private static List<byte[]> poisons(String format, RecordCodec<Item> codec) {
    byte[] whole =
        codec.encode(new Item("x", null, null, "t", null, 0, Samples.bytes(5, 100), null));
    List<byte[]> poisons = new ArrayList<>();
    poisons.add(null);
    poisons.add(new byte[0]);
    poisons.add(java.util.Arrays.copyOf(whole, whole.length - 1));
    poisons.add(java.util.Arrays.copyOf(whole, whole.length + 1));
    // With its key of one byte exactly as large as fits, and one more.
    poisons.add(filled(LIMIT - 1));
    poisons.add(filled(LIMIT));
    if (format.equals("json")) {
      poisons.add("no JSON".getBytes(StandardCharsets.UTF_8));
      poisons.add("[]".getBytes(StandardCharsets.UTF_8));
      poisons.add("{\"id\":7,\"text\":\"t\"}".getBytes(StandardCharsets.UTF_8));
      poisons.add("{\"text\":\"no id\"}".getBytes(StandardCharsets.UTF_8));
      poisons.add("{\"id\":\"a\",\"text\":\"\u00e9\"}".getBytes(StandardCharsets.ISO_8859_1));
      poisons.add("{\"id\":\"a\",\"image\":\"%%%\"}".getBytes(StandardCharsets.UTF_8));
      poisons.add("{\"id\":\"a\"}".getBytes(StandardCharsets.UTF_8));
    }
    return poisons;
  }

  private static byte[] filled(int length) {
    byte[] bytes = new byte[length];
    java.util.Arrays.fill(bytes, (byte) -1);
    return bytes;
  }

  @Test
  void tombstonesRemoveKeysOfCompactedTopics() throws Exception {
    KafkaBroker.create(kafka, "changes", 1, Map.of("cleanup.policy", "compact"));
    KafkaBroker.create(kafka, "changes.copy", 1, Map.of("cleanup.policy", "compact"));
    RecordCodec<Item> codec = RecordFormat.json().codec(RecordType.ITEM, null);
    byte[] value = codec.encode(new Item("i", null, null, "t", null, 5, null, null));
    List<byte[]> values = new ArrayList<>();
    values.add(value);
    values.add(null);
    KafkaBroker.send(kafka, "changes", "i".getBytes(StandardCharsets.UTF_8), values);
    StreamExecutionEnvironment env = environment();
    Sources.read(
            env,
            RecordType.ITEM,
            SourceOptions.of(kafka, "changes", RecordFormat.json(), "g").compacted().bounded(),
            "changes")
        .reads()
        .sinkTo(
            Sinks.changes(
                RecordType.ITEM,
                "changes.copy",
                RecordFormat.json(),
                SinkOptions.exactlyOnce(kafka, "copy")));
    env.execute();
    List<ConsumerRecord<byte[], byte[]>> copied = KafkaBroker.readAll(kafka, "changes.copy");
    assertEquals(2, copied.size());
    assertArrayEquals(value, copied.get(0).value());
    assertNull(copied.get(1).value());
    assertEquals("i", new String(copied.get(1).key(), StandardCharsets.UTF_8));
  }

  private static StreamExecutionEnvironment environment() {
    Configuration config = new Configuration();
    config.set(PipelineOptions.GENERIC_TYPES, false);
    // Whatever fails a task ends the job, and with it the test.
    config.set(RestartStrategyOptions.RESTART_STRATEGY, "none");
    StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(config);
    env.setParallelism(1);
    env.enableCheckpointing(200);
    return env;
  }
}
