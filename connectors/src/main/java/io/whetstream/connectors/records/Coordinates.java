package io.whetstream.connectors.records;

/**
 * Where a record lies in Kafka.
 *
 * @param topic full name, with prefix
 * @param partition from 0
 * @param offset from 0
 */
public record Coordinates(String topic, int partition, long offset) {
  /** The form used in messages and logs, {@code topic-partition@offset}. */
  @Override
  public String toString() {
    return topic + "-" + partition + "@" + offset;
  }
}
