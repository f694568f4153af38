package io.whetstream.model.onnx;

import java.util.concurrent.atomic.AtomicInteger;

/** Counts the users of something native; the last one to leave closes it. */
final class References {
  private final AtomicInteger count = new AtomicInteger(1);
  private final String what;
  private final Runnable close;

  References(String what, Runnable close) {
    this.what = what;
    this.close = close;
  }

  /** One more user, unless the last has already left. */
  boolean tryRetain() {
    int now = count.get();
    while (now > 0) {
      if (count.compareAndSet(now, now + 1)) {
        return true;
      }
      now = count.get();
    }
    return false;
  }

  void retain() {
    if (!tryRetain()) {
      throw new IllegalStateException(what + " is closed");
    }
  }

  void release() {
    int left = count.decrementAndGet();
    if (left == 0) {
      close.run();
    } else if (left < 0) {
      count.incrementAndGet();
      throw new IllegalStateException(what + " was closed more often than it was retained");
    }
  }
}
