package io.whetstream.connectors.kafka;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Ids;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.types.Read;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.record.TimestampType;
import org.junit.jupiter.api.Test;

class RecordDeserializerTest {
  private static final long HOUR = 3_600_000;

  private final long now = System.currentTimeMillis();

  private static Read<Item> read(String id, long eventTime, long kafkaTime) {
    byte[] value =
        ("{\"id\":\"" + id + "\",\"text\":\"t\",\"eventTime\":" + eventTime + "}")
            .getBytes(StandardCharsets.UTF_8);
    SourceOptions options =
        SourceOptions.of(
            new KafkaConnection("localhost:1", null), "items", RecordFormat.json(), "g");
    return new RecordDeserializer<>(RecordType.ITEM, options)
        .read(
            new ConsumerRecord<>(
                "items",
                0,
                1,
                kafkaTime,
                TimestampType.CREATE_TIME,
                0,
                value.length,
                null,
                value,
                new RecordHeaders(),
                Optional.empty()));
  }

  @Test
  void aProducerThatLeavesKafkasTimestampAt1970IsHeard() {
    assertNull(read("a", now, 0).deadLetter());
    assertNull(read("a", now, 1).deadLetter());
    assertEquals(now, read("a", now, 1).value().eventTime());
  }

  @Test
  void anEventTimeAheadOfTheClockIsRefusedWhateverKafkasTimestampSays() {
    long ahead = now + 48 * HOUR;
    for (long kafkaTime : new long[] {0, now, ahead, Long.MAX_VALUE}) {
      Read<Item> read = read("a", ahead, kafkaTime);
      assertNotNull(read.deadLetter());
      assertTrue(read.deadLetter().message().contains("ahead of the clock"));
    }
    assertNull(read("a", now + 23 * HOUR, now).deadLetter());
    assertNull(read("a", Long.MIN_VALUE, now).deadLetter());
  }

  @Test
  void anIdThatIsTooLongIsADeadLetter() {
    assertNull(read("i".repeat(Ids.MAX_BYTES), now, now).deadLetter());
    String message = read("\u00e9".repeat(600), now, now).deadLetter().message();
    assertTrue(message.contains("has 1200 bytes; at most 1024"), message);
  }
}
