package io.whetstream.jobs.score;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.streaming.api.functions.async.ResultFuture;
import org.apache.flink.streaming.api.functions.async.RichAsyncFunction;

/**
 * Fetches the images of new queries before they reach the matcher, whose task does not wait for
 * them. A failure travels on with the query as the reason to refuse it.
 */
final class QueryImageFetch extends RichAsyncFunction<ControlRecord, ControlRecord> {
  private static final long serialVersionUID = 1L;

  private final ScoreParts parts;
  private final int concurrency;
  private transient ExecutorService executor;

  QueryImageFetch(ScoreConfig config, ScoreParts parts) {
    this.parts = parts;
    this.concurrency = config.images().concurrency();
  }

  @Override
  public void open(OpenContext context) {
    executor =
        Executors.newFixedThreadPool(
            concurrency,
            task -> {
              Thread thread = new Thread(task, "whetstream-query-images");
              thread.setDaemon(true);
              return thread;
            });
  }

  @Override
  public void asyncInvoke(ControlRecord record, ResultFuture<ControlRecord> result) {
    var unused =
        CompletableFuture.supplyAsync(() -> parts.withImage(record), executor)
            .whenComplete(
                (fetched, failure) -> {
                  if (failure == null) {
                    result.complete(List.of(fetched));
                  } else {
                    result.completeExceptionally(failure);
                  }
                });
  }

  @Override
  public void timeout(ControlRecord record, ResultFuture<ControlRecord> result) {
    result.complete(List.of(record.refused("the query's image was not fetched in time")));
  }

  @Override
  public void close() {
    if (executor != null) {
      executor.shutdownNow();
    }
  }
}
