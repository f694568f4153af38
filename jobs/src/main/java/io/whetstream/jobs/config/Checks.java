package io.whetstream.jobs.config;

import io.whetstream.model.BadInputException;
import java.time.Duration;

/**
 * Range checks of configuration values; each message names the key, the value and what is right.
 */
public final class Checks {
  private Checks() {}

  /** Refuses a value below {@code least}. */
  public static void atLeast(String key, long value, long least) {
    if (value < least) {
      throw new BadInputException(key + " must be at least " + least + ", not " + value);
    }
  }

  /** Refuses a value outside [least, most]. */
  public static void within(String key, double value, double least, double most) {
    if (!(value >= least && value <= most)) {
      throw new BadInputException(
          key + " must be between " + least + " and " + most + ", not " + value);
    }
  }

  /** Refuses an empty text. */
  public static void present(String key, String value) {
    if (value == null || value.isBlank()) {
      throw new BadInputException(key + " must be set");
    }
  }

  /** Refuses a duration that is not positive. */
  public static void positive(String key, Duration value) {
    if (value.isNegative() || value.isZero()) {
      throw new BadInputException(key + " must be longer than 0s");
    }
  }

  /** Refuses what is not so. */
  public static void that(boolean holds, String message) {
    if (!holds) {
      throw new BadInputException(message);
    }
  }
}
