package io.whetstream.connectors.records;

import io.whetstream.model.BadInputException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Where a record lies in Kafka.
 *
 * @param topic full name, with prefix
 * @param partition from 0
 * @param offset from 0
 */
public record Coordinates(String topic, int partition, long offset) {
  private static final Pattern TEXT = Pattern.compile("(.+)-(\\d{1,9})@(\\d{1,18})");

  /**
   * The coordinates that {@link #toString()} wrote.
   *
   * @throws BadInputException when the text is of another form
   */
  public static Coordinates parse(String text) {
    Matcher parts = TEXT.matcher(text);
    if (!parts.matches()) {
      throw new BadInputException("'" + text + "' is no place in Kafka: topic-partition@offset");
    }
    return new Coordinates(
        parts.group(1), Integer.parseInt(parts.group(2)), Long.parseLong(parts.group(3)));
  }

  /** The form used in messages and logs, {@code topic-partition@offset}. */
  @Override
  public String toString() {
    return topic + "-" + partition + "@" + offset;
  }
}
