package io.whetstream.jobs.finetune;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * The heap's copy of a bucket's pending pairs, oldest first, with the cosines between them: they
 * are computed when a pair comes, so that looking for the tightest group computes none.
 *
 * <p>Everything is a function of the sketches, so a copy read again answers as the first one did.
 */
final class PendingPairs {
  /** Cosine of pairs that must not share a group. */
  private static final float APART = Float.NEGATIVE_INFINITY;

  private final double similarityBound;
  private final List<Sketch> sketches = new ArrayList<>();

  /** The sketches' vectors as 32-bit numbers, whose products the compiler vectorises. */
  private final List<int[]> vectors = new ArrayList<>();

  /** By position; symmetric, the diagonal and what is likely the same thing {@link #APART}. */
  private float[][] cosines = new float[0][];

  private long sketchBytes;

  /**
   * @param similarityBound cosine above which two pairs are taken for the same thing
   */
  PendingPairs(double similarityBound) {
    this.similarityBound = similarityBound;
  }

  int size() {
    return sketches.size();
  }

  boolean isEmpty() {
    return sketches.isEmpty();
  }

  Sketch get(int position) {
    return sketches.get(position);
  }

  List<Sketch> all() {
    return Collections.unmodifiableList(sketches);
  }

  /** Adds a pair younger than all. */
  void add(Sketch sketch) {
    int position = sketches.size();
    if (position == cosines.length) {
      grow(Math.max(16, 2 * position));
    }
    float[] row = cosines[position];
    int[] vector = widened(sketch.vector());
    for (int i = 0; i < position; i++) {
      Sketch other = sketches.get(i);
      float cosine = (float) sketch.cosine(other, dot(vector, vectors.get(i)));
      boolean same = cosine > similarityBound || sketch.sameContent(other);
      row[i] = same ? APART : cosine;
      cosines[i][position] = row[i];
    }
    row[position] = APART;
    sketches.add(sketch);
    vectors.add(vector);
    sketchBytes += heap(sketch);
  }

  private static int[] widened(byte[] vector) {
    int[] wide = new int[vector.length];
    for (int i = 0; i < wide.length; i++) {
      wide[i] = vector[i];
    }
    return wide;
  }

  private static int dot(int[] a, int[] b) {
    int dot = 0;
    for (int i = 0; i < a.length; i++) {
      dot += a[i] * b[i];
    }
    return dot;
  }

  private static long heap(Sketch sketch) {
    return sketch.heap() + 4L * sketch.vector().length + 16;
  }

  private void grow(int capacity) {
    float[][] wider = new float[capacity][capacity];
    for (int i = 0; i < sketches.size(); i++) {
      System.arraycopy(cosines[i], 0, wider[i], 0, sketches.size());
    }
    cosines = wider;
  }

  /** Removes pairs, by their numbers. */
  void remove(List<Sketch> leaving) {
    Set<Long> numbers = leaving.stream().map(Sketch::number).collect(Collectors.toSet());
    int kept = 0;
    int[] from = new int[sketches.size()];
    for (int i = 0; i < from.length; i++) {
      if (!numbers.contains(sketches.get(i).number())) {
        from[kept++] = i;
      } else {
        sketchBytes -= heap(sketches.get(i));
      }
    }
    for (int i = 0; i < kept; i++) {
      sketches.set(i, sketches.get(from[i]));
      vectors.set(i, vectors.get(from[i]));
      float[] source = cosines[from[i]];
      float[] target = cosines[i];
      for (int j = 0; j < kept; j++) {
        target[j] = source[from[j]];
      }
    }
    sketches.subList(kept, sketches.size()).clear();
    vectors.subList(kept, vectors.size()).clear();
  }

  /** Position of the pair whose deadline is first; -1 if none waits. */
  int mostUrgent() {
    int first = -1;
    for (int i = 0; i < sketches.size(); i++) {
      if (first < 0 || sketches.get(i).deadline() < sketches.get(first).deadline()) {
        first = i;
      }
    }
    return first;
  }

  /**
   * How near each pair's partners are: the mean cosine of the {@code partners} nearest. A missing
   * partner counts as one at right angles.
   */
  double[] closeness(int partners) {
    double[] closeness = new double[sketches.size()];
    float[] nearest = new float[partners];
    for (int i = 0; i < closeness.length; i++) {
      int found = nearest(cosines[i], nearest);
      double sum = 0;
      for (int k = 0; k < found; k++) {
        sum += nearest[k];
      }
      closeness[i] = sum / partners;
    }
    return closeness;
  }

  /** Puts the largest into {@code nearest}, descending, and says how many there are. */
  private int nearest(float[] row, float[] nearest) {
    int found = 0;
    for (int j = 0; j < sketches.size(); j++) {
      float cosine = row[j];
      if (cosine == APART || (found == nearest.length && cosine <= nearest[found - 1])) {
        continue;
      }
      int k = found < nearest.length ? found++ : found - 1;
      while (k > 0 && nearest[k - 1] < cosine) {
        nearest[k] = nearest[k - 1];
        k--;
      }
      nearest[k] = cosine;
    }
    return found;
  }

  /** Heap taken, in bytes, about. */
  long heap() {
    return 4L * cosines.length * cosines.length + sketchBytes;
  }
}
