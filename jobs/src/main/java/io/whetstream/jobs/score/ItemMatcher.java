package io.whetstream.jobs.score;

import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.MatchKind.Side;
import io.whetstream.jobs.score.MatchEngine.Failure;
import io.whetstream.jobs.score.MatchEngine.KindScore;
import io.whetstream.jobs.score.MatchEngine.Match;
import io.whetstream.jobs.score.MatchEngine.Neighbour;
import io.whetstream.jobs.score.MatchEngine.Outcome;
import io.whetstream.jobs.score.MatchEngine.Prepared;
import io.whetstream.jobs.score.WatchlistTable.AdapterVectors;
import io.whetstream.model.BadInputException;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;

/**
 * Compares micro-batches with a watchlist, one matrix product for each kind and slab. What the
 * product lets through is decided by a score of its own, which does not depend on the batch's
 * shape. One thread.
 */
final class ItemMatcher {
  private final Embedder embedder;
  private final MatrixProduct.Workspace workspace;
  private final Watchlist watchlist;
  private final int keptNearest;
  private final int samples;
  private final SplittableRandom random = new SplittableRandom(17);

  /**
   * @param keptNearest how many other queries a match names
   * @param samples scores sampled per product
   */
  ItemMatcher(
      Embedder embedder,
      MatrixProduct.Workspace workspace,
      Watchlist watchlist,
      int keptNearest,
      int samples) {
    this.embedder = embedder;
    this.workspace = workspace;
    this.watchlist = watchlist;
    this.keptNearest = keptNearest;
    this.samples = samples;
  }

  /** Item vectors of one side that are compared: index in the micro-batch and vector. */
  private record Present(int[] items, float[][] vectors) {
    static Present of(float[][] vectors) {
      int[] items = new int[vectors.length];
      int count = 0;
      for (int i = 0; i < vectors.length; i++) {
        if (vectors[i] != null) {
          items[count++] = i;
        }
      }
      return new Present(Arrays.copyOf(items, count), vectors);
    }

    Present only(List<Set<Watchlist.Entry>> hits) {
      return new Present(
          Arrays.stream(items).filter(i -> !hits.get(i).isEmpty()).toArray(), vectors);
    }

    float[][] dense() {
      float[][] dense = new float[items.length][];
      for (int i = 0; i < items.length; i++) {
        dense[i] = vectors[items[i]];
      }
      return dense;
    }
  }

  /**
   * Compares a micro-batch.
   *
   * @param now must hold vectors of all that {@code watchlist} compares
   * @param sketches take a sample of the scores
   */
  Outcome match(AdapterVectors now, CalibratedThresholds sketches, List<Prepared> items) {
    List<Failure> failures = new ArrayList<>();
    float[][] images = embedItems(now, items, Side.IMAGE, failures);
    float[][] texts = embedItems(now, items, Side.TEXT, failures);
    Map<Side, Present> present = new EnumMap<>(Side.class);
    present.put(Side.IMAGE, Present.of(images));
    present.put(Side.TEXT, Present.of(texts));
    List<Set<Watchlist.Entry>> hits = new ArrayList<>();
    for (int i = 0; i < items.size(); i++) {
      hits.add(new LinkedHashSet<>());
    }
    Set<MatchKind> hitKinds = new LinkedHashSet<>();
    for (MatchKind kind : MatchKind.values()) {
      if (watchlist.compares(kind)
          && findHits(now, kind, present.get(kind.itemSide()), hits, sketches)) {
        hitKinds.add(kind);
      }
    }
    Map<MatchKind, Map<Integer, List<Neighbour>>> nearest = new EnumMap<>(MatchKind.class);
    for (MatchKind kind : hitKinds) {
      nearest.put(kind, nearest(now, kind, present.get(kind.itemSide()).only(hits)));
    }
    List<Match> matches = new ArrayList<>();
    for (int i = 0; i < items.size(); i++) {
      for (Watchlist.Entry entry : hits.get(i)) {
        matches.add(
            new Match(
                i,
                entry.query(),
                scores(now, entry, images[i], texts[i]),
                others(nearest, i, entry)));
      }
    }
    return new Outcome(now.version(), matches, failures, images, texts);
  }

  // ---- embedding

  private float[][] embedItems(
      AdapterVectors now, List<Prepared> items, Side side, List<Failure> failures) {
    float[][] vectors = new float[items.size()][];
    List<Integer> having = new ArrayList<>();
    for (int i = 0; i < items.size(); i++) {
      if ((side == Side.IMAGE ? items.get(i).image() : items.get(i).text()) != null) {
        having.add(i);
      }
    }
    if (having.isEmpty()) {
      return vectors;
    }
    try {
      float[][] embedded = embed(now, items, side, having);
      for (int i = 0; i < embedded.length; i++) {
        vectors[having.get(i)] = embedded[i];
      }
    } catch (BadInputException together) {
      // One bad item must not cost its neighbours: find it.
      for (int i : having) {
        try {
          vectors[i] = embed(now, items, side, List.of(i))[0];
        } catch (BadInputException e) {
          failures.add(new Failure(i, Reasons.of(e)));
        }
      }
    }
    return vectors;
  }

  private float[][] embed(
      AdapterVectors now, List<Prepared> items, Side side, List<Integer> having) {
    float[][] embedded =
        side == Side.IMAGE
            ? embedder.images(
                now.adapter(), having.stream().map(i -> items.get(i).image()).toList())
            : embedder.texts(now.adapter(), having.stream().map(i -> items.get(i).text()).toList());
    for (float[] vector : embedded) {
      RowEmbedder.requireFinite(vector);
    }
    return embedded;
  }

  // ---- comparing

  /** What is done with the scores of one product. */
  private interface Slab {
    /**
     * @param scores [items, rows], row-major
     * @param base the table's row of the first one
     */
    void scored(FloatBuffer scores, int base, int rows);
  }

  private void forEachSlab(AdapterVectors now, Side side, Present items, Slab each) {
    if (items.items().length == 0) {
      return;
    }
    workspace.items(items.dense());
    VectorSlabs slabs = now.slabs(side);
    int used =
        Math.min(watchlist.watched(side).length(), slabs.slabCount() * VectorSlabs.ROWS_PER_SLAB);
    for (int base = 0; base < used; base += VectorSlabs.ROWS_PER_SLAB) {
      int rows = Math.min(VectorSlabs.ROWS_PER_SLAB, used - base);
      each.scored(workspace.scores(slabs.slab(base / VectorSlabs.ROWS_PER_SLAB), rows), base, rows);
    }
  }

  /** Adds what matches in one kind to {@code hits}; returns whether anything did. */
  private boolean findHits(
      AdapterVectors now,
      MatchKind kind,
      Present present,
      List<Set<Watchlist.Entry>> hits,
      CalibratedThresholds sketches) {
    Side side = kind.querySide();
    float[] minimum = watchlist.minimum(kind);
    int[] items = present.items();
    boolean[] any = new boolean[1];
    forEachSlab(
        now,
        side,
        present,
        (scores, base, rows) -> {
          for (int i = 0; i < items.length; i++) {
            for (int r = 0; r < rows; r++) {
              if (scores.get(i * rows + r) >= minimum[base + r]) {
                float[] item = present.vectors()[items[i]];
                double score = MatchEngine.dot(item, now.slabs(side).get(base + r));
                for (Watchlist.Entry entry : watchlist.at(side, base + r)) {
                  if (score >= entry.threshold(kind)
                      && score >= threshold(now, entry, kind, item)) {
                    hits.get(items[i]).add(entry);
                    any[0] = true;
                  }
                }
              }
            }
          }
          sample(kind, scores, items.length, base, rows, sketches);
        });
    return any[0];
  }

  private void sample(
      MatchKind kind,
      FloatBuffer scores,
      int items,
      int base,
      int rows,
      CalibratedThresholds sketches) {
    if (!sketches.samples(kind)) {
      return;
    }
    BitSet watched = watchlist.watched(kind.querySide());
    int wanted = Math.min(samples, items * rows);
    for (int i = 0; i < wanted; i++) {
      int cell = random.nextInt(items * rows);
      if (watched.get(base + cell % rows)) {
        sketches.sample(kind, scores.get(cell));
      }
    }
  }

  /** By item, the queries with the highest scores of one kind, highest first. */
  private Map<Integer, List<Neighbour>> nearest(AdapterVectors now, MatchKind kind, Present items) {
    Map<Integer, List<Neighbour>> result = new HashMap<>();
    if (keptNearest == 0) {
      return result;
    }
    forEachSlab(
        now,
        kind.querySide(),
        items,
        (scores, base, rows) -> {
          for (int i = 0; i < items.items().length; i++) {
            List<Neighbour> best =
                result.computeIfAbsent(items.items()[i], any -> new ArrayList<>());
            for (int r = 0; r < rows; r++) {
              float score = scores.get(i * rows + r);
              Watchlist.Entry[] here = watchlist.at(kind.querySide(), base + r);
              boolean room = best.size() <= keptNearest;
              if (here != null && (room || score > best.get(best.size() - 1).score())) {
                for (Watchlist.Entry entry : here) {
                  if (entry.kinds().contains(kind)) {
                    insert(best, new Neighbour(entry.query().id(), kind, score));
                  }
                }
              }
            }
          }
        });
    return result;
  }

  /** Keeps one more than asked for: the matching query itself is among them. */
  private void insert(List<Neighbour> best, Neighbour candidate) {
    int at = best.size();
    while (at > 0 && best.get(at - 1).score() < candidate.score()) {
      at--;
    }
    best.add(at, candidate);
    if (best.size() > keptNearest + 1) {
      best.remove(best.size() - 1);
    }
  }

  private List<Neighbour> others(
      Map<MatchKind, Map<Integer, List<Neighbour>>> nearest, int item, Watchlist.Entry matched) {
    return nearest.values().stream()
        .flatMap(byItem -> byItem.getOrDefault(item, List.of()).stream())
        .filter(other -> !other.queryId().equals(matched.query().id()))
        .sorted(Comparator.comparingDouble(other -> -other.score()))
        .limit(keptNearest)
        .toList();
  }

  /**
   * From which score an item matches a query: the query's threshold, and no less than with any text
   * that the item must be less like.
   */
  private static float threshold(
      AdapterVectors now, Watchlist.Entry entry, MatchKind kind, float[] item) {
    float threshold = entry.threshold(kind);
    if (kind.querySide() == Side.TEXT) {
      for (int row : entry.unlikeRows()) {
        threshold = Math.max(threshold, MatchEngine.dot(item, now.slabs(Side.TEXT).get(row)));
      }
    }
    return threshold;
  }

  private static List<KindScore> scores(
      AdapterVectors now, Watchlist.Entry entry, float[] image, float[] text) {
    List<KindScore> scores = new ArrayList<>();
    for (MatchKind kind : entry.kinds()) {
      float[] item = kind.itemSide() == Side.IMAGE ? image : text;
      if (item != null) {
        float[] watched = now.slabs(kind.querySide()).get(entry.row(kind.querySide()));
        scores.add(
            new KindScore(kind, MatchEngine.dot(item, watched), threshold(now, entry, kind, item)));
      }
    }
    scores.sort(Comparator.comparingDouble(score -> score.threshold() - score.score()));
    return List.copyOf(scores);
  }
}
