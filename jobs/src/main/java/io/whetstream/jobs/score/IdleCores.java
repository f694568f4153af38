package io.whetstream.jobs.score;

import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * Threads, as many as there are cores, for what a subtask's thread need not do alone: decoding of
 * pictures and slabs of the watchlist. Shared by the subtasks of a process; they end when they have
 * had nothing to do for a while.
 */
final class IdleCores implements Executor, AutoCloseable {
  private static final int IDLE_SECONDS = 10;

  private final ThreadPoolExecutor threads;

  IdleCores() {
    this(Runtime.getRuntime().availableProcessors());
  }

  IdleCores(int count) {
    threads =
        new ThreadPoolExecutor(
            count,
            count,
            IDLE_SECONDS,
            TimeUnit.SECONDS,
            new LinkedBlockingQueue<>(),
            task -> {
              Thread thread = new Thread(task, "whetstream-score");
              thread.setDaemon(true);
              return thread;
            });
    threads.allowCoreThreadTimeOut(true);
  }

  int count() {
    return threads.getCorePoolSize();
  }

  @Override
  public void execute(Runnable task) {
    threads.execute(task);
  }

  /** What has begun ends by itself. */
  @Override
  public void close() {
    threads.shutdownNow();
  }
}
