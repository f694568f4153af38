package io.whetstream.jobs.table;

import io.whetstream.jobs.score.Embedder;
import io.whetstream.jobs.score.ScoringModel;
import io.whetstream.model.BadInputException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.apache.flink.metrics.Counter;

/**
 * Gathers rows into micro-batches, by size and time, and embeds each batch under one adapter on a
 * thread of its own. How many rows wait is bounded by Flink's operator, which holds them.
 */
final class EmbeddingBatches implements AutoCloseable {
  private final ScoringModel model;
  private final int size;
  private final long waitNanos;
  private final Counter embedded;
  private final Counter refused;
  private final Counter batches;
  private final BlockingQueue<Waiting> queue = new LinkedBlockingQueue<>();
  private final Thread worker;
  private volatile boolean closed;

  /**
   * A row as it was embedded.
   *
   * @param digest the adapter that made all of it
   * @param imageVector of unit length, or null
   * @param textVector of unit length, or null
   * @param error why it has no vector, or null
   * @param isEmpty whether it had nothing to embed
   */
  record Row(
      String digest, float[] imageVector, float[] textVector, String error, boolean isEmpty) {

    /** Of the image where there is one, else of the text. */
    float[] vector() {
      return imageVector != null ? imageVector : textVector;
    }

    /** Cosine of image and text, or null. */
    Double similarity() {
      if (imageVector == null || textVector == null) {
        return null;
      }
      double sum = 0;
      for (int i = 0; i < imageVector.length; i++) {
        sum += (double) imageVector[i] * textVector[i];
      }
      return sum;
    }
  }

  private final class Waiting {
    final PreparedContent content;
    final CompletableFuture<Row> answer = new CompletableFuture<>();
    float[] imageVector;
    float[] textVector;
    String error;

    Waiting(PreparedContent content) {
      this.content = content;
      this.error = content.error();
    }

    void complete(String digest) {
      boolean good = error == null;
      (good ? embedded : refused).inc();
      answer.complete(
          new Row(
              digest,
              good ? imageVector : null,
              good ? textVector : null,
              error,
              content.isEmpty()));
    }
  }

  EmbeddingBatches(
      ScoringModel model,
      int size,
      long waitNanos,
      Counter embedded,
      Counter refused,
      Counter batches) {
    this.model = model;
    this.size = size;
    this.waitNanos = waitNanos;
    this.embedded = embedded;
    this.refused = refused;
    this.batches = batches;
    worker = new Thread(this::work, "embedding batches");
    worker.setDaemon(true);
    worker.start();
  }

  /**
   * Decodes a row's image and adds the row to a batch.
   *
   * @param image encoded, or null
   * @param text or null
   * @return completes on the worker's thread; exceptionally only if embedding itself is broken
   */
  CompletableFuture<Row> add(byte[] image, String text) {
    Waiting row = new Waiting(PreparedContent.of(model.embedder(), image, text));
    queue.add(row);
    if (closed) {
      failAll(queue, closedWhileWaiting());
    }
    return row.answer;
  }

  private static IllegalStateException closedWhileWaiting() {
    return new IllegalStateException("closed before the row was embedded");
  }

  private void work() {
    List<Waiting> batch = new ArrayList<>(size);
    try {
      while (!closed) {
        gather(batch);
        embed(batch);
        batch.clear();
      }
    } catch (InterruptedException e) {
      // Closed.
    }
    failAll(batch, closedWhileWaiting());
    failAll(queue, closedWhileWaiting());
  }

  private void gather(List<Waiting> batch) throws InterruptedException {
    batch.add(queue.take());
    long deadline = System.nanoTime() + waitNanos;
    while (batch.size() < size) {
      queue.drainTo(batch, size - batch.size());
      long left = deadline - System.nanoTime();
      if (batch.size() == size || left <= 0) {
        return;
      }
      Waiting next = queue.poll(left, TimeUnit.NANOSECONDS);
      if (next == null) {
        return;
      }
      batch.add(next);
    }
  }

  private void embed(List<Waiting> batch) {
    try (ScoringModel.Use use = model.use()) {
      Embedder embedder = model.embedder();
      embedSide(
          batch.stream().filter(row -> row.error == null && row.content.hasImage()).toList(),
          rows -> {
            float[][] vectors =
                embedder.images(
                    use.adapter(), rows.stream().map(row -> row.content.image()).toList());
            for (int i = 0; i < vectors.length; i++) {
              rows.get(i).imageVector = vectors[i];
            }
            return vectors;
          });
      embedSide(
          batch.stream().filter(row -> row.error == null && row.content.text() != null).toList(),
          rows -> {
            float[][] vectors =
                embedder.texts(
                    use.adapter(), rows.stream().map(row -> row.content.text()).toList());
            for (int i = 0; i < vectors.length; i++) {
              rows.get(i).textVector = vectors[i];
            }
            return vectors;
          });
      batches.inc();
      String digest = use.digest();
      batch.forEach(row -> row.complete(digest));
    } catch (RuntimeException | Error e) {
      failAll(batch, e);
    }
  }

  /** Embeds rows together, or one by one if that fails, so that one bad row costs no other. */
  private static void embedSide(List<Waiting> rows, Function<List<Waiting>, float[][]> embed) {
    if (rows.isEmpty()) {
      return;
    }
    try {
      requireFinite(embed.apply(rows));
    } catch (BadInputException together) {
      for (Waiting row : rows) {
        try {
          requireFinite(embed.apply(List.of(row)));
        } catch (BadInputException e) {
          row.error = e.getMessage();
        }
      }
    }
  }

  private static void requireFinite(float[][] vectors) {
    for (float[] vector : vectors) {
      for (float value : vector) {
        if (!Float.isFinite(value)) {
          throw new BadInputException("the embedding is not finite");
        }
      }
    }
  }

  private static void failAll(Iterable<Waiting> rows, Throwable reason) {
    rows.forEach(row -> row.answer.completeExceptionally(reason));
  }

  @Override
  public void close() throws InterruptedException {
    closed = true;
    worker.interrupt();
    worker.join();
  }
}
