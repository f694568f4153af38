package io.whetstream.jobs.score;

import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.MatchKind.Side;
import io.whetstream.jobs.score.WatchlistTable.AdapterVectors;
import io.whetstream.jobs.score.WatchlistTable.Content;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.Calibration;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;

/**
 * Matching of one subtask: its view of the watchlist, the adapter that serves and the one being
 * embedded.
 *
 * <p>One thread calls it. {@link #match} compares a whole micro-batch under the one active digest;
 * {@link #work} does one slice of whatever else is due (new queries, and the re-embedding for a new
 * adapter) and is called between micro-batches. A flip changes one reference, and only after every
 * query of this subtask has its vector under the new digest; so both vectors of every comparison
 * carry the same digest.
 */
final class MatchEngine implements AutoCloseable {
  /** Difference allowed between the matrix product and the score that decides. */
  private static final float PRODUCT_TOLERANCE = 1e-5f;

  private static final int REFRESH_SAMPLES = 2000;
  private static final int KINDS = MatchKind.values().length;

  /**
   * @param batchSize most items of a micro-batch
   * @param slice most contents embedded between two micro-batches
   * @param maxQueries most queries watched for; further ones are refused
   * @param nearest how many other queries an alert names
   * @param samples scores sampled per product for the live sketches
   */
  record Settings(int batchSize, int slice, int maxQueries, int nearest, int samples) {}

  /** An item ready to be embedded: pixels, text or both. */
  record Prepared(float[] pixels, String text) {}

  /** One comparison of a match. */
  record KindScore(MatchKind kind, float score, double threshold) {
    boolean holds() {
      return score >= threshold;
    }
  }

  /** Another query near an item that matched. */
  record Neighbour(String queryId, MatchKind kind, float score) {}

  /**
   * An item that matches a query in at least one kind.
   *
   * @param item index in the micro-batch
   * @param scores every comparison that was made of the two, best margin first
   */
  record Match(int item, WatchedQuery query, List<KindScore> scores, List<Neighbour> nearest) {}

  /** An item that could not be embedded. */
  record Failure(int item, String reason) {}

  /**
   * Result of a micro-batch, all of it under one adapter.
   *
   * @param imageVectors by item index, null where the item has no image
   * @param textVectors by item index, null where the item has no text
   */
  record Outcome(
      AdapterVersion version,
      List<Match> matches,
      List<Failure> failures,
      float[][] imageVectors,
      float[][] textVectors) {}

  /** What happens beside matching. Called on the engine's thread. */
  interface Events {
    void queryAccepted(WatchedQuery query, Map<MatchKind, Double> thresholds, String note);

    void queryRefused(WatchedQuery query, String reason);

    void adapterRefused(AdapterVersion version, String reason);

    void flipped(AdapterVersion from, AdapterVersion to, long nanos);
  }

  private static final class Watched {
    final WatchedQuery query;

    /** Once accepted it stays under adapters that support its rate less finely, which is said. */
    boolean accepted;

    /** What was said about its rate when it was last answered. */
    String note = "";

    final float[] thresholds = new float[KINDS];
    int textRow = -1;
    int imageRow = -1;

    Watched(WatchedQuery query, boolean accepted) {
      this.query = query;
      this.accepted = accepted;
    }

    int row(Side side) {
      return side == Side.TEXT ? textRow : imageRow;
    }
  }

  private final Embedder embedder;
  private final WatchlistTable table;
  private final MatrixProduct.Workspace workspace;
  private final Settings settings;
  private final VectorSpill spill;
  private final LoadedAdapter.Loader loader;
  private final Executor background;
  private final Events events;
  private final SplittableRandom random = new SplittableRandom(17);

  private final Map<String, Watched> active = new LinkedHashMap<>();
  private final Map<String, Watched> pending = new LinkedHashMap<>();

  /** Queries for a rate that the active adapter's calibration cannot give; asked at each flip. */
  private final Map<String, Watched> unsupported = new LinkedHashMap<>();

  private final Map<Side, Watched[][]> queriesByRow = new EnumMap<>(Side.class);
  private final Map<Side, BitSet> rows = new EnumMap<>(Side.class);
  private final float[][] rowMinimum = new float[KINDS][0];
  private final int[] queriesOfKind = new int[KINDS];

  private AdapterVectors serving;
  private AdapterVectors target;
  private AdapterVersion loadingVersion;
  private CompletableFuture<LoadedAdapter> loading;
  private LoadedAdapter loaded;
  private AdapterVersion waiting;

  private Map<String, KindThresholds> thresholds = new HashMap<>();
  private long sampled;
  private long sampledAtRefresh;

  /**
   * @param spill vectors from before a restart, or null
   */
  MatchEngine(
      Embedder embedder,
      WatchlistTable table,
      MatrixProduct product,
      VectorSpill spill,
      Settings settings,
      LoadedAdapter.Loader loader,
      Executor background,
      Events events) {
    this.embedder = embedder;
    this.table = table;
    this.workspace = product.workspace(settings.batchSize());
    this.spill = spill;
    this.settings = settings;
    this.loader = loader;
    this.background = background;
    this.events = events;
    for (Side side : Side.values()) {
      queriesByRow.put(side, new Watched[0][]);
      rows.put(side, new BitSet());
    }
  }

  // ---- adapters

  /** Begins with an adapter. Must be called once, before anything else. */
  void start(LoadedAdapter first) {
    if (serving != null) {
      throw new IllegalStateException("started already");
    }
    serving =
        table.open(first.version(), first.adapter(), first.calibration(), false).orElseThrow();
    thresholds = newThresholds(serving.calibration());
  }

  boolean started() {
    return serving != null;
  }

  AdapterVersion serving() {
    return serving.version();
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

  /**
   * Asks for another adapter. One re-embedding runs at a time; what was asked for before and has
   * not begun is forgotten.
   */
  void switchTo(AdapterVersion version) {
    waiting = version;
  }

  /** As {@link #switchTo}, but also gives up a re-embedding for another adapter at once. */
  void switchNow(AdapterVersion version) {
    dropNext();
    waiting = version.digest().equals(serving.version().digest()) ? null : version;
  }

  private void dropNext() {
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
      loading.thenAccept(late -> late.adapter().close());
      loading = null;
      loadingVersion = null;
    }
  }

  private void advanceAdapter() {
    if (loading != null && loading.isDone()) {
      try {
        loaded = loading.join();
      } catch (CompletionException e) {
        events.adapterRefused(loadingVersion, Reasons.of(e));
      }
      loading = null;
      loadingVersion = null;
    }
    if (loaded != null) {
      table
          .open(loaded.version(), loaded.adapter(), loaded.calibration(), true)
          .ifPresent(
              opened -> {
                target = opened;
                loaded = null;
              });
    }
    if (waiting != null && loading == null && loaded == null && target == null) {
      AdapterVersion wanted = waiting;
      waiting = null;
      if (!wanted.digest().equals(serving.version().digest())) {
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
    }
  }

  private void reembedSlice() {
    try {
      int left = settings.slice();
      for (Side side : Side.values()) {
        List<Integer> claimed = target.slabs(side).claim(rows.get(side), left);
        embedRows(target, side, claimed);
        left -= claimed.size();
      }
    } catch (RuntimeException e) {
      AdapterVersion refused = target.version();
      table.leave(target, true);
      target = null;
      events.adapterRefused(refused, Reasons.of(e));
      return;
    }
    if (target.holdsAll(rows.get(Side.TEXT), rows.get(Side.IMAGE))) {
      flip();
    }
  }

  private void flip() {
    long start = System.nanoTime();
    AdapterVectors old = serving;
    serving = target;
    target = null;
    thresholds = newThresholds(serving.calibration());
    sampled = 0;
    sampledAtRefresh = 0;
    refreshThresholds();
    long nanos = System.nanoTime() - start;
    table.flipped(serving);
    table.leave(old, false);
    List<Watched> again = new ArrayList<>(unsupported.values());
    unsupported.clear();
    for (Watched query : again) {
      pending.putIfAbsent(query.query.id(), query);
    }
    events.flipped(old.version(), serving.version(), nanos);
    for (Watched query : active.values()) {
      String tooFine = tooFine(query.query);
      if (tooFine != null || !query.note.isEmpty()) {
        accept(query, tooFine);
      }
    }
  }

  // ---- queries

  /**
   * Registers or changes a query. It takes effect, and is answered, in a coming {@link #work}.
   *
   * @param acceptedBefore whether it was accepted before a restart: it then stays, with the finest
   *     supported rate if the present calibration does not support its own, as it would have
   *     without the restart
   */
  void upsert(WatchedQuery query, boolean acceptedBefore) {
    Watched former = pending.remove(query.id());
    if (former != null) {
      release(former);
    }
    Watched unanswered = unsupported.remove(query.id());
    if (unanswered != null) {
      release(unanswered);
    }
    boolean another = !active.containsKey(query.id());
    if (another && active.size() + pending.size() + unsupported.size() >= settings.maxQueries()) {
      events.queryRefused(
          query,
          "the watchlist is full: "
              + settings.maxQueries()
              + " queries (watchlist.maxQueries); remove some first");
      return;
    }
    Watched watched = new Watched(query, acceptedBefore);
    Content text = query.textContent();
    Content image = query.imageContent();
    watched.textRow = text == null ? -1 : table.acquire(text);
    watched.imageRow = image == null ? -1 : table.acquire(image);
    pending.put(query.id(), watched);
  }

  /** Removes a query, whatever its state. Unknown ids are ignored. */
  void remove(String id) {
    for (Map<String, Watched> place : List.of(pending, unsupported)) {
      Watched found = place.remove(id);
      if (found != null) {
        release(found);
      }
    }
    Watched found = active.remove(id);
    if (found != null) {
      unmap(found);
      release(found);
    }
  }

  boolean isActive(String id) {
    return active.containsKey(id);
  }

  int activeQueries() {
    return active.size();
  }

  int pendingQueries() {
    return pending.size();
  }

  private void release(Watched query) {
    for (Side side : Side.values()) {
      if (query.row(side) >= 0) {
        table.release(side, query.row(side));
      }
    }
  }

  private void embedPending() {
    List<Watched> slice = pending.values().stream().limit(settings.slice()).toList();
    Map<Side, Map<Integer, String>> failed = new EnumMap<>(Side.class);
    for (Side side : Side.values()) {
      BitSet wanted = new BitSet();
      for (Watched query : slice) {
        if (query.row(side) >= 0) {
          wanted.set(query.row(side));
        }
      }
      List<Integer> claimed = serving.slabs(side).claim(wanted, Integer.MAX_VALUE);
      failed.put(side, embedEach(side, claimed));
    }
    for (Watched query : slice) {
      String reason = null;
      boolean complete = true;
      for (Side side : Side.values()) {
        int row = query.row(side);
        if (row >= 0) {
          reason = reason == null ? failed.get(side).get(row) : reason;
          complete &= serving.slabs(side).isFilled(row);
        }
      }
      if (reason != null) {
        pending.remove(query.query.id());
        refuse(query, reason);
      } else if (complete) {
        pending.remove(query.query.id());
        activate(query);
      }
    }
  }

  /** Embeds rows together, or one by one if that fails; returns why which rows have no vector. */
  private Map<Integer, String> embedEach(Side side, List<Integer> claimed) {
    Map<Integer, String> failed = new HashMap<>();
    try {
      embedRows(serving, side, claimed);
    } catch (RuntimeException together) {
      for (int row : claimed) {
        try {
          embedRows(serving, side, List.of(row));
        } catch (RuntimeException e) {
          failed.put(row, Reasons.of(e));
        }
      }
    }
    return failed;
  }

  private void embedRows(AdapterVectors vectors, Side side, List<Integer> claimed) {
    List<Integer> absent = new ArrayList<>();
    List<Content> contents = new ArrayList<>();
    try {
      for (int row : claimed) {
        Content content = table.content(side, row);
        float[] kept =
            spill == null ? null : spill.get(vectors.version().digest(), side, content.digest());
        if (kept == null) {
          absent.add(row);
          contents.add(content);
        } else {
          vectors.slabs(side).put(row, kept);
        }
      }
      if (absent.isEmpty()) {
        return;
      }
      float[][] embedded =
          side == Side.TEXT
              ? embedder.texts(vectors.adapter(), contents.stream().map(Content::text).toList())
              : embedder.images(
                  vectors.adapter(),
                  contents.stream()
                      .map(c -> embedder.pixels(c.image(), "query image " + c.digest()))
                      .toList());
      for (float[] vector : embedded) {
        requireFinite(vector);
      }
      for (int i = 0; i < embedded.length; i++) {
        vectors.slabs(side).put(absent.get(i), embedded[i]);
        if (spill != null) {
          spill.put(vectors.version().digest(), side, contents.get(i).digest(), embedded[i]);
        }
      }
    } catch (RuntimeException e) {
      vectors.slabs(side).unclaim(claimed);
      throw e;
    }
  }

  private static void requireFinite(float[] vector) {
    float sum = 0;
    for (float value : vector) {
      sum += Math.abs(value);
    }
    if (!Float.isFinite(sum)) {
      throw new BadInputException("the embedding is not finite");
    }
  }

  private void activate(Watched query) {
    String missing = uncalibratedKind(query.query);
    String tooFine = missing == null ? tooFine(query.query) : null;
    if (missing != null || (tooFine != null && !query.accepted)) {
      dropActive(query.query.id());
      unsupported.put(query.query.id(), query);
      events.queryRefused(query.query, missing != null ? missing : tooFine);
      return;
    }
    dropActive(query.query.id());
    active.put(query.query.id(), query);
    setThresholds(query);
    map(query);
    accept(query, tooFine);
  }

  private void accept(Watched query, String tooFine) {
    query.accepted = true;
    query.note = tooFine == null ? "" : tooFine + ", which is used";
    events.queryAccepted(query.query, effective(query), query.note);
  }

  private void refuse(Watched query, String reason) {
    // The former revision goes too: after a restart only the refused one would be in the topic.
    dropActive(query.query.id());
    release(query);
    events.queryRefused(query.query, reason);
  }

  private void dropActive(String id) {
    Watched former = active.remove(id);
    if (former != null) {
      unmap(former);
      release(former);
    }
  }

  private Map<MatchKind, Double> effective(Watched query) {
    Map<MatchKind, Double> result = new EnumMap<>(MatchKind.class);
    for (MatchKind kind : query.query.kinds()) {
      result.put(kind, (double) query.thresholds[kind.ordinal()]);
    }
    return result;
  }

  private void map(Watched query) {
    for (Side side : Side.values()) {
      int row = query.row(side);
      if (row >= 0) {
        ensureRow(side, row);
        Watched[] former = queriesByRow.get(side)[row];
        Watched[] now = former == null ? new Watched[1] : Arrays.copyOf(former, former.length + 1);
        now[now.length - 1] = query;
        queriesByRow.get(side)[row] = now;
        rows.get(side).set(row);
      }
    }
    for (MatchKind kind : query.query.kinds()) {
      queriesOfKind[kind.ordinal()]++;
    }
    refreshRows(query);
  }

  private void unmap(Watched query) {
    for (Side side : Side.values()) {
      int row = query.row(side);
      if (row >= 0) {
        Watched[] left =
            Arrays.stream(queriesByRow.get(side)[row])
                .filter(other -> other != query)
                .toArray(Watched[]::new);
        queriesByRow.get(side)[row] = left.length == 0 ? null : left;
        rows.get(side).set(row, left.length > 0);
      }
    }
    for (MatchKind kind : query.query.kinds()) {
      queriesOfKind[kind.ordinal()]--;
    }
    refreshRows(query);
  }

  private void ensureRow(Side side, int row) {
    Watched[][] known = queriesByRow.get(side);
    if (row >= known.length) {
      int capacity = Math.max(row + 1, Math.max(16, known.length * 2));
      queriesByRow.put(side, Arrays.copyOf(known, capacity));
      for (MatchKind kind : MatchKind.values()) {
        if (kind.querySide() == side) {
          float[] former = rowMinimum[kind.ordinal()];
          float[] larger = Arrays.copyOf(former, capacity);
          Arrays.fill(larger, former.length, capacity, Float.POSITIVE_INFINITY);
          rowMinimum[kind.ordinal()] = larger;
        }
      }
    }
  }

  private void refreshRows(Watched query) {
    for (MatchKind kind : query.query.kinds()) {
      int row = query.row(kind.querySide());
      float least = Float.POSITIVE_INFINITY;
      Watched[] here = queriesByRow.get(kind.querySide())[row];
      if (here != null) {
        for (Watched other : here) {
          if (other.query.kinds().contains(kind)) {
            least = Math.min(least, other.thresholds[kind.ordinal()]);
          }
        }
      }
      rowMinimum[kind.ordinal()][row] = least - PRODUCT_TOLERANCE;
    }
  }

  // ---- thresholds

  private static Map<String, KindThresholds> newThresholds(Calibration calibration) {
    Map<String, KindThresholds> fresh = new HashMap<>();
    calibration.curves().forEach((kind, known) -> fresh.put(kind, new KindThresholds(known)));
    return fresh;
  }

  /** The name under which calibrations list a kind: a cosine does not know which side is which. */
  static String calibrated(MatchKind kind) {
    return (kind == MatchKind.TEXT_IMAGE ? MatchKind.IMAGE_TEXT : kind).label();
  }

  /** Thresholds by calibration name under the serving digest. */
  Map<String, KindThresholds> thresholds() {
    return thresholds;
  }

  private String uncalibratedKind(WatchedQuery query) {
    if (query.maxFalsePositiveRate() == null) {
      return null;
    }
    for (MatchKind kind : query.kinds()) {
      if (!thresholds.containsKey(calibrated(kind))) {
        return "adapter "
            + serving.version()
            + " has no calibration for "
            + calibrated(kind)
            + ": give minScore instead, or wait for an adapter that has one";
      }
    }
    return null;
  }

  private String tooFine(WatchedQuery query) {
    if (query.maxFalsePositiveRate() == null) {
      return null;
    }
    for (MatchKind kind : query.kinds()) {
      KindThresholds known = thresholds.get(calibrated(kind));
      if (!known.supports(query.maxFalsePositiveRate())) {
        return "maxFalsePositiveRate "
            + query.maxFalsePositiveRate()
            + " is finer than the calibration of "
            + calibrated(kind)
            + " under adapter "
            + serving.version()
            + " supports; the finest is "
            + known.finestRate();
      }
    }
    return null;
  }

  private void setThresholds(Watched query) {
    for (MatchKind kind : query.query.kinds()) {
      double value =
          query.query.minScore() != null
              ? query.query.minScore()
              : thresholds.get(calibrated(kind)).threshold(query.query.maxFalsePositiveRate());
      query.thresholds[kind.ordinal()] = (float) value;
    }
  }

  /** Sets every query's thresholds anew, after a flip or when the live samples have grown. */
  private void refreshThresholds() {
    Map<String, Map<Double, Float>> known = new HashMap<>();
    for (float[] minimum : rowMinimum) {
      Arrays.fill(minimum, Float.POSITIVE_INFINITY);
    }
    List<Watched> lost = new ArrayList<>();
    for (Watched query : active.values()) {
      Double rate = query.query.maxFalsePositiveRate();
      if (rate != null && uncalibratedKind(query.query) != null) {
        lost.add(query);
        continue;
      }
      for (MatchKind kind : query.query.kinds()) {
        int index = kind.ordinal();
        if (rate != null) {
          query.thresholds[index] =
              known
                  .computeIfAbsent(calibrated(kind), any -> new HashMap<>())
                  .computeIfAbsent(
                      rate, r -> (float) thresholds.get(calibrated(kind)).threshold(r));
        }
        int row = query.row(kind.querySide());
        rowMinimum[index][row] =
            Math.min(rowMinimum[index][row], query.thresholds[index] - PRODUCT_TOLERANCE);
      }
    }
    for (Watched query : lost) {
      active.remove(query.query.id());
      unmap(query);
      unsupported.put(query.query.id(), query);
      events.queryRefused(query.query, uncalibratedKind(query.query));
    }
  }

  // ---- work between micro-batches

  /** Whether {@link #work} has something to do now or is waiting for something to finish. */
  boolean hasWork() {
    return !pending.isEmpty()
        || target != null
        || loading != null
        || loaded != null
        || waiting != null;
  }

  /** Does one slice of what is due. */
  void work() {
    advanceAdapter();
    if (!pending.isEmpty()) {
      embedPending();
    }
    if (target != null) {
      reembedSlice();
    }
    if (sampled - sampledAtRefresh >= Math.max(REFRESH_SAMPLES, sampledAtRefresh / 10)) {
      sampledAtRefresh = sampled;
      refreshThresholds();
    }
  }

  // ---- matching

  /** Compares a micro-batch of at most {@code batchSize} items with the watchlist. */
  Outcome match(List<Prepared> items) {
    AdapterVectors now = serving;
    List<Failure> failures = new ArrayList<>();
    float[][] images = embedItems(now, items, Side.IMAGE, failures);
    float[][] texts = embedItems(now, items, Side.TEXT, failures);
    List<Set<Watched>> hits = new ArrayList<>();
    for (int i = 0; i < items.size(); i++) {
      hits.add(new LinkedHashSet<>());
    }
    Set<MatchKind> hitKinds = new LinkedHashSet<>();
    for (MatchKind kind : MatchKind.values()) {
      if (queriesOfKind[kind.ordinal()] > 0) {
        findHits(now, kind, kind.itemSide() == Side.IMAGE ? images : texts, hits, hitKinds);
      }
    }
    Map<MatchKind, Map<Integer, List<Neighbour>>> nearest = new EnumMap<>(MatchKind.class);
    for (MatchKind kind : hitKinds) {
      nearest.put(kind, nearest(now, kind, kind.itemSide() == Side.IMAGE ? images : texts, hits));
    }
    List<Match> matches = new ArrayList<>();
    for (int i = 0; i < items.size(); i++) {
      for (Watched query : hits.get(i)) {
        List<KindScore> scores = scores(now, query, images[i], texts[i]);
        List<Neighbour> others = new ArrayList<>();
        for (Map<Integer, List<Neighbour>> byItem : nearest.values()) {
          for (Neighbour other : byItem.getOrDefault(i, List.of())) {
            if (!other.queryId().equals(query.query.id())) {
              others.add(other);
            }
          }
        }
        others.sort(Comparator.comparingDouble(other -> -other.score()));
        matches.add(
            new Match(
                i,
                query.query,
                scores,
                List.copyOf(others.subList(0, Math.min(settings.nearest(), others.size())))));
      }
    }
    return new Outcome(now.version(), matches, failures, images, texts);
  }

  private float[][] embedItems(
      AdapterVectors now, List<Prepared> items, Side side, List<Failure> failures) {
    float[][] vectors = new float[items.size()][];
    List<Integer> having = new ArrayList<>();
    for (int i = 0; i < items.size(); i++) {
      if ((side == Side.IMAGE ? items.get(i).pixels() : items.get(i).text()) != null) {
        having.add(i);
      }
    }
    if (having.isEmpty()) {
      return vectors;
    }
    try {
      float[][] embedded = embed(now, items, side, having);
      for (int i = 0; i < embedded.length; i++) {
        requireFinite(embedded[i]);
        vectors[having.get(i)] = embedded[i];
      }
    } catch (BadInputException together) {
      // One bad item must not cost its neighbours: find it.
      for (int i : having) {
        try {
          vectors[i] = embed(now, items, side, List.of(i))[0];
          requireFinite(vectors[i]);
        } catch (BadInputException e) {
          vectors[i] = null;
          failures.add(new Failure(i, Reasons.of(e)));
        }
      }
    }
    return vectors;
  }

  private float[][] embed(
      AdapterVectors now, List<Prepared> items, Side side, List<Integer> having) {
    return side == Side.IMAGE
        ? embedder.images(now.adapter(), having.stream().map(i -> items.get(i).pixels()).toList())
        : embedder.texts(now.adapter(), having.stream().map(i -> items.get(i).text()).toList());
  }

  private static int[] present(float[][] vectors) {
    int[] indexes = new int[vectors.length];
    int count = 0;
    for (int i = 0; i < vectors.length; i++) {
      if (vectors[i] != null) {
        indexes[count++] = i;
      }
    }
    return Arrays.copyOf(indexes, count);
  }

  private void load(float[][] vectors, int[] items) {
    float[][] dense = new float[items.length][];
    for (int i = 0; i < items.length; i++) {
      dense[i] = vectors[items[i]];
    }
    workspace.items(dense);
  }

  private int rowsInSlab(Side side, VectorSlabs slabs, int slab) {
    int used = Math.min(rows.get(side).length(), slabs.slabCount() * VectorSlabs.ROWS_PER_SLAB);
    return Math.min(VectorSlabs.ROWS_PER_SLAB, used - slab * VectorSlabs.ROWS_PER_SLAB);
  }

  private void findHits(
      AdapterVectors now,
      MatchKind kind,
      float[][] vectors,
      List<Set<Watched>> hits,
      Set<MatchKind> hitKinds) {
    int[] items = present(vectors);
    if (items.length == 0) {
      return;
    }
    load(vectors, items);
    Side side = kind.querySide();
    VectorSlabs slabs = now.slabs(side);
    float[] minimum = rowMinimum[kind.ordinal()];
    for (int slab = 0; ; slab++) {
      int count = rowsInSlab(side, slabs, slab);
      if (count <= 0) {
        return;
      }
      FloatBuffer scores = workspace.scores(slabs.slab(slab), count);
      int base = slab * VectorSlabs.ROWS_PER_SLAB;
      for (int i = 0; i < items.length; i++) {
        for (int r = 0; r < count; r++) {
          if (scores.get(i * count + r) >= minimum[base + r]) {
            for (Watched query : queriesByRow.get(side)[base + r]) {
              if (query.query.kinds().contains(kind)
                  && dot(vectors[items[i]], slabs.get(base + r))
                      >= query.thresholds[kind.ordinal()]) {
                hits.get(items[i]).add(query);
                hitKinds.add(kind);
              }
            }
          }
        }
      }
      sample(kind, scores, items.length, base, count);
    }
  }

  private void sample(MatchKind kind, FloatBuffer scores, int items, int base, int count) {
    KindThresholds sketch = thresholds.get(calibrated(kind));
    if (sketch == null) {
      return;
    }
    BitSet watched = rows.get(kind.querySide());
    int wanted = Math.min(settings.samples(), items * count);
    for (int i = 0; i < wanted; i++) {
      int cell = random.nextInt(items * count);
      if (watched.get(base + cell % count)) {
        sketch.sample(scores.get(cell));
        sampled++;
      }
    }
  }

  private Map<Integer, List<Neighbour>> nearest(
      AdapterVectors now, MatchKind kind, float[][] vectors, List<Set<Watched>> hits) {
    int[] items = Arrays.stream(present(vectors)).filter(i -> !hits.get(i).isEmpty()).toArray();
    Map<Integer, List<Neighbour>> result = new HashMap<>();
    if (items.length == 0 || settings.nearest() == 0) {
      return result;
    }
    load(vectors, items);
    Side side = kind.querySide();
    VectorSlabs slabs = now.slabs(side);
    Watched[][] byRow = queriesByRow.get(side);
    for (int slab = 0; ; slab++) {
      int count = rowsInSlab(side, slabs, slab);
      if (count <= 0) {
        return result;
      }
      FloatBuffer scores = workspace.scores(slabs.slab(slab), count);
      int base = slab * VectorSlabs.ROWS_PER_SLAB;
      for (int i = 0; i < items.length; i++) {
        List<Neighbour> best = result.computeIfAbsent(items[i], any -> new ArrayList<>());
        for (int r = 0; r < count; r++) {
          float score = scores.get(i * count + r);
          boolean room = best.size() <= settings.nearest();
          if (byRow[base + r] != null && (room || score > best.get(best.size() - 1).score())) {
            for (Watched query : byRow[base + r]) {
              if (query.query.kinds().contains(kind)) {
                insert(best, new Neighbour(query.query.id(), kind, score));
              }
            }
          }
        }
      }
    }
  }

  /** Keeps one more than asked for: the matching query itself is among them. */
  private void insert(List<Neighbour> best, Neighbour candidate) {
    int at = best.size();
    while (at > 0 && best.get(at - 1).score() < candidate.score()) {
      at--;
    }
    best.add(at, candidate);
    if (best.size() > settings.nearest() + 1) {
      best.remove(best.size() - 1);
    }
  }

  private List<KindScore> scores(AdapterVectors now, Watched query, float[] image, float[] text) {
    List<KindScore> scores = new ArrayList<>();
    for (MatchKind kind : query.query.kinds()) {
      float[] item = kind.itemSide() == Side.IMAGE ? image : text;
      if (item != null) {
        float[] watched = now.slabs(kind.querySide()).get(query.row(kind.querySide()));
        scores.add(new KindScore(kind, dot(item, watched), query.thresholds[kind.ordinal()]));
      }
    }
    scores.sort(Comparator.comparingDouble(score -> score.threshold() - score.score()));
    return List.copyOf(scores);
  }

  /** The score that decides: summed in double, so that it does not depend on the batch's shape. */
  static float dot(float[] left, float[] right) {
    double sum = 0;
    for (int i = 0; i < left.length; i++) {
      sum += (double) left[i] * right[i];
    }
    return (float) sum;
  }

  /** Lets go of rows and adapters. */
  @Override
  public void close() {
    dropNext();
    for (Map<String, Watched> place : List.of(active, pending, unsupported)) {
      place.values().forEach(this::release);
      place.clear();
    }
    if (serving != null) {
      table.leave(serving, false);
      serving = null;
    }
  }
}
