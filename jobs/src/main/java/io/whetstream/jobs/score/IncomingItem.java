package io.whetstream.jobs.score;

/**
 * An item with its place in Kafka, as the matcher takes it.
 *
 * @param id the item's id
 * @param topic where it was read, with {@code partition} and {@code offset}
 * @param eventTime milliseconds since 1970
 * @param image encoded image, or null
 * @param text text, or null; one of the two is present
 */
public record IncomingItem(
    String id,
    String topic,
    int partition,
    long offset,
    long eventTime,
    byte[] image,
    String text) {

  /** For error messages. */
  String where() {
    return topic + "-" + partition + "@" + offset;
  }
}
