package io.whetstream.connectors.kafka;

import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.Header;
import io.whetstream.model.BadInputException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;

/**
 * Dead letters as Kafka records: key, value and headers as they were read, the rest in headers of
 * our own.
 */
public final class DeadLetters {
  /** How often a replay brought the record back; also on replayed records in the source topic. */
  public static final String HOPS = "whetstream.hops";

  /** On replayed records in the source topic: where the record lay before. */
  static final String ORIGIN = "whetstream.origin";

  static final String TOPIC = "whetstream.topic";
  static final String PARTITION = "whetstream.partition";
  static final String OFFSET = "whetstream.offset";

  /** Kafka's timestamp of the record where it lay first; also on replayed records. */
  static final String TIMESTAMP = "whetstream.timestamp";

  static final String STAGE = "whetstream.stage";
  static final String ERROR = "whetstream.error";
  static final String MESSAGE = "whetstream.message";
  static final String SPILLED = "whetstream.spilled";

  /**
   * On a record of a dead-letter topic that is no letter: all letters before this offset of its
   * partition were replayed.
   */
  static final String REPLAYED = "whetstream.replayed";

  private static final String OURS = "whetstream.";
  private static final int MAX_MESSAGE = 4000;

  private DeadLetters() {}

  static Headers headers(DeadLetter letter) {
    RecordHeaders headers = new RecordHeaders();
    letter.headers().forEach(header -> headers.add(header.name(), header.value()));
    add(headers, TOPIC, letter.at().topic());
    add(headers, PARTITION, Integer.toString(letter.at().partition()));
    add(headers, OFFSET, Long.toString(letter.at().offset()));
    add(headers, TIMESTAMP, Long.toString(letter.timestamp()));
    add(headers, STAGE, letter.stage());
    add(headers, ERROR, letter.errorClass());
    add(
        headers,
        MESSAGE,
        letter.message().length() <= MAX_MESSAGE
            ? letter.message()
            : letter.message().substring(0, MAX_MESSAGE));
    add(headers, HOPS, Integer.toString(letter.hops()));
    if (letter.spilledTo() != null) {
      add(headers, SPILLED, letter.spilledTo());
    }
    return headers;
  }

  private static void add(RecordHeaders headers, String name, String value) {
    headers.add(name, value.getBytes(StandardCharsets.UTF_8));
  }

  /**
   * The letter in a record of a dead-letter topic.
   *
   * @throws BadInputException when the record was not written by us
   */
  public static DeadLetter read(ConsumerRecord<byte[], byte[]> record) {
    try {
      return new DeadLetter(
          new Coordinates(
              text(record, TOPIC),
              Integer.parseInt(text(record, PARTITION)),
              Long.parseLong(text(record, OFFSET))),
          Long.parseLong(text(record, TIMESTAMP)),
          record.key(),
          record.value(),
          own(record),
          text(record, STAGE),
          text(record, ERROR),
          text(record, MESSAGE),
          Integer.parseInt(text(record, HOPS)),
          record.headers().lastHeader(SPILLED) == null ? null : text(record, SPILLED));
    } catch (NumberFormatException e) {
      throw new BadInputException(where(record) + " is no dead letter: " + e.getMessage(), e);
    }
  }

  /** Whether a record of a dead-letter topic only says how far the letters were replayed. */
  public static boolean isReplayMark(ConsumerRecord<byte[], byte[]> record) {
    return record.value() == null && record.headers().lastHeader(REPLAYED) != null;
  }

  /** A mark behind the letters of a partition that were replayed. */
  static ProducerRecord<byte[], byte[]> replayMark(TopicPartition partition, long before) {
    ProducerRecord<byte[], byte[]> mark =
        new ProducerRecord<>(partition.topic(), partition.partition(), null, null);
    mark.headers().add(REPLAYED, Long.toString(before).getBytes(StandardCharsets.US_ASCII));
    return mark;
  }

  /** How far a mark says that its partition was replayed; nothing if it is none of ours. */
  static OptionalLong replayedBefore(ConsumerRecord<byte[], byte[]> record) {
    if (!isReplayMark(record)) {
      return OptionalLong.empty();
    }
    String text = text(record, REPLAYED);
    // A mark stands behind what it speaks of.
    return text.matches("\\d{1,18}") && Long.parseLong(text) <= record.offset()
        ? OptionalLong.of(Long.parseLong(text))
        : OptionalLong.empty();
  }

  /** A record's headers without ours. */
  static List<Header> own(ConsumerRecord<byte[], byte[]> record) {
    List<Header> own = new ArrayList<>();
    record
        .headers()
        .forEach(
            header -> {
              if (!header.key().startsWith(OURS)) {
                own.add(new Header(header.key(), header.value()));
              }
            });
    return own;
  }

  private static String text(ConsumerRecord<byte[], byte[]> record, String name) {
    org.apache.kafka.common.header.Header header = record.headers().lastHeader(name);
    if (header == null || header.value() == null) {
      throw new BadInputException(
          where(record) + " is no dead letter: header " + name + " is missing");
    }
    return new String(header.value(), StandardCharsets.UTF_8);
  }

  private static String where(ConsumerRecord<byte[], byte[]> record) {
    return record.topic() + "-" + record.partition() + "@" + record.offset();
  }
}
