package io.whetstream.connectors.image;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.ImageRecord;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.connectors.types.Read;
import io.whetstream.model.BadInputException;
import java.util.Collections;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeoutException;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.streaming.api.functions.async.ResultFuture;
import org.apache.flink.streaming.api.functions.async.RichAsyncFunction;

/**
 * Fetches the images of records that have only a URI. What cannot be fetched becomes a dead letter
 * of stage {@code fetch}; the job goes on.
 *
 * @param <T> a record with an image
 */
public final class ImageFetch<T extends StreamRecord> extends RichAsyncFunction<Read<T>, Read<T>> {
  private static final long serialVersionUID = 1L;

  private final Class<T> javaClass;
  private final ImageOptions options;
  private transient ImageFetcher fetcher;

  public ImageFetch(RecordType<T> type, ImageOptions options) {
    this.javaClass = type.javaClass();
    this.options = options;
    if (!ImageRecord.class.isAssignableFrom(javaClass)) {
      throw new BadInputException(javaClass.getSimpleName() + " has no image to fetch");
    }
  }

  @Override
  public void open(OpenContext context) {
    fetcher = ImageFetcher.open(options);
  }

  @Override
  public void close() {
    if (fetcher != null) {
      fetcher.close();
    }
  }

  @Override
  public void asyncInvoke(Read<T> read, ResultFuture<Read<T>> result) {
    if (!(read.value() instanceof ImageRecord<?> record)
        || record.image() != null
        || record.imageUri() == null) {
      result.complete(Collections.singleton(read));
      return;
    }
    // Nobody waits for this future: what becomes of it is told to the result.
    var unused =
        fetcher
            .fetchLater(record)
            .whenComplete(
                (whole, failure) ->
                    result.complete(
                        Collections.singleton(
                            failure == null
                                ? read.withValue(javaClass.cast(whole))
                                : failed(read, failure))));
  }

  private Read<T> failed(Read<T> read, Throwable failure) {
    Throwable cause =
        failure instanceof CompletionException && failure.getCause() != null
            ? failure.getCause()
            : failure;
    return read.dead("fetch", cause);
  }

  @Override
  public void timeout(Read<T> read, ResultFuture<Read<T>> result) {
    result.complete(
        Collections.singleton(
            read.dead("fetch", new TimeoutException("the image was not fetched in time"))));
  }
}
