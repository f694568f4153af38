package io.whetstream.model.eval;

import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Compositional accuracy: how often a picture is closer to its caption than to every changed one. A
 * tie is wrong, and so is a score that is not a number.
 */
public final class Compositional {
  private Compositional() {}

  /**
   * One picture, its caption and changed ones, embedded as unit vectors.
   *
   * @param kind what was changed, as reported: "swap", "relation"
   */
  @SuppressWarnings("ArrayRecordComponent") // Never compared.
  public record Item(String kind, float[] image, float[] positive, List<float[]> negatives) {
    public Item {
      negatives = List.copyOf(negatives);
      if (negatives.isEmpty()) {
        throw new IllegalArgumentException("a compositional item needs at least one negative");
      }
    }

    /** Whether the caption scores strictly above all the others. */
    public boolean correct() {
      float truth = Retrieval.dot(image, positive);
      for (float[] negative : negatives) {
        if (!(truth > Retrieval.dot(image, negative))) {
          return false;
        }
      }
      return true;
    }
  }

  /** How many of a kind there were and how many were right. */
  public record Score(int items, int correct) {
    /** From 0 to 1. */
    public double accuracy() {
      return correct / (double) items;
    }
  }

  /** Score by kind; a kind without items is not in the map. */
  public static SortedMap<String, Score> byKind(Iterable<Item> items) {
    SortedMap<String, Score> scores = new TreeMap<>();
    for (Item item : items) {
      scores.merge(
          item.kind(),
          new Score(1, item.correct() ? 1 : 0),
          (a, b) -> new Score(a.items() + b.items(), a.correct() + b.correct()));
    }
    return scores;
  }

  /** The unweighted mean over kinds, so that a kind with many items does not hide the others. */
  public static double mean(Map<String, Score> byKind) {
    return byKind.values().stream().mapToDouble(Score::accuracy).average().orElse(Double.NaN);
  }
}
