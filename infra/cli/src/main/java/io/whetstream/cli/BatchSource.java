package io.whetstream.cli;

import io.whetstream.model.BadInputException;
import io.whetstream.model.pairs.CaptionedImage;
import io.whetstream.model.train.PreparedPair;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Global batches from a pairs file, endlessly: epoch after epoch, in the file's order or in one
 * that depends on seed and epoch alone. The next batch is decoded while the last one is trained on.
 * Of several short captions an epoch takes one, the next epoch the next. Not safe for use by
 * several threads.
 */
final class BatchSource implements AutoCloseable {
  /** How an epoch goes through the file. */
  enum Order {
    SHUFFLED,
    FILE
  }

  private final List<CaptionedImage> pairs;
  private final Path file;
  private final PairLoader loader;
  private final BadPairs badPairs;
  private final PrintWriter err;
  private final int batch;
  private final Order order;
  private final long seed;
  private final PairLoader.Image[] cache;
  private final boolean[] unusable;
  private final ExecutorService worker =
      Executors.newSingleThreadExecutor(
          task -> {
            Thread thread = new Thread(task, "batches");
            thread.setDaemon(true);
            return thread;
          });
  private int[] epochOrder = {};
  private long epoch = -1;
  private int at;
  private Future<List<PreparedPair>> next;

  /**
   * @param cached whether processed images are kept for the next epoch
   */
  BatchSource(
      List<CaptionedImage> pairs,
      Path file,
      PairLoader loader,
      BadPairs badPairs,
      PrintWriter err,
      int batch,
      Order order,
      long seed,
      boolean cached) {
    this.pairs = pairs;
    this.file = file;
    this.loader = loader;
    this.badPairs = badPairs;
    this.err = err;
    this.batch = batch;
    this.order = order;
    this.seed = seed;
    this.cache = cached ? new PairLoader.Image[pairs.size()] : null;
    this.unusable = new boolean[pairs.size()];
    next = worker.submit(() -> prepare());
  }

  /** The next batch. */
  List<PreparedPair> next() {
    try {
      List<PreparedPair> ready = next.get();
      next = worker.submit(() -> prepare());
      return ready;
    } catch (ExecutionException e) {
      if (e.getCause() instanceof BadInputException bad) {
        throw bad;
      }
      throw new IllegalStateException(e.getCause());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(e);
    }
  }

  private List<PreparedPair> prepare() {
    List<PreparedPair> prepared = new ArrayList<>(batch);
    while (prepared.size() < batch) {
      int i = advance();
      if (!unusable[i]) {
        try {
          prepared.add(pair(i));
        } catch (BadInputException e) {
          unusable[i] = true;
          badPairs.handle(e, err);
          requireEnough();
        }
      }
    }
    return prepared;
  }

  private void requireEnough() {
    int usable = 0;
    for (boolean bad : unusable) {
      usable += bad ? 0 : 1;
    }
    if (usable < batch) {
      throw new BadInputException(
          file + ": only " + usable + " pairs can be used, fewer than a batch of " + batch);
    }
  }

  private int advance() {
    if (at == epochOrder.length) {
      epoch++;
      at = 0;
      epochOrder = new int[pairs.size()];
      Arrays.setAll(epochOrder, i -> i);
      if (order == Order.SHUFFLED) {
        SplittableRandom random = new SplittableRandom(seed * 0x9e3779b97f4a7c15L + epoch);
        for (int i = epochOrder.length - 1; i > 0; i--) {
          int j = random.nextInt(i + 1);
          int other = epochOrder[i];
          epochOrder[i] = epochOrder[j];
          epochOrder[j] = other;
        }
      }
    }
    return epochOrder[at++];
  }

  private PreparedPair pair(int i) {
    CaptionedImage pair = pairs.get(i);
    String where = file + ": line " + pair.line();
    List<String> captions = pair.captions();
    String caption =
        captions.isEmpty() ? null : captions.get((int) ((i + epoch) % captions.size()));
    long[] shortCaption = caption == null ? null : loader.shortCaption(caption, where);
    PairLoader.Image image = cache == null ? null : cache[i];
    if (image == null) {
      image = loader.image(pair.image(), where);
      if (cache != null) {
        cache[i] = image;
      }
    }
    long[] longCaption =
        pair.captionLong() == null
            ? null
            : loader.longCaption(image.processed().geometry(), pair.captionLong(), where);
    if (shortCaption == null && longCaption == null) {
      throw new BadInputException(where + ": the image leaves no room for a long caption");
    }
    return new PreparedPair(
        pair.id(),
        image.processed(),
        shortCaption,
        longCaption,
        image.digest(),
        caption == null ? null : PairLoader.digest(caption));
  }

  @Override
  public void close() {
    worker.shutdownNow();
  }
}
