package io.whetstream.connectors.types;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.Header;
import io.whetstream.connectors.records.StreamRecord;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.apache.flink.api.common.typeinfo.TypeInformation;

/**
 * What came of one Kafka record: a value, a tombstone, or a dead letter. The raw value stays with
 * it, so that a later stage that cannot use the value can still hand it over byte for byte.
 *
 * @param at where it lies
 * @param timestamp Kafka's, milliseconds since 1970
 * @param rawKey key as read, or null
 * @param raw value as read; null for a tombstone
 * @param headers the record's own, without those that a replay added
 * @param hops how often a replay brought it back
 * @param origin where it lay when it became the dead letter that was replayed; null if it was not
 * @param value what it means; null for a tombstone and beside a dead letter
 * @param deadLetter why it cannot be used, or null
 * @param <T> the record
 */
public record Read<T extends StreamRecord>(
    Coordinates at,
    long timestamp,
    byte[] rawKey,
    byte[] raw,
    List<Header> headers,
    int hops,
    Coordinates origin,
    T value,
    DeadLetter deadLetter) {

  /** Type information of what is read as records of that type. */
  @SuppressWarnings({"unchecked", "rawtypes"})
  public static <T extends StreamRecord> TypeInformation<Read<T>> typeInfo(RecordType<T> type) {
    return new ValueTypeInfo<Read<T>>((Class) Read.class, new ReadSerializer<>(type));
  }

  public Read {
    headers = List.copyOf(headers);
  }

  /** A record that has a value and never was a dead letter. */
  public static <T extends StreamRecord> Read<T> of(
      Coordinates at, long timestamp, byte[] rawKey, byte[] raw, T value) {
    return new Read<>(at, timestamp, rawKey, raw, List.of(), 0, null, value, null);
  }

  /** Whether this removes {@link #key()}. */
  public boolean isTombstone() {
    return value == null && deadLetter == null;
  }

  /** The key as a text, or null. */
  public String key() {
    return rawKey == null ? null : new String(rawKey, StandardCharsets.UTF_8);
  }

  /** The same record with another value, for example with its image fetched. */
  public Read<T> withValue(T other) {
    return new Read<>(at, timestamp, rawKey, raw, headers, hops, origin, other, null);
  }

  /** The same record as a dead letter. */
  public Read<T> dead(String stage, Throwable error) {
    return new Read<>(
        at, timestamp, rawKey, raw, headers, hops, origin, null, deadLetter(stage, error));
  }

  /**
   * The dead letter for a value that a stage cannot use.
   *
   * @param stage what was being done, one word
   * @param error why; its message stands in the letter, its trace does not
   */
  public DeadLetter deadLetter(String stage, Throwable error) {
    String message = error.getMessage() == null ? error.toString() : error.getMessage();
    return new DeadLetter(
        at,
        timestamp,
        rawKey,
        raw,
        headers,
        stage,
        error.getClass().getName(),
        message,
        hops,
        null);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Read<?> that
        && Objects.equals(at, that.at)
        && timestamp == that.timestamp
        && Arrays.equals(rawKey, that.rawKey)
        && Arrays.equals(raw, that.raw)
        && headers.equals(that.headers)
        && hops == that.hops
        && Objects.equals(origin, that.origin)
        && Objects.equals(value, that.value)
        && Objects.equals(deadLetter, that.deadLetter);
  }

  @Override
  public int hashCode() {
    return Objects.hash(at, timestamp);
  }
}
