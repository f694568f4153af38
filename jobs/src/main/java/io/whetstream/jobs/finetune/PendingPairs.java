package io.whetstream.jobs.finetune;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * The heap's copy of a bucket's pending pairs, oldest first, with the likenesses between them and
 * the nearest of each: they are kept up when a pair comes or leaves, so that looking for the
 * tightest group looks at one number a pair.
 *
 * <p>Everything is a function of the sketches, so a copy read again answers as the first one did.
 */
final class PendingPairs {
  /** Likeness of pairs that must not share a group. */
  static final float APART = Float.NEGATIVE_INFINITY;

  /** A pair in its slot: row and column of the likenesses, kept until the pair leaves. */
  private static final class Waiting {
    private final Sketch sketch;
    private final int slot;

    /** The sketch's vectors as 32-bit numbers, whose products the compiler vectorises. */
    private final int[] vector;

    private final int[] words;

    /** The largest likenesses to others, descending. */
    private final float[] nearest;

    private int found;
    private double closeness;

    Waiting(Sketch sketch, int slot, int partners) {
      this.sketch = sketch;
      this.slot = slot;
      vector = wide(sketch.vector());
      words = wide(sketch.words());
      nearest = new float[partners];
    }

    private static int[] wide(byte[] values) {
      int[] wide = new int[values.length];
      for (int i = 0; i < wide.length; i++) {
        wide[i] = values[i];
      }
      return wide;
    }

    /** Takes note of a likeness if it is among the largest, and says so. */
    boolean meet(float likeness) {
      if (likeness == APART || (found == nearest.length && likeness <= nearest[found - 1])) {
        return false;
      }
      int k = found < nearest.length ? found++ : found - 1;
      while (k > 0 && nearest[k - 1] < likeness) {
        nearest[k] = nearest[k - 1];
        k--;
      }
      nearest[k] = likeness;
      return true;
    }

    /** Whether a likeness is among the largest. */
    boolean counts(float likeness) {
      return likeness != APART && likeness >= nearest[found - 1];
    }

    void sum() {
      double sum = 0;
      for (int k = 0; k < found; k++) {
        sum += nearest[k];
      }
      closeness = sum / nearest.length;
    }

    double cosine(Waiting other) {
      return sketch.cosine(other.sketch, dot(vector, other.vector));
    }

    /**
     * @param cosine of the pictures
     */
    double likeness(Waiting other, double cosine, double captionWeight) {
      return sketch.comparesWords(other.sketch)
          ? sketch.likeness(other.sketch, cosine, dot(words, other.words), captionWeight)
          : cosine;
    }

    private static int dot(int[] a, int[] b) {
      int dot = 0;
      for (int i = 0; i < a.length; i++) {
        dot += a[i] * b[i];
      }
      return dot;
    }

    long heap() {
      return sketch.heap() + 4L * (vector.length + words.length + nearest.length) + 80;
    }
  }

  private final double similarityBound;
  private final double captionWeight;
  private final int partners;
  private final List<Waiting> waiting = new ArrayList<>();
  private final BitSet taken = new BitSet();

  /**
   * By slot; symmetric; {@link #APART} on the diagonal, of what is likely the same thing, and of
   * slots that are free.
   */
  private float[][] likenesses = new float[0][];

  private long waitingBytes;

  /**
   * @param similarityBound cosine of pictures above which two pairs are taken for the same thing
   * @param captionWeight of captions' likeness, that of pictures being 1
   * @param partners how many neighbours say how near a pair's partners are; at least one
   */
  PendingPairs(double similarityBound, double captionWeight, int partners) {
    this.similarityBound = similarityBound;
    this.captionWeight = captionWeight;
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
    if (slot == likenesses.length) {
      grow(Math.max(16, 2 * slot));
    }
    taken.set(slot);
    Waiting added = new Waiting(sketch, slot, partners);
    float[] row = likenesses[slot];
    for (Waiting other : waiting) {
      double cosine = added.cosine(other);
      boolean same = cosine > similarityBound || sketch.sameContent(other.sketch);
      float likeness = same ? APART : (float) added.likeness(other, cosine, captionWeight);
      row[other.slot] = likeness;
      likenesses[other.slot][slot] = likeness;
      added.meet(likeness);
      if (other.meet(likeness)) {
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
      if (i < likenesses.length) {
        System.arraycopy(likenesses[i], 0, wider[i], 0, likenesses.length);
      }
    }
    likenesses = wider;
  }

  /** Removes pairs, by their numbers. */
  void remove(List<Sketch> leaving) {
    Set<Long> numbers = leaving.stream().map(Sketch::number).collect(Collectors.toSet());
    List<Waiting> gone =
        waiting.stream().filter(pair -> numbers.contains(pair.sketch.number())).toList();
    waiting.removeAll(gone);
    List<Waiting> bereft =
        waiting.stream()
            .filter(pair -> gone.stream().anyMatch(g -> pair.counts(likenesses[pair.slot][g.slot])))
            .toList();
    for (Waiting pair : gone) {
      Arrays.fill(likenesses[pair.slot], APART);
      for (float[] row : likenesses) {
        row[pair.slot] = APART;
      }
      taken.clear(pair.slot);
      waitingBytes -= pair.heap();
    }
    for (Waiting pair : bereft) {
      pair.found = 0;
      for (float likeness : likenesses[pair.slot]) {
        pair.meet(likeness);
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

  /**
   * Likeness of each pair to that at a position; {@link #APART} to what must not be in its group.
   */
  float[] likenesses(int position) {
    float[] row = likenesses[waiting.get(position).slot];
    float[] ordered = new float[waiting.size()];
    for (int i = 0; i < ordered.length; i++) {
      ordered[i] = row[waiting.get(i).slot];
    }
    return ordered;
  }

  /**
   * How near each pair's partners are: the mean likeness of the nearest. A missing partner counts
   * as one at right angles.
   */
  double[] closeness() {
    return waiting.stream().mapToDouble(pair -> pair.closeness).toArray();
  }

  /** Heap taken, in bytes, about. */
  long heap() {
    return 4L * likenesses.length * likenesses.length + waitingBytes;
  }
}
