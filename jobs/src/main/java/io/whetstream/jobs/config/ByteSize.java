package io.whetstream.jobs.config;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonValue;
import io.whetstream.model.BadInputException;
import java.io.Serializable;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A number of bytes, written {@code 512}, {@code 64 kb}, {@code 16mb} or {@code 2 gb} (powers of
 * 1024).
 *
 * @param bytes zero or more
 */
public record ByteSize(long bytes) implements Serializable {
  private static final long serialVersionUID = 1L;
  private static final Pattern FORM = Pattern.compile("(\\d{1,18})\\s*(b|kb|mb|gb)?");

  public ByteSize {
    if (bytes < 0) {
      throw new BadInputException("a size must not be negative: " + bytes);
    }
  }

  /** So many bytes. */
  @JsonCreator
  public static ByteSize ofBytes(long bytes) {
    return new ByteSize(bytes);
  }

  /** So many mebibytes. */
  public static ByteSize ofMega(long mega) {
    return new ByteSize(Math.multiplyExact(mega, 1L << 20));
  }

  /** So many kibibytes. */
  public static ByteSize ofKilo(long kilo) {
    return new ByteSize(Math.multiplyExact(kilo, 1L << 10));
  }

  /**
   * Reads the written form.
   *
   * @throws BadInputException if it is not a size
   */
  @JsonCreator
  public static ByteSize parse(String text) {
    Matcher matcher = FORM.matcher(text.strip().toLowerCase(Locale.ROOT));
    if (!matcher.matches()) {
      throw new BadInputException("'" + text + "' is not a size; write it like 512, 64kb or 16mb");
    }
    String unit = matcher.group(2) == null ? "b" : matcher.group(2);
    int shift =
        switch (unit) {
          case "kb" -> 10;
          case "mb" -> 20;
          case "gb" -> 30;
          default -> 0;
        };
    return new ByteSize(Math.multiplyExact(Long.parseLong(matcher.group(1)), 1L << shift));
  }

  @JsonValue
  @Override
  public String toString() {
    if (bytes > 0 && bytes % (1L << 30) == 0) {
      return (bytes >> 30) + "gb";
    }
    if (bytes > 0 && bytes % (1L << 20) == 0) {
      return (bytes >> 20) + "mb";
    }
    if (bytes > 0 && bytes % (1L << 10) == 0) {
      return (bytes >> 10) + "kb";
    }
    return Long.toString(bytes);
  }
}
