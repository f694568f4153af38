package io.whetstream.connectors.image;

import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.Executor;

/**
 * Hands tasks to threads so that only so many at a time are of one host; the others of that host
 * wait aside, and take no thread. Thread-safe.
 */
final class HostTurns {
  private static final class Host {
    int running;
    final Queue<Runnable> waiting = new ArrayDeque<>();
  }

  private final Executor threads;
  private final int perHost;
  private final Map<String, Host> hosts = new HashMap<>();

  HostTurns(Executor threads, int perHost) {
    this.threads = threads;
    this.perHost = perHost;
  }

  void execute(String host, Runnable task) {
    synchronized (hosts) {
      Host known = hosts.computeIfAbsent(host, any -> new Host());
      if (known.running == perHost) {
        known.waiting.add(task);
        return;
      }
      known.running++;
    }
    run(host, task);
  }

  private void run(String host, Runnable task) {
    threads.execute(
        () -> {
          try {
            task.run();
          } finally {
            next(host);
          }
        });
  }

  private void next(String host) {
    Runnable task;
    synchronized (hosts) {
      Host known = hosts.get(host);
      task = known.waiting.poll();
      if (task == null && --known.running == 0) {
        hosts.remove(host);
      }
    }
    if (task != null) {
      run(host, task);
    }
  }
}
