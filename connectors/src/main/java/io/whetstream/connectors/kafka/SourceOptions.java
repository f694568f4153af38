package io.whetstream.connectors.kafka;

import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.image.ImageOptions;
import io.whetstream.model.BadInputException;
import java.io.Serializable;
import java.time.Duration;

/**
 * How a topic is read.
 *
 * @param kafka where it is
 * @param topic full name
 * @param format of its values
 * @param groupId under which offsets are committed, for monitoring; Flink's state is what counts
 * @param startingOffsets {@code earliest}, {@code latest} or {@code committed} (else earliest);
 *     used only without restored state. An offset that Kafka has deleted meanwhile is an error, see
 *     {@code auto.offset.reset} in {@link KafkaConnection}'s properties
 * @param boundedAtEnd stop at what is the end when the job starts
 * @param tombstones whether a null value removes its key ({@code true}: compacted topics) or is
 *     something that cannot be read
 * @param eventTime how records' times become watermarks
 * @param images how images by URI are fetched; null: they stay URIs
 */
public record SourceOptions(
    KafkaConnection kafka,
    String topic,
    RecordFormat format,
    String groupId,
    String startingOffsets,
    boolean boundedAtEnd,
    boolean tombstones,
    Watermarks eventTime,
    ImageOptions images)
    implements Serializable {

  /**
   * How records' times become watermarks.
   *
   * @param outOfOrderness how much later than its neighbours a record may come, in event time
   * @param idleness a partition silent this long no longer holds up event time; null: it always
   *     does
   * @param maxAhead a record whose event time is further ahead of the clock is refused, since it
   *     would end every window; null: never
   * @param perRecord a watermark after each record instead of periodic ones; for deterministic runs
   */
  public record Watermarks(
      Duration outOfOrderness, Duration idleness, Duration maxAhead, boolean perRecord)
      implements Serializable {}

  public SourceOptions {
    if (!startingOffsets.matches("earliest|latest|committed")) {
      throw new BadInputException(
          "starting offsets must be earliest, latest or committed, not " + startingOffsets);
    }
  }

  /**
   * Committed offsets, else the earliest; 5 s out of order, idle after 30 s, at most a day ahead;
   * no tombstones; URIs stay URIs.
   */
  public static SourceOptions of(
      KafkaConnection kafka, String topic, RecordFormat format, String groupId) {
    Watermarks watermarks =
        new Watermarks(Duration.ofSeconds(5), Duration.ofSeconds(30), Duration.ofDays(1), false);
    return new SourceOptions(
        kafka, topic, format, groupId, "committed", false, false, watermarks, null);
  }

  /** Where to begin without restored state. */
  public SourceOptions startingAt(String offsets) {
    return new SourceOptions(
        kafka, topic, format, groupId, offsets, boundedAtEnd, tombstones, eventTime, images);
  }

  /** Stopping at what is the end when the job starts. */
  public SourceOptions bounded() {
    return new SourceOptions(
        kafka, topic, format, groupId, startingOffsets, true, tombstones, eventTime, images);
  }

  /** With null values that remove their keys. */
  public SourceOptions compacted() {
    return new SourceOptions(
        kafka, topic, format, groupId, startingOffsets, boundedAtEnd, true, eventTime, images);
  }

  /** With other watermarks; how far ahead a record may be stays. */
  public SourceOptions watermarks(Duration lateness, Duration idle, boolean perRecord) {
    Watermarks other = new Watermarks(lateness, idle, eventTime.maxAhead(), perRecord);
    return new SourceOptions(
        kafka, topic, format, groupId, startingOffsets, boundedAtEnd, tombstones, other, images);
  }

  /** With images by URI fetched. */
  public SourceOptions fetching(ImageOptions options) {
    return new SourceOptions(
        kafka,
        topic,
        format,
        groupId,
        startingOffsets,
        boundedAtEnd,
        tombstones,
        eventTime,
        options);
  }
}
