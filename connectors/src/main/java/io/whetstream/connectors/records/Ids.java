package io.whetstream.connectors.records;

import io.whetstream.model.BadInputException;
import java.nio.charset.StandardCharsets;

/**
 * Ids of records are bounded where they come in: they are keys of topics and of state, and stand in
 * every alert. What earlier versions took in with a longer one, and keep in state, goes on.
 */
public final class Ids {
  /** Longest id, in bytes of UTF-8. */
  public static final int MAX_BYTES = 1024;

  private static final int SHOWN = 80;

  private Ids() {}

  /** Whether an id is within its bound. */
  public static boolean isShort(String id) {
    return id.length() <= MAX_BYTES && bytes(id) <= MAX_BYTES;
  }

  private static int bytes(String id) {
    return id.getBytes(StandardCharsets.UTF_8).length;
  }

  /**
   * @throws BadInputException if the id is too long
   */
  public static void requireShort(String id) {
    if (!isShort(id)) {
      throw new BadInputException(tooLong(id));
    }
  }

  /** What is said of an id that is too long. */
  public static String tooLong(String id) {
    return "the id '" + shortened(id) + "' has " + bytes(id) + " bytes; at most " + MAX_BYTES;
  }

  /** What names a record in messages: its id, or the beginning and the length of a long one. */
  public static String shortened(String id) {
    if (isShort(id)) {
      return id;
    }
    int end = Character.isHighSurrogate(id.charAt(SHOWN - 1)) ? SHOWN - 1 : SHOWN;
    return id.substring(0, end) + "… (" + id.length() + " characters)";
  }
}
