package io.whetstream.connectors.format;

import io.whetstream.connectors.records.Coordinates;

/**
 * Bytes to a record and back. An instance belongs to one thread.
 *
 * @param <T> the record
 */
public interface RecordCodec<T> {
  /** The value for Kafka. Image bytes are copied once. */
  byte[] encode(T value);

  /**
   * The record of a Kafka value. Image bytes are copied once.
   *
   * @param value not null
   * @param at where it was read, or null
   * @param timestampMillis Kafka's timestamp, taken where the record has no time of its own
   * @throws io.whetstream.model.BadInputException when the bytes are not such a record
   */
  T decode(byte[] value, Coordinates at, long timestampMillis);
}
