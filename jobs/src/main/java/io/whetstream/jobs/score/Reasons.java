package io.whetstream.jobs.score;

import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;

/** The one line a person needs of an exception. */
final class Reasons {
  private Reasons() {}

  static String of(Throwable thrown) {
    Throwable cause = thrown;
    while ((cause instanceof CompletionException || cause instanceof ExecutionException)
        && cause.getCause() != null) {
      cause = cause.getCause();
    }
    String message = cause.getMessage();
    return message == null || message.isBlank() ? cause.getClass().getSimpleName() : message;
  }
}
