package io.whetstream.model.onnx;

/**
 * The adapter in use. Changing it is one volatile write; calls that run with the one before finish
 * with it, and its memory is freed after the last of them. Thread-safe.
 */
public final class ActiveAdapter implements AutoCloseable {
  private volatile ScorerAdapter current;
  private boolean closed;

  /** Takes over the caller's handle. */
  public ActiveAdapter(ScorerAdapter initial) {
    current = initial;
  }

  /**
   * Makes another adapter the one in use and takes over the caller's handle on it. The handle on
   * the one before is given back; after {@link #close} it is the new one that is.
   */
  public void swap(ScorerAdapter next) {
    ScorerAdapter before;
    synchronized (this) {
      if (closed) {
        // Nobody would give the handle back any more.
        before = next;
      } else {
        before = current;
        current = next;
      }
    }
    before.close();
  }

  /** A handle on the adapter in use; the caller closes it. */
  public ScorerAdapter acquire() {
    while (true) {
      ScorerAdapter now = current;
      if (now.tryRetain()) {
        return now;
      }
      if (now == current) {
        throw new IllegalStateException("the active adapter is closed");
      }
    }
  }

  /** Gives back the handle on the adapter in use, once. */
  @Override
  public void close() {
    synchronized (this) {
      if (closed) {
        return;
      }
      closed = true;
    }
    current.close();
  }
}
