package io.whetstream.connectors.records;

/** A value of one of Whetstream's topics. */
public interface StreamRecord {
  /** The Kafka key, by which a topic is partitioned and compacted. */
  String key();

  /** The time the record is about, milliseconds since 1970. Becomes the Kafka timestamp. */
  long timeMillis();
}
