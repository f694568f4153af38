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
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Collections;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;

/**
 * Compares micro-batches with a watchlist, one matrix product of {@link EightBits} for each kind
 * and slab. It lets through what may match, and nothing that matches is lost to it; a score of its
 * own decides, which does not depend on the batch's shape. One thread, which may be helped by
 * others while it compares.
 */
final class ItemMatcher {
  private final Embedder embedder;
  private final MatrixProduct product;
  private final Watchlist watchlist;
  private final AlertBudget budget;
  private final int keptNearest;
  private final int samples;
  private final SplittableRandom random = new SplittableRandom(17);

  /**
   * @param keptNearest how many other queries a match names
   * @param samples scores sampled per micro-batch and kind
   */
  ItemMatcher(
      Embedder embedder,
      MatrixProduct product,
      Watchlist watchlist,
      AlertBudget budget,
      int keptNearest,
      int samples) {
    this.embedder = embedder;
    this.product = product;
    this.watchlist = watchlist;
    this.budget = budget;
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
      budget.compared(kind, present.get(kind.itemSide()).items().length);
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
        entry.matched();
        matches.add(
            new Match(
                i,
                entry.query(),
                entry.contentDigest(),
                isBridged(now, entry),
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

  /** A score that reaches what its row asks for at the least. */
  private record Hit(int item, int row, float score) {}

  private int usedRows(AdapterVectors now, Side side) {
    return Math.min(
        watchlist.watched(side).length(), now.slabs(side).slabCount() * VectorSlabs.ROWS_PER_SLAB);
  }

  /** One place for each slab, so that nothing depends on which thread multiplied it. */
  private static <T> List<T> perSlab(int rows) {
    return new ArrayList<>(
        Collections.nCopies(
            (rows + VectorSlabs.ROWS_PER_SLAB - 1) / VectorSlabs.ROWS_PER_SLAB, null));
  }

  /** Adds what matches in one kind to {@code hits}; returns whether anything did. */
  private boolean findHits(
      AdapterVectors now,
      MatchKind kind,
      Present present,
      List<Set<Watchlist.Entry>> hits,
      CalibratedThresholds sketches) {
    Side side = kind.querySide();
    int rows = usedRows(now, side);
    if (present.items().length == 0 || rows == 0) {
      return false;
    }
    float[] minimum = watchlist.minimum(kind);
    MatrixProduct.Items items = product.items(present.dense());
    List<List<Hit>> found = perSlab(rows);
    product.multiply(
        items,
        now.slabs(side),
        rows,
        (index, slab, here, products) ->
            found.set(index, hits(present, items.bits(), index, slab, here, products, minimum)));
    boolean any = false;
    for (List<Hit> hitsOfSlab : found) {
      for (Hit hit : hitsOfSlab) {
        float[] item = present.vectors()[hit.item()];
        for (Watchlist.Entry entry : watchlist.at(side, hit.row())) {
          if (hit.score() >= entry.threshold(kind)
              && hit.score() >= threshold(now, entry, kind, item)) {
            hits.get(hit.item()).add(entry);
            any = true;
          }
        }
      }
    }
    sample(now, kind, present, rows, sketches);
    return any;
  }

  private static List<Hit> hits(
      Present present,
      EightBits bits,
      int index,
      VectorSlabs.Slab slab,
      int rows,
      int[] products,
      float[] minimum) {
    List<Hit> found = new ArrayList<>();
    int[] items = present.items();
    int base = index * VectorSlabs.ROWS_PER_SLAB;
    for (int r = 0; r < rows; r++) {
      float wanted = minimum[base + r];
      if (wanted == Float.POSITIVE_INFINITY) {
        continue;
      }
      double least = Math.floor((wanted - slab.bound(r, bits)) / slab.unit(r, bits));
      int first = r * items.length;
      if (largest(products, first, items.length) < least) {
        continue;
      }
      for (int i = 0; i < items.length; i++) {
        if (products[first + i] >= least) {
          float score = slab.score(r, present.vectors()[items[i]]);
          if (score >= wanted) {
            found.add(new Hit(items[i], base + r, score));
          }
        }
      }
    }
    return found;
  }

  private static int largest(int[] values, int first, int count) {
    int largest = Integer.MIN_VALUE;
    for (int i = first; i < first + count; i++) {
      largest = Math.max(largest, values[i]);
    }
    return largest;
  }

  private void sample(
      AdapterVectors now,
      MatchKind kind,
      Present present,
      int rows,
      CalibratedThresholds sketches) {
    if (!sketches.samples(kind)) {
      return;
    }
    VectorSlabs slabs = now.slabs(kind.querySide());
    BitSet watched = watchlist.watched(kind.querySide());
    int[] items = present.items();
    long cells = (long) items.length * rows;
    for (long i = Math.min(samples, cells); i > 0; i--) {
      long cell = random.nextLong(cells);
      int row = (int) (cell % rows);
      if (watched.get(row)) {
        float[] item = present.vectors()[items[(int) (cell / rows)]];
        sketches.sample(kind, slabs.score(row, item));
      }
    }
  }

  /** By item, the queries with the highest scores of one kind, highest first. */
  private Map<Integer, List<Neighbour>> nearest(
      AdapterVectors now, MatchKind kind, Present present) {
    Map<Integer, List<Neighbour>> result = new HashMap<>();
    int rows = usedRows(now, kind.querySide());
    if (keptNearest == 0 || present.items().length == 0) {
      return result;
    }
    MatrixProduct.Items items = product.items(present.dense());
    List<Map<Integer, List<Neighbour>>> found = perSlab(rows);
    product.multiply(
        items,
        now.slabs(kind.querySide()),
        rows,
        (index, slab, here, products) ->
            found.set(index, nearest(kind, present, items.bits(), index, slab, here, products)));
    for (Map<Integer, List<Neighbour>> ofSlab : found) {
      ofSlab.forEach(
          (item, near) -> {
            List<Neighbour> best = result.computeIfAbsent(item, any -> new ArrayList<>());
            near.forEach(candidate -> insert(best, candidate));
          });
    }
    return result;
  }

  private Map<Integer, List<Neighbour>> nearest(
      MatchKind kind,
      Present present,
      EightBits bits,
      int index,
      VectorSlabs.Slab slab,
      int rows,
      int[] products) {
    Map<Integer, List<Neighbour>> found = new HashMap<>();
    int[] items = present.items();
    for (int i = 0; i < items.length; i++) {
      List<Neighbour> best = new ArrayList<>();
      for (int r = 0; r < rows; r++) {
        Watchlist.Entry[] here =
            watchlist.at(kind.querySide(), index * VectorSlabs.ROWS_PER_SLAB + r);
        if (here == null) {
          continue;
        }
        boolean room = best.size() <= keptNearest;
        double most = products[r * items.length + i] * slab.unit(r, bits) + slab.bound(r, bits);
        if (room || most > best.get(best.size() - 1).score()) {
          float score = slab.score(r, present.vectors()[items[i]]);
          for (Watchlist.Entry entry : here) {
            if (entry.kinds().contains(kind)) {
              insert(best, new Neighbour(entry.query().id(), kind, score));
            }
          }
        }
      }
      found.put(items[i], best);
    }
    return found;
  }

  /** Keeps one more than asked for: the matching query itself is among them. */
  private void insert(List<Neighbour> best, Neighbour candidate) {
    int at = best.size();
    while (at > 0 && best.get(at - 1).score() < candidate.score()) {
      at--;
    }
    if (at > keptNearest) {
      return;
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
        threshold = Math.max(threshold, now.slabs(Side.TEXT).score(row, item));
      }
    }
    return threshold;
  }

  private static boolean isBridged(AdapterVectors now, Watchlist.Entry entry) {
    for (Side side : Side.values()) {
      for (int row : entry.rows(side)) {
        if (now.slabs(side).isBridged(row)) {
          return true;
        }
      }
    }
    return false;
  }

  private static List<KindScore> scores(
      AdapterVectors now, Watchlist.Entry entry, float[] image, float[] text) {
    List<KindScore> scores = new ArrayList<>();
    for (MatchKind kind : entry.kinds()) {
      float[] item = kind.itemSide() == Side.IMAGE ? image : text;
      if (item != null) {
        float score = now.slabs(kind.querySide()).score(entry.row(kind.querySide()), item);
        scores.add(new KindScore(kind, score, threshold(now, entry, kind, item)));
      }
    }
    scores.sort(Comparator.comparingDouble(score -> score.threshold() - score.score()));
    return List.copyOf(scores);
  }
}
