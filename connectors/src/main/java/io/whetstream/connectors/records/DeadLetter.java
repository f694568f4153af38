package io.whetstream.connectors.records;

import io.whetstream.connectors.types.Types;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.apache.flink.api.common.typeinfo.TypeInfo;

/**
 * A record that could not be used, with all that is needed to repair and replay it. In a {@code
 * .dlq} topic the key, the value and the headers are the source's, unchanged; the rest is in
 * further headers whose names begin with {@code whetstream.}.
 *
 * @param at where the record lies
 * @param timestamp Kafka's timestamp of the record
 * @param recordKey key as read, or null
 * @param value value as read, byte for byte; null if it was null, or if it lies at {@code
 *     spilledTo}
 * @param headers the record's own, without those that a replay added
 * @param stage what was being done: {@code decode}, {@code fetch}, {@code prepare}, ...
 * @param errorClass name of the exception's class
 * @param message what was wrong
 * @param hops how often it came back before through a replay
 * @param spilledTo file that holds the value, because it is larger than the topic takes; or null
 */
@TypeInfo(Types.OfRecord.class)
public record DeadLetter(
    Coordinates at,
    long timestamp,
    byte[] recordKey,
    byte[] value,
    List<Header> headers,
    String stage,
    String errorClass,
    String message,
    int hops,
    String spilledTo) {

  public DeadLetter {
    Require.that(at != null, "a dead letter needs the coordinates of its record");
    headers = List.copyOf(headers);
    Require.present("stage", stage);
    errorClass = errorClass == null ? "" : errorClass;
    message = message == null ? "" : message;
  }

  /** The same letter with its value in a file. */
  public DeadLetter spilled(String uri) {
    return new DeadLetter(
        at, timestamp, recordKey, null, headers, stage, errorClass, message, hops, uri);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof DeadLetter that
        && at.equals(that.at)
        && timestamp == that.timestamp
        && Arrays.equals(recordKey, that.recordKey)
        && Arrays.equals(value, that.value)
        && headers.equals(that.headers)
        && stage.equals(that.stage)
        && errorClass.equals(that.errorClass)
        && message.equals(that.message)
        && hops == that.hops
        && Objects.equals(spilledTo, that.spilledTo);
  }

  @Override
  public int hashCode() {
    return Objects.hash(at, timestamp, stage, Arrays.hashCode(value));
  }
}
