package io.whetstream.cli;

import io.whetstream.model.BadInputException;
import java.io.PrintWriter;
import picocli.CommandLine.Option;

/**
 * What happens to pairs that cannot be used. Use: {@code @Mixin private BadPairs badPairs;}. Safe
 * for use by several threads.
 */
final class BadPairs {
  private static final int SHOWN = 5;

  /** The choices. */
  enum Policy {
    ERROR,
    SKIP
  }

  @Option(
      names = "--on-bad-pair",
      paramLabel = "error|skip",
      defaultValue = "error",
      description =
          "What to do with a line or an image that cannot be used: stop, or skip and count it"
              + " (default: error).")
  private Policy policy;

  private int count;

  /** Throws, or counts and tells: the first few, so that a bad file does not flood the screen. */
  synchronized void handle(BadInputException bad, PrintWriter err) {
    if (policy == Policy.ERROR) {
      throw new BadInputException(
          bad.getMessage() + "; with --on-bad-pair skip it is passed by", bad);
    }
    count++;
    if (count <= SHOWN) {
      err.println("skipped: " + Failures.oneLine(bad.getMessage()));
    } else if (count == SHOWN + 1) {
      err.println("skipped: more, which are counted only");
    }
  }

  /** How many were skipped. */
  synchronized int count() {
    return count;
  }
}
