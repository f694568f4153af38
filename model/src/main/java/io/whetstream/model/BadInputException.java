package io.whetstream.model;

/**
 * Input from outside (a file, a record, an option) that cannot be used. The message is written for
 * the person who supplied it: it says what was wrong, where (file, tensor, key, line), and what to
 * do.
 */
public class BadInputException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public BadInputException(String message) {
    super(message);
  }

  public BadInputException(String message, Throwable cause) {
    super(message, cause);
  }
}
