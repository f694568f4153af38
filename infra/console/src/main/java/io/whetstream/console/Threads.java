package io.whetstream.console;

import java.time.Duration;

/** Waiting for threads. */
final class Threads {
  private static final Duration PATIENCE = Duration.ofSeconds(5);

  private Threads() {}

  /** Waits a little until a thread that was told to end has ended. */
  static void await(Thread thread) {
    try {
      thread.join(PATIENCE.toMillis());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
