package io.whetstream.jobs.score;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Supplier;

/**
 * What the subtasks of one job in one process share: the model's session, the watchlist's vectors
 * and one thread that reads adapters. Opened by the first subtask, closed by the last.
 */
final class SharedResources implements AutoCloseable {
  private static final Map<String, SharedResources> OPEN = new HashMap<>();

  private final String key;
  private final Embedder embedder;
  private final IdleCores idleCores = new IdleCores();
  private final MatrixProduct product;
  private final WatchlistTable table;
  private final VectorSpill spill;
  private final ExecutorService background;
  private int users;

  private SharedResources(String key, Embedder embedder, String spillDirectory) {
    this.key = key;
    this.embedder = embedder;
    this.product = new MatrixProduct(embedder.dimension(), idleCores);
    this.table = new WatchlistTable(embedder.dimension());
    this.spill =
        spillDirectory.isEmpty()
            ? null
            : VectorSpill.open(
                Path.of(spillDirectory), embedder.baseDigest(), embedder.dimension());
    this.background =
        Executors.newSingleThreadExecutor(
            task -> {
              Thread thread = new Thread(task, "adapter-loader");
              thread.setDaemon(true);
              return thread;
            });
  }

  /**
   * Joins the resources called {@code key}, made with {@code open} if there are none yet.
   *
   * @param key names job and model
   * @param spillDirectory where vectors are kept over restarts; empty: nowhere
   */
  static SharedResources join(String key, String spillDirectory, Supplier<Embedder> open) {
    synchronized (OPEN) {
      SharedResources found = OPEN.get(key);
      if (found == null) {
        found = new SharedResources(key, open.get(), spillDirectory);
        OPEN.put(key, found);
      }
      found.users++;
      return found;
    }
  }

  Embedder embedder() {
    return embedder;
  }

  MatrixProduct product() {
    return product;
  }

  /** For what need not be done by a subtask's own thread. */
  IdleCores idleCores() {
    return idleCores;
  }

  WatchlistTable table() {
    return table;
  }

  /** Vectors from before a restart, or null. */
  VectorSpill spill() {
    return spill;
  }

  ExecutorService background() {
    return background;
  }

  /** Ends one subtask's use. */
  @Override
  public void close() {
    synchronized (OPEN) {
      users--;
      if (users > 0) {
        return;
      }
      OPEN.remove(key);
      if (spill != null) {
        // Before another of this process opens it: a restart goes on with the same directory.
        spill.close();
      }
    }
    idleCores.close();
    // A read in progress may still hand over an adapter: the session outlives it.
    background.execute(
        () -> {
          product.close();
          embedder.close();
        });
    background.shutdown();
  }
}
