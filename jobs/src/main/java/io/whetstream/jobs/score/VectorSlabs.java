package io.whetstream.jobs.score;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * Vectors of one adapter digest and one query side, packed in slabs of direct memory, as floats and
 * in {@link EightBits}: a slab of the latter is one operand of a matrix product.
 *
 * <p>Rows are numbered by the {@link WatchlistTable}, the same for every digest, so that a flip to
 * another digest is a change of one reference. Thread-safe: a row is written before it is marked
 * filled, and readers look at a row only after they saw it filled under this object's lock.
 */
final class VectorSlabs {
  static final int ROWS_PER_SLAB = 1024;

  /** The vectors of {@link #ROWS_PER_SLAB} rows. */
  static final class Slab {
    private final int dimension;
    private final FloatBuffer exact;
    private final ByteBuffer codes;
    private final float[] scale = new float[ROWS_PER_SLAB];
    private final float[] length = new float[ROWS_PER_SLAB];
    private final float[] rest = new float[ROWS_PER_SLAB];

    /** A vector that is replaced while others read is not read half. */
    private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();

    private Slab(int dimension) {
      this.dimension = dimension;
      this.exact =
          MatrixProduct.allocate((long) ROWS_PER_SLAB * dimension * Float.BYTES).asFloatBuffer();
      this.codes = MatrixProduct.allocate((long) ROWS_PER_SLAB * dimension);
    }

    private void put(int row, float[] vector) {
      lock.writeLock().lock();
      try {
        store(row, vector);
      } finally {
        lock.writeLock().unlock();
      }
    }

    private void store(int row, float[] vector) {
      exact.put(row * dimension, vector);
      EightBits written = EightBits.ofQuery(vector, codes, row * dimension);
      scale[row] = written.scale();
      length[row] = written.length();
      rest[row] = written.rest();
    }

    /** [rows, dimension], row-major, with {@link EightBits#ZERO}. */
    ByteBuffer codes() {
      return codes;
    }

    /** What a product of a filled row's codes with an item's codes is to be multiplied by. */
    double unit(int row, EightBits item) {
      return (double) scale[row] * item.scale();
    }

    /** How far such a product may be from the score. */
    double bound(int row, EightBits item) {
      return EightBits.bound(length[row], rest[row], item);
    }

    /** Held while products and scores of this slab are computed. */
    Lock reading() {
      return lock.readLock();
    }

    /** The score that decides; see {@link MatchEngine#dot}. */
    float score(int row, float[] item) {
      int at = row * dimension;
      double sum = 0;
      for (int i = 0; i < dimension; i++) {
        sum += (double) item[i] * exact.get(at + i);
      }
      return (float) sum;
    }

    private long bytes() {
      return (long) exact.capacity() * Float.BYTES + codes.capacity();
    }
  }

  private final int dimension;
  private final List<Slab> slabs = new ArrayList<>();
  private final BitSet filled = new BitSet();
  private final BitSet claimed = new BitSet();
  private final BitSet bridged = new BitSet();

  VectorSlabs(int dimension) {
    this.dimension = dimension;
  }

  int dimension() {
    return dimension;
  }

  /** Keeps the vector of a row. */
  synchronized void put(int row, float[] vector) {
    store(row, vector);
    bridged.clear(row);
  }

  /** Keeps a vector that came over a {@link VectorBridge}, until the row's own is put. */
  synchronized void putBridged(int row, float[] vector) {
    store(row, vector);
    bridged.set(row);
  }

  private void store(int row, float[] vector) {
    if (vector.length != dimension) {
      throw new IllegalArgumentException(vector.length + " values, not " + dimension);
    }
    while (slabs.size() * ROWS_PER_SLAB <= row) {
      slabs.add(new Slab(dimension));
    }
    slabs.get(row / ROWS_PER_SLAB).put(row % ROWS_PER_SLAB, vector);
    filled.set(row);
    claimed.clear(row);
  }

  private synchronized Slab slabOf(int row) {
    if (!filled.get(row)) {
      throw new IllegalStateException("row " + row + " has no vector yet");
    }
    return slabs.get(row / ROWS_PER_SLAB);
  }

  float[] get(int row) {
    float[] vector = new float[dimension];
    Slab slab = slabOf(row);
    slab.reading().lock();
    try {
      slab.exact.get(row % ROWS_PER_SLAB * dimension, vector);
    } finally {
      slab.reading().unlock();
    }
    return vector;
  }

  /** The score of an item with a row, the one that decides. */
  float score(int row, float[] item) {
    Slab slab = slabOf(row);
    slab.reading().lock();
    try {
      return slab.score(row % ROWS_PER_SLAB, item);
    } finally {
      slab.reading().unlock();
    }
  }

  synchronized boolean isFilled(int row) {
    return filled.get(row);
  }

  /** True if every row of {@code rows} has a vector. */
  synchronized boolean holdsAll(BitSet rows) {
    BitSet missing = (BitSet) rows.clone();
    missing.andNot(filled);
    return missing.isEmpty();
  }

  /** Takes up to {@code max} rows that have no vector and nobody works on. */
  synchronized List<Integer> claim(BitSet rows, int max) {
    BitSet open = (BitSet) rows.clone();
    open.andNot(filled);
    return claimOpen(open, max);
  }

  /** Takes up to {@code max} rows whose vectors are bridged and that nobody works on. */
  synchronized List<Integer> claimBridged(BitSet rows, int max) {
    BitSet open = (BitSet) rows.clone();
    open.and(bridged);
    return claimOpen(open, max);
  }

  synchronized boolean isBridged(int row) {
    return bridged.get(row);
  }

  /** Whether a vector of these rows is bridged. */
  synchronized boolean hasBridged(BitSet rows) {
    return bridged.intersects(rows);
  }

  /** Of these, the rows that have vectors of their own. */
  synchronized BitSet exact(BitSet rows) {
    BitSet exact = (BitSet) rows.clone();
    exact.and(filled);
    exact.andNot(bridged);
    return exact;
  }

  private List<Integer> claimOpen(BitSet open, int max) {
    open.andNot(claimed);
    List<Integer> taken = new ArrayList<>();
    for (int row = open.nextSetBit(0);
        row >= 0 && taken.size() < max;
        row = open.nextSetBit(row + 1)) {
      claimed.set(row);
      taken.add(row);
    }
    return taken;
  }

  synchronized void unclaim(List<Integer> rows) {
    rows.forEach(claimed::clear);
  }

  /** Forgets the vector of a row that will be given to another content. */
  synchronized void forget(int row) {
    filled.clear(row);
    claimed.clear(row);
    bridged.clear(row);
  }

  synchronized int slabCount() {
    return slabs.size();
  }

  synchronized Slab slab(int index) {
    return slabs.get(index);
  }

  synchronized long bytes() {
    return slabs.stream().mapToLong(Slab::bytes).sum();
  }

  synchronized int filledRows() {
    return filled.cardinality();
  }
}
