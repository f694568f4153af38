package io.whetstream.connectors.records;

import io.whetstream.model.BadInputException;

/** Checks shared by the constructors of records. */
final class Require {
  private Require() {}

  static void present(String field, String value) {
    if (value == null || value.isBlank()) {
      throw new BadInputException(field + " is missing or empty");
    }
  }

  static void that(boolean holds, String message) {
    if (!holds) {
      throw new BadInputException(message);
    }
  }

  static String blankToNull(String value) {
    return value == null || value.isBlank() ? null : value;
  }

  static boolean hasImage(byte[] image, String uri) {
    return image != null || uri != null;
  }
}
