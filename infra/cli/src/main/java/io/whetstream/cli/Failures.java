package io.whetstream.cli;

import io.whetstream.model.BadInputException;
import java.io.FileNotFoundException;
import java.io.PrintWriter;
import java.net.BindException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.util.Locale;
import org.apache.kafka.common.errors.RetriableException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Turns a failure into one message and an exit code. */
final class Failures {
  private static final Logger LOG = LoggerFactory.getLogger(Failures.class);

  private static final int LONGEST = 1200;

  private Failures() {}

  /** Prints the message (the stack trace too if {@code verbose}) and returns the exit code. */
  static int report(Throwable failure, boolean verbose, PrintWriter err) {
    BadInputException badInput = find(failure, BadInputException.class);
    err.println("whetstream: " + oneLine(message(failure, badInput)));
    if (verbose) {
      failure.printStackTrace(err);
    } else if (badInput == null) {
      err.println("Add --verbose to see where.");
    }
    LOG.error("command failed", failure);
    if (find(failure, RetriableException.class) != null) {
      err.println("Kafka may answer otherwise later: try again.");
      return Main.TRY_AGAIN;
    }
    return badInput != null ? Main.BAD_INPUT : Main.FAILED;
  }

  private static String message(Throwable failure, BadInputException badInput) {
    if (badInput != null) {
      return badInput.getMessage();
    }
    if (find(failure, OutOfMemoryError.class) != null) {
      return "not enough memory; give more, for example WHETSTREAM_JAVA_OPTS=-Xmx8g";
    }
    if (find(failure, LinkageError.class) != null) {
      String folder = TemporaryFolder.problem(TemporaryFolder.NATIVES);
      if (folder != null) {
        return folder;
      }
    }
    BindException busy = find(failure, BindException.class);
    if (busy != null) {
      return "a port is in use by another process (" + busy.getMessage() + "); choose another";
    }
    FileSystemException file = find(failure, FileSystemException.class);
    if (file != null) {
      return describe(file);
    }
    Throwable root = failure;
    while (root.getCause() != null && root.getCause() != root) {
      root = root.getCause();
    }
    String inner = root.getMessage() == null ? "" : root.getMessage();
    if (root instanceof FileNotFoundException) {
      return "cannot open " + inner;
    }
    if (inner.toLowerCase(Locale.ROOT).contains("no space left")) {
      return "the disk is full: " + inner + "; free some space or choose another directory";
    }
    String own = failure.getMessage();
    // A wrapper's message that only repeats its cause's class name says nothing to a reader.
    boolean speaks = own != null && !own.startsWith(root.getClass().getName());
    String text = speaks ? own : inner.isEmpty() ? root.getClass().getSimpleName() : inner;
    return root != failure && speaks && !inner.isEmpty() && !own.contains(inner)
        ? text + ": " + inner
        : text;
  }

  private static String describe(FileSystemException e) {
    if (e instanceof NoSuchFileException) {
      return e.getFile() + " does not exist";
    }
    if (e instanceof AccessDeniedException) {
      return e.getFile() + " may not be read or written";
    }
    String reason = e.getReason() == null ? e.getClass().getSimpleName() : e.getReason();
    String remedy =
        reason.toLowerCase(Locale.ROOT).contains("no space left")
            ? "; free some space or choose another directory"
            : "";
    return e.getFile() + ": " + reason + remedy;
  }

  /**
   * The message on one line that is not too long, control characters removed: it may quote
   * untrusted input.
   */
  static String oneLine(String message) {
    String line =
        String.valueOf(message)
            .strip()
            .replaceAll("\\s*[\\r\\n]+\\s*", " ")
            .replaceAll("\\p{Cntrl}", "");
    return line.length() <= LONGEST
        ? line
        : line.substring(0, LONGEST / 2) + " ... " + line.substring(line.length() - LONGEST / 2);
  }

  private static <T extends Throwable> T find(Throwable failure, Class<T> type) {
    int depth = 0;
    for (Throwable t = failure; t != null && depth < 32; t = t.getCause(), depth++) {
      if (type.isInstance(t)) {
        return type.cast(t);
      }
    }
    return null;
  }
}
