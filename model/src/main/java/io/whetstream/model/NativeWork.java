package io.whetstream.model;

import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * Work that threads are doing inside libtorch or ONNX Runtime. A process that ends destroys what
 * those libraries share while its threads go on: one that is in the middle of a step then crashes,
 * and the process ends with a segmentation fault instead of its exit code. So a process that ends
 * waits for the calls that are under way, and begins no more.
 *
 * <p>Any thread; work may be within work.
 */
public final class NativeWork {
  /** Longer than a step of any size that trains on one machine. */
  private static final Duration PATIENCE = Duration.ofMinutes(1);

  private static final ReentrantReadWriteLock LOCK = new ReentrantReadWriteLock();

  private NativeWork() {}

  /** Work that may fail with a checked exception of one kind. */
  public interface Work<T, E extends Exception> {
    T run() throws E;
  }

  /** Runs work in a native library. Once the process ends it does not return. */
  public static <T, E extends Exception> T run(Work<T, E> work) throws E {
    LOCK.readLock().lock();
    try {
      return work.run();
    } finally {
      LOCK.readLock().unlock();
    }
  }

  /**
   * Makes the end of this process, by a signal or {@link System#exit}, wait for work under way, a
   * minute at most. For programs of our own: a hook keeps its class loader, and so a job's classes.
   */
  public static void beforeExit() {
    Runtime.getRuntime().addShutdownHook(new Thread(() -> end(PATIENCE), "native work"));
  }

  /**
   * Waits until nothing runs and lets nothing begin from then on.
   *
   * @return whether nothing runs
   */
  public static boolean end(Duration patience) {
    try {
      return LOCK.writeLock().tryLock(patience.toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
  }
}
