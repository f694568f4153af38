package io.whetstream.cli;

import java.io.PrintWriter;
import java.time.Duration;
import java.util.Locale;

/**
 * Progress on standard error: a bar that is redrawn on a terminal, otherwise a line now and then,
 * so that a log stays readable.
 */
final class Progress {
  private static final int WIDTH = 30;
  private static final long REDRAW = Duration.ofMillis(200).toNanos();
  private static final long LINE = Duration.ofSeconds(30).toNanos();

  private final PrintWriter err;
  private final String what;
  private final long total;
  private final boolean terminal;
  private final long start = System.nanoTime();
  private long shown = start;

  Progress(PrintWriter err, String what, long total) {
    this(err, what, total, Terminal.attached());
  }

  Progress(PrintWriter err, String what, long total, boolean terminal) {
    this.err = err;
    this.what = what;
    this.total = total;
    this.terminal = terminal;
  }

  /** Says how far it is; cheap to call often. */
  void at(long done, String note) {
    long now = System.nanoTime();
    if (done < total && now - shown < (terminal ? REDRAW : LINE)) {
      return;
    }
    if (done >= total && !terminal && now - start < LINE) {
      return;
    }
    shown = now;
    double share = total == 0 ? 1 : Math.min(1, done / (double) total);
    double left = share == 0 ? 0 : (now - start) / 1e9 * (1 / share - 1);
    if (terminal) {
      int full = (int) Math.round(share * WIDTH);
      err.printf(
          Locale.ROOT,
          "\r%s [%s%s] %d/%d %s, %.0f s left\u001b[K",
          what,
          "#".repeat(full),
          ".".repeat(WIDTH - full),
          done,
          total,
          note,
          left);
    } else {
      err.printf(Locale.ROOT, "%s: %d of %d, %s, %.0f s left%n", what, done, total, note, left);
    }
    err.flush();
  }

  /** Ends the bar's line, so that what follows begins on its own. */
  void done() {
    if (terminal) {
      err.println();
      err.flush();
    }
  }
}
