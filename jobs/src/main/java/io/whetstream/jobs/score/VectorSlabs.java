package io.whetstream.jobs.score;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/**
 * Vectors of one adapter digest and one query side, packed in slabs of direct memory so that a slab
 * is one operand of a matrix product.
 *
 * <p>Rows are numbered by the {@link WatchlistTable}, the same for every digest, so that a flip to
 * another digest is a change of one reference. Thread-safe: a row is written before it is marked
 * filled, and readers look at a row only after they saw it filled under this object's lock.
 */
final class VectorSlabs {
  static final int ROWS_PER_SLAB = 1024;

  private final int dimension;
  private final List<FloatBuffer> slabs = new ArrayList<>();
  private final BitSet filled = new BitSet();
  private final BitSet claimed = new BitSet();

  VectorSlabs(int dimension) {
    this.dimension = dimension;
  }

  synchronized void put(int row, float[] vector) {
    if (vector.length != dimension) {
      throw new IllegalArgumentException(vector.length + " values, not " + dimension);
    }
    while (slabs.size() * ROWS_PER_SLAB <= row) {
      slabs.add(MatrixProduct.allocate((long) ROWS_PER_SLAB * dimension));
    }
    FloatBuffer slab = slabs.get(row / ROWS_PER_SLAB);
    slab.put((row % ROWS_PER_SLAB) * dimension, vector);
    filled.set(row);
    claimed.clear(row);
  }

  synchronized float[] get(int row) {
    if (!filled.get(row)) {
      throw new IllegalStateException("row " + row + " has no vector yet");
    }
    float[] vector = new float[dimension];
    slabs.get(row / ROWS_PER_SLAB).get((row % ROWS_PER_SLAB) * dimension, vector);
    return vector;
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
  }

  synchronized int slabCount() {
    return slabs.size();
  }

  synchronized FloatBuffer slab(int index) {
    return slabs.get(index);
  }

  synchronized long bytes() {
    return (long) slabs.size() * ROWS_PER_SLAB * dimension * Float.BYTES;
  }

  synchronized int filledRows() {
    return filled.cardinality();
  }
}
