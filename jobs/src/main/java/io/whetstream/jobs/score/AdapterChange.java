package io.whetstream.jobs.score;

import io.whetstream.connectors.records.MatchKind.Side;
import io.whetstream.jobs.score.WatchlistTable.AdapterVectors;
import io.whetstream.model.BadInputException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.function.BiConsumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The way to the next adapter: it is asked for, read and verified in the background, and then the
 * watchlist is embedded under it, a slice at a time. One at a time; of those asked for meanwhile
 * only the last waits. One that is bad is given up; one that could not be read or embedded for
 * another reason is tried again after {@link #RETRY}, unless another is wanted by then. One thread.
 */
final class AdapterChange {
  static final Duration RETRY = Duration.ofSeconds(5);

  private static final Logger LOGGER = LoggerFactory.getLogger(AdapterChange.class);

  private final WatchlistTable table;
  private final RowEmbedder rows;
  private final LoadedAdapter.Loader loader;
  private final Executor background;
  private final boolean bridges;
  private final BiConsumer<AdapterVersion, String> refused;

  private AdapterVersion waiting;

  /** {@link System#nanoTime} before which what waits is not begun. */
  private long notBefore;

  /** {@link System#nanoTime} before which nothing is embedded after a failure. */
  private long embedNotBefore = System.nanoTime();

  private AdapterVersion loadingVersion;
  private CompletableFuture<LoadedAdapter> loading;
  private LoadedAdapter loaded;
  private AdapterVectors target;

  /**
   * @param bridges whether the rest of a large watchlist comes over a {@link VectorBridge} once
   *     enough of it is embedded
   * @param refused told of an adapter that cannot be used, with the reason
   */
  AdapterChange(
      WatchlistTable table,
      RowEmbedder rows,
      LoadedAdapter.Loader loader,
      Executor background,
      boolean bridges,
      BiConsumer<AdapterVersion, String> refused) {
    this.table = table;
    this.rows = rows;
    this.loader = loader;
    this.background = background;
    this.bridges = bridges;
    this.refused = refused;
  }

  /** The adapter that will serve next, or null. */
  AdapterVersion next() {
    if (waiting != null) {
      return waiting;
    }
    if (target != null) {
      return target.version();
    }
    return loaded != null ? loaded.version() : loadingVersion;
  }

  boolean isUnderWay() {
    return target != null || loading != null || loaded != null || waiting != null;
  }

  /** Asks for an adapter after the one under way, if any. */
  void ask(AdapterVersion version) {
    waiting = version;
    notBefore = System.nanoTime();
  }

  /** Gives up everything. */
  void giveUp() {
    waiting = null;
    if (target != null) {
      table.leave(target, true);
      target = null;
    }
    if (loaded != null) {
      loaded.adapter().close();
      loaded = null;
    }
    if (loading != null) {
      // It cannot be interrupted in the middle of a read; whatever comes is closed.
      CompletableFuture<Void> unused = loading.thenAccept(late -> late.adapter().close());
      loading = null;
      loadingVersion = null;
    }
  }

  /**
   * Does one slice of what is due.
   *
   * @param serving the adapter in use
   * @param slice how many contents to embed
   * @return the vectors of the next adapter if they are complete, which then belong to the caller;
   *     else null
   */
  AdapterVectors advance(AdapterVectors serving, Watchlist watchlist, SliceSize slice) {
    takeLoaded();
    begin(serving.version());
    long now = System.nanoTime();
    return target == null || now - embedNotBefore < 0
        ? null
        : embedSlice(serving, watchlist, slice);
  }

  private void takeLoaded() {
    if (loading != null && loading.isDone()) {
      try {
        loaded = loading.join();
      } catch (CompletionException e) {
        refused.accept(loadingVersion, Reasons.of(e));
        if (waiting == null && !(e.getCause() instanceof BadInputException)) {
          waiting = loadingVersion;
          notBefore = System.nanoTime() + RETRY.toNanos();
        }
      }
      loading = null;
      loadingVersion = null;
    }
    if (loaded != null) {
      target =
          table.open(loaded.version(), loaded.adapter(), loaded.calibration(), true).orElse(null);
      // Until other subtasks have left another digest behind, it is asked again.
      loaded = target == null ? loaded : null;
    }
  }

  private void begin(AdapterVersion serving) {
    if (waiting == null || loading != null || loaded != null || target != null) {
      return;
    }
    if (System.nanoTime() - notBefore < 0) {
      return;
    }
    AdapterVersion wanted = waiting;
    waiting = null;
    if (wanted.digest().equals(serving.digest())) {
      return;
    }
    target = table.join(wanted.digest(), true).orElse(null);
    if (target == null) {
      loadingVersion = wanted;
      loading =
          CompletableFuture.supplyAsync(
              () -> {
                try {
                  return loader.load(wanted);
                } catch (Exception e) {
                  throw new CompletionException(e);
                }
              },
              background);
    }
  }

  private AdapterVectors embedSlice(AdapterVectors serving, Watchlist watchlist, SliceSize slice) {
    AdapterVectors vectors = target;
    try {
      long start = System.nanoTime();
      // Others may have embedded the rest even while it is the items' turn.
      int turn = slice.isDue(start) ? slice.next() : 0;
      int left = turn;
      for (Side side : Side.values()) {
        BitSet needed = watchlist.needed(side);
        boolean rest = canBridge(serving, vectors, side, needed);
        List<Integer> claimed = rest ? List.of() : vectors.slabs(side).claim(needed, left);
        rows.embed(vectors, side, claimed);
        left -= claimed.size();
      }
      long now = System.nanoTime();
      slice.took(turn - left, now - start, now);
    } catch (BadInputException e) {
      target = null;
      table.leave(vectors, true);
      refused.accept(vectors.version(), Reasons.of(e));
      return null;
    } catch (RuntimeException e) {
      // Neither the adapter nor a query is to blame.
      LOGGER.warn(
          "the watchlist is embedded on under {} later: {}", vectors.version(), Reasons.of(e));
      embedNotBefore = System.nanoTime() + RETRY.toNanos();
      return null;
    }
    if (!vectors.holdsAll(watchlist.needed(Side.TEXT), watchlist.needed(Side.IMAGE))) {
      bridge(serving, vectors, watchlist);
      return null;
    }
    target = null;
    return vectors;
  }

  // ---- bridging

  /** Whether a side is large, and enough of it is embedded for the rest to come over a bridge. */
  private boolean canBridge(AdapterVectors serving, AdapterVectors next, Side side, BitSet needed) {
    int samples = VectorBridge.samples(table.dimension());
    return bridges
        && !next.failedToBridge()
        && needed.cardinality() > 2 * samples
        && common(serving, next, side, needed).cardinality() >= samples;
  }

  private static BitSet common(
      AdapterVectors serving, AdapterVectors next, Side side, BitSet needed) {
    return next.slabs(side).exact(serving.slabs(side).exact(needed));
  }

  /** Begins to bridge what is missing, off this thread, if nothing else is left to do. */
  private void bridge(AdapterVectors serving, AdapterVectors next, Watchlist watchlist) {
    Map<Side, BitSet> large = new EnumMap<>(Side.class);
    for (Side side : Side.values()) {
      BitSet needed = (BitSet) watchlist.needed(side).clone();
      if (canBridge(serving, next, side, needed)) {
        large.put(side, needed);
      } else if (!next.slabs(side).holdsAll(needed)) {
        return;
      }
    }
    if (large.isEmpty() || !next.beginBridging()) {
      return;
    }
    // No row is given to another content meanwhile.
    large.forEach(table::retain);
    CompletableFuture<Void> unused =
        CompletableFuture.runAsync(
                () -> large.forEach((side, needed) -> bridge(serving, next, side, needed)),
                background)
            .whenComplete(
                (done, failure) -> {
                  if (failure != null) {
                    LOGGER.warn("vectors are embedded instead of bridged", failure);
                    next.bridgingFailed();
                  }
                  large.forEach(
                      (side, needed) -> needed.stream().forEach(row -> table.release(side, row)));
                });
  }

  private static void bridge(
      AdapterVectors serving, AdapterVectors next, Side side, BitSet needed) {
    VectorSlabs from = serving.slabs(side);
    VectorSlabs to = next.slabs(side);
    List<float[]> before = new ArrayList<>();
    List<float[]> after = new ArrayList<>();
    common(serving, next, side, needed).stream()
        .limit(2L * VectorBridge.samples(from.dimension()))
        .forEach(
            row -> {
              before.add(from.get(row));
              after.add(to.get(row));
            });
    VectorBridge bridge = VectorBridge.fit(before, after);
    List<Integer> rows = to.claim(needed, Integer.MAX_VALUE);
    try {
      for (int row : rows) {
        if (from.isFilled(row)) {
          to.putBridged(row, bridge.apply(from.get(row)));
        }
      }
    } finally {
      to.unclaim(rows);
    }
  }
}
