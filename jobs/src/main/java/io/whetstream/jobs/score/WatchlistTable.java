package io.whetstream.jobs.score;

import io.whetstream.connectors.records.MatchKind.Side;
import io.whetstream.model.adapter.Calibration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Vectors of the watchlist, one table per process and scoring job, shared by its subtasks.
 *
 * <p>A row belongs to a content (a text or an image of a query), found by its digest: queries with
 * equal content share a row, and subtasks share vectors. Under each open adapter digest a row has
 * one vector. One digest is embedded at a time: the next is opened when every subtask that took
 * part in the former has flipped to it or given it up. So memory stays at the digests that serve
 * (one, two during a flip) and the one being embedded.
 *
 * <p>Thread-safe. The lock is never held while something is embedded.
 */
final class WatchlistTable {
  /**
   * What a row holds a vector of.
   *
   * @param digest content digest, hexadecimal
   * @param text the text, or null on the image side
   * @param image the encoded image, or null on the text side
   */
  record Content(Side side, String digest, String text, byte[] image) {}

  private static final class Rows {
    final Map<String, Integer> byDigest = new HashMap<>();
    final List<Content> contents = new ArrayList<>();
    final List<Integer> references = new ArrayList<>();
    final ArrayDeque<Integer> free = new ArrayDeque<>();
  }

  private final int dimension;
  private final Map<Side, Rows> rows = new EnumMap<>(Side.class);
  private final Map<String, AdapterVectors> open = new LinkedHashMap<>();

  WatchlistTable(int dimension) {
    this.dimension = dimension;
    for (Side side : Side.values()) {
      rows.put(side, new Rows());
    }
  }

  /** The row of a content, kept until as many {@link #release} calls. */
  synchronized int acquire(Content content) {
    Rows side = rows.get(content.side());
    Integer known = side.byDigest.get(content.digest());
    if (known != null) {
      side.references.set(known, side.references.get(known) + 1);
      return known;
    }
    int row;
    if (side.free.isEmpty()) {
      row = side.contents.size();
      side.contents.add(content);
      side.references.add(1);
    } else {
      row = side.free.pop();
      side.contents.set(row, content);
      side.references.set(row, 1);
    }
    side.byDigest.put(content.digest(), row);
    return row;
  }

  synchronized void release(Side kind, int row) {
    Rows side = rows.get(kind);
    int left = side.references.get(row) - 1;
    side.references.set(row, left);
    if (left == 0) {
      side.byDigest.remove(side.contents.get(row).digest());
      side.contents.set(row, null);
      for (AdapterVectors vectors : open.values()) {
        vectors.slabs(kind).forget(row);
      }
      side.free.push(row);
    }
  }

  /** Holds on to rows that the caller has acquired, until as many {@link #release} calls. */
  synchronized void retain(Side side, BitSet some) {
    List<Integer> references = rows.get(side).references;
    some.stream().forEach(row -> references.set(row, references.get(row) + 1));
  }

  int dimension() {
    return dimension;
  }

  synchronized Content content(Side side, int row) {
    return rows.get(side).contents.get(row);
  }

  /** Number of different contents of a side. */
  synchronized int size(Side side) {
    return rows.get(side).byDigest.size();
  }

  /**
   * Opens the vectors of an adapter, or joins those already open. {@code adapter} then belongs to
   * the table; if the digest was open already the given handle is closed and the first one stays.
   *
   * @param embedding true if the caller goes on serving another digest meanwhile, until {@link
   *     #flipped} or {@link #leave}
   * @return empty if another digest is being embedded: ask again later, the handle stays with the
   *     caller
   */
  synchronized Optional<AdapterVectors> open(
      AdapterVersion version,
      Embedder.Adapter adapter,
      Calibration calibration,
      boolean embedding) {
    Optional<AdapterVectors> known = join(version.digest(), embedding);
    if (known.isPresent()) {
      adapter.close();
      return known;
    }
    if (embedding && othersAreEmbedding(version.digest())) {
      return Optional.empty();
    }
    AdapterVectors vectors = new AdapterVectors(version, adapter, calibration, dimension);
    open.put(version.digest(), vectors);
    return join(version.digest(), embedding);
  }

  /** Joins the vectors of a digest that another subtask has opened, if any has. */
  synchronized Optional<AdapterVectors> join(String digest, boolean embedding) {
    AdapterVectors known = open.get(digest);
    if (known == null || (embedding && othersAreEmbedding(digest))) {
      return Optional.empty();
    }
    known.users++;
    known.embedding += embedding ? 1 : 0;
    return Optional.of(known);
  }

  private boolean othersAreEmbedding(String digest) {
    return open.values().stream()
        .anyMatch(other -> other.embedding > 0 && !other.version.digest().equals(digest));
  }

  /** One subtask serves what it was embedding. */
  synchronized void flipped(AdapterVectors vectors) {
    vectors.embedding--;
  }

  /**
   * Ends one subtask's use; after the last one vectors and adapter are let go.
   *
   * @param embedding whether it was still embedding
   */
  synchronized void leave(AdapterVectors vectors, boolean embedding) {
    vectors.users--;
    vectors.embedding -= embedding ? 1 : 0;
    if (vectors.users == 0) {
      open.remove(vectors.version().digest());
      vectors.adapter().close();
    }
  }

  /** Direct memory of all open vectors, in bytes. */
  synchronized long bytes() {
    long sum = 0;
    for (AdapterVectors vectors : open.values()) {
      for (Side side : Side.values()) {
        sum += vectors.slabs(side).bytes();
      }
    }
    return sum;
  }

  synchronized int openDigests() {
    return open.size();
  }

  /** The watchlist under one adapter. */
  static final class AdapterVectors {
    private final AdapterVersion version;
    private final Embedder.Adapter adapter;
    private final Calibration calibration;
    private final Map<Side, VectorSlabs> slabs = new EnumMap<>(Side.class);
    private volatile boolean failedToBridge;
    private final AtomicBoolean bridging = new AtomicBoolean();
    private int users;
    private int embedding;

    private AdapterVectors(
        AdapterVersion version, Embedder.Adapter adapter, Calibration calibration, int dimension) {
      this.version = version;
      this.adapter = adapter;
      this.calibration = calibration;
      for (Side side : Side.values()) {
        slabs.put(side, new VectorSlabs(dimension));
      }
    }

    AdapterVersion version() {
      return version;
    }

    Embedder.Adapter adapter() {
      return adapter;
    }

    Calibration calibration() {
      return calibration;
    }

    boolean failedToBridge() {
      return failedToBridge;
    }

    void bridgingFailed() {
      failedToBridge = true;
    }

    /** Whether the caller, alone among the subtasks, is to bridge what is missing. */
    boolean beginBridging() {
      return bridging.compareAndSet(false, true);
    }

    VectorSlabs slabs(Side side) {
      return slabs.get(side);
    }

    boolean holdsAll(BitSet textRows, BitSet imageRows) {
      return slabs(Side.TEXT).holdsAll(textRows) && slabs(Side.IMAGE).holdsAll(imageRows);
    }
  }
}
