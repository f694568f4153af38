package io.whetstream.jobs.finetune;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * The heap's copy of a bucket's pending pairs, oldest first, with the cosines between them and the
 * nearest of each: they are kept up when a pair comes or leaves, so that looking for the tightest
 * group looks at one number a pair.
 *
 * <p>Everything is a function of the sketches, so a copy read again answers as the first one did.
 */
final class PendingPairs {
  /** Cosine of pairs that must not share a group. */
  private static final float APART = Float.NEGATIVE_INFINITY;

  /** A pair in its slot: row and column of the cosines, kept until the pair leaves. */
  private static final class Waiting {
    private final Sketch sketch;
    private final int slot;

    /** The sketch's vector as 32-bit numbers, whose products the compiler vectorises. */
    private final int[] vector;

    /** The largest cosines to others, descending. */
    private final float[] nearest;

    private int found;
    private double closeness;

    Waiting(Sketch sketch, int slot, int partners) {
      this.sketch = sketch;
      this.slot = slot;
      vector = new int[sketch.vector().length];
      for (int i = 0; i < vector.length; i++) {
        vector[i] = sketch.vector()[i];
      }
      nearest = new float[partners];
    }

    /** Takes note of a cosine if it is among the largest, and says so. */
    boolean meet(float cosine) {
      if (cosine == APART || (found == nearest.length && cosine <= nearest[found - 1])) {
        return false;
      }
      int k = found < nearest.length ? found++ : found - 1;
      while (k > 0 && nearest[k - 1] < cosine) {
        nearest[k] = nearest[k - 1];
        k--;
      }
      nearest[k] = cosine;
      return true;
    }

    /** Whether a cosine is among the largest. */
    boolean counts(float cosine) {
      return cosine != APART && cosine >= nearest[found - 1];
    }

    void sum() {
      double sum = 0;
      for (int k = 0; k < found; k++) {
        sum += nearest[k];
      }
      closeness = sum / nearest.length;
    }

    double cosine(Waiting other) {
      int dot = 0;
      for (int i = 0; i < vector.length; i++) {
        dot += vector[i] * other.vector[i];
      }
      return sketch.cosine(other.sketch, dot);
    }

    long heap() {
      return sketch.heap() + 4L * vector.length + 4L * nearest.length + 80;
    }
  }

  private final double similarityBound;
  private final int partners;
  private final List<Waiting> waiting = new ArrayList<>();
  private final BitSet taken = new BitSet();

  /**
   * By slot; symmetric; {@link #APART} on the diagonal, of what is likely the same thing, and of
   * slots that are free.
   */
  private float[][] cosines = new float[0][];

  private long waitingBytes;

  /**
   * @param similarityBound cosine above which two pairs are taken for the same thing
   * @param partners how many neighbours say how near a pair's partners are; at least one
   */
  PendingPairs(double similarityBound, int partners) {
    this.similarityBound = similarityBound;
    this.partners = Math.max(1, partners);
  }

  int size() {
    return waiting.size();
  }

  boolean isEmpty() {
    return waiting.isEmpty();
  }

  Sketch get(int position) {
    return waiting.get(position).sketch;
  }

  List<Sketch> all() {
    return waiting.stream().map(pair -> pair.sketch).toList();
  }

  /** Adds a pair younger than all. */
  void add(Sketch sketch) {
    int slot = taken.nextClearBit(0);
    if (slot == cosines.length) {
      grow(Math.max(16, 2 * slot));
    }
    taken.set(slot);
    Waiting added = new Waiting(sketch, slot, partners);
    float[] row = cosines[slot];
    for (Waiting other : waiting) {
      float cosine = (float) added.cosine(other);
      boolean same = cosine > similarityBound || sketch.sameContent(other.sketch);
      cosine = same ? APART : cosine;
      row[other.slot] = cosine;
      cosines[other.slot][slot] = cosine;
      added.meet(cosine);
      if (other.meet(cosine)) {
        other.sum();
      }
    }
    added.sum();
    waiting.add(added);
    waitingBytes += added.heap();
  }

  private void grow(int capacity) {
    float[][] wider = new float[capacity][capacity];
    for (int i = 0; i < capacity; i++) {
      Arrays.fill(wider[i], APART);
      if (i < cosines.length) {
        System.arraycopy(cosines[i], 0, wider[i], 0, cosines.length);
      }
    }
    cosines = wider;
  }

  /** Removes pairs, by their numbers. */
  void remove(List<Sketch> leaving) {
    Set<Long> numbers = leaving.stream().map(Sketch::number).collect(Collectors.toSet());
    List<Waiting> gone =
        waiting.stream().filter(pair -> numbers.contains(pair.sketch.number())).toList();
    waiting.removeAll(gone);
    List<Waiting> bereft =
        waiting.stream()
            .filter(pair -> gone.stream().anyMatch(g -> pair.counts(cosines[pair.slot][g.slot])))
            .toList();
    for (Waiting pair : gone) {
      Arrays.fill(cosines[pair.slot], APART);
      for (float[] row : cosines) {
        row[pair.slot] = APART;
      }
      taken.clear(pair.slot);
      waitingBytes -= pair.heap();
    }
    for (Waiting pair : bereft) {
      pair.found = 0;
      for (float cosine : cosines[pair.slot]) {
        pair.meet(cosine);
      }
      pair.sum();
    }
  }

  /** Position of the pair whose deadline is first; -1 if none waits. */
  int mostUrgent() {
    int first = -1;
    for (int i = 0; i < waiting.size(); i++) {
      if (first < 0 || get(i).deadline() < get(first).deadline()) {
        first = i;
      }
    }
    return first;
  }

  /** Cosine of each pair to that at a position. */
  double[] cosines(int position) {
    Waiting anchor = waiting.get(position);
    return waiting.stream().mapToDouble(anchor::cosine).toArray();
  }

  /**
   * How near each pair's partners are: the mean cosine of the nearest. A missing partner counts as
   * one at right angles.
   */
  double[] closeness() {
    return waiting.stream().mapToDouble(pair -> pair.closeness).toArray();
  }

  /** Heap taken, in bytes, about. */
  long heap() {
    return 4L * cosines.length * cosines.length + waitingBytes;
  }
}
