package io.whetstream.jobs.score;

import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.MatchKind.Side;
import io.whetstream.jobs.score.WatchlistTable.AdapterVectors;
import io.whetstream.model.image.ModelImage;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.BitSet;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
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
public final class MatchEngine implements AutoCloseable {
  /**
   * @param batchSize most items of a micro-batch
   * @param slice most contents embedded between two micro-batches; fewer where they would take
   *     longer than {@link SliceSize#GOAL}
   * @param maxQueries most queries watched for; further ones are refused
   * @param nearest how many other queries an alert names
   * @param samples scores sampled per micro-batch and kind for the live sketches
   * @param embedShare most of the time that is spent on embedding the watchlist for another adapter
   *     while items come
   * @param bridge whether vectors of a large watchlist are bridged to another adapter until they
   *     are embedded under it; see {@link VectorBridge}
   * @param subtasks that divide the items, and so the alerts, among them
   */
  public record Settings(
      int batchSize,
      int slice,
      int maxQueries,
      int nearest,
      int samples,
      double embedShare,
      boolean bridge,
      int subtasks) {
    /** Of an engine that gets all items, and whose adapters change without regard to them. */
    public Settings(int batchSize, int slice, int maxQueries, int nearest, int samples) {
      this(batchSize, slice, maxQueries, nearest, samples, 1, false, 1);
    }
  }

  /**
   * An item ready to be embedded.
   *
   * @param image as {@link Embedder#image} gives it, or null
   * @param text or null; one of the two is given
   */
  public record Prepared(ModelImage image, String text) {}

  /**
   * One comparison of a match.
   *
   * @param score cosine
   * @param threshold from which it holds: the query's, or what the item scores with one of its
   *     {@code unlike} texts if that is higher
   */
  public record KindScore(MatchKind kind, float score, double threshold) {
    public boolean holds() {
      return score >= threshold;
    }
  }

  /** Another query near an item that matched. */
  public record Neighbour(String queryId, MatchKind kind, float score) {}

  /**
   * An item that matches a query in at least one kind.
   *
   * @param item index in the micro-batch
   * @param query without the bytes of its image
   * @param bridged whether a vector of the query came over a {@link VectorBridge}
   * @param queryDigest see {@link WatchedQuery#contentDigest}
   * @param scores every comparison that was made of the two, best margin first
   */
  public record Match(
      int item,
      WatchedQuery query,
      String queryDigest,
      boolean bridged,
      List<KindScore> scores,
      List<Neighbour> nearest) {}

  /** An item that could not be embedded. */
  public record Failure(int item, String reason) {}

  /**
   * Result of a micro-batch, all of it under one adapter.
   *
   * @param imageVectors by item index, null where the item has no image
   * @param textVectors by item index, null where the item has no text
   */
  public record Outcome(
      AdapterVersion version,
      List<Match> matches,
      List<Failure> failures,
      float[][] imageVectors,
      float[][] textVectors) {}

  /** What happens beside matching. Called on the engine's thread. */
  public interface Events {
    /**
     * A query takes effect, or the rate it gets has changed.
     *
     * @param thresholds the scores from which it matches
     * @param note what has to be said about its rate; may be empty
     */
    void queryAccepted(WatchedQuery query, Map<MatchKind, Double> thresholds, String note);

    /** A query is not compared: what it would take is in the reason. */
    void queryRefused(WatchedQuery query, String reason);

    /** An adapter cannot be used; the one in use stays. */
    void adapterRefused(AdapterVersion version, String reason);

    /**
     * Another adapter serves.
     *
     * @param nanos how long matching was held up by it
     */
    void flipped(AdapterVersion from, AdapterVersion to, long nanos);
  }

  /** Of a hundred thousand queries, so many do not hold up items. */
  private static final int NEWS_PER_TURN = 500;

  private final WatchlistTable table;
  private final Watchlist watchlist;
  private final RowEmbedder rows;
  private final AdapterChange change;
  private final ItemMatcher matcher;
  private final Settings settings;
  private final SliceSize sliceSize;
  private final AlertBudget budget;
  private final Events events;

  /** Closed with the engine; null if the product is shared. */
  private MatrixProduct ownProduct;

  private IdleCores ownCores;

  /** {@link System#nanoTime} before which pending queries are left alone after a failure. */
  private long embedNotBefore = System.nanoTime();

  /** Queries that may have to be answered anew, and what is said of them. */
  private ArrayDeque<Watchlist.Entry> lookedFor = new ArrayDeque<>();

  private CalibratedThresholds.Notes notes;

  private AdapterVectors serving;
  private CalibratedThresholds thresholds;
  private volatile Map<String, Double> liveShares = Map.of();

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
    this.table = table;
    this.settings = settings;
    this.sliceSize = new SliceSize(settings.slice(), settings.embedShare());
    this.events = events;
    this.budget = new AlertBudget(settings.subtasks(), System::nanoTime);
    this.watchlist = new Watchlist(table, settings.maxQueries(), budget);
    this.rows = new RowEmbedder(embedder, table, spill);
    this.change =
        new AdapterChange(
            table, rows, loader, background, settings.bridge(), events::adapterRefused);
    this.matcher =
        new ItemMatcher(
            embedder, product, watchlist, budget, settings.nearest(), settings.samples());
  }

  /**
   * An engine with a watchlist of its own, which also reads adapters on the thread that calls it.
   */
  public static MatchEngine alone(
      Embedder embedder, Settings settings, LoadedAdapter.Loader loader, Events events) {
    IdleCores cores = new IdleCores();
    MatrixProduct product = new MatrixProduct(embedder.dimension(), cores);
    MatchEngine engine =
        new MatchEngine(
            embedder,
            new WatchlistTable(embedder.dimension()),
            product,
            null,
            settings,
            loader,
            Runnable::run,
            events);
    engine.ownProduct = product;
    engine.ownCores = cores;
    return engine;
  }

  // ---- adapters

  /** Begins with an adapter. Must be called once, before anything else. */
  public void start(LoadedAdapter first) {
    if (serving != null) {
      throw new IllegalStateException("started already");
    }
    serving =
        table.open(first.version(), first.adapter(), first.calibration(), false).orElseThrow();
    thresholds = new CalibratedThresholds(serving.version(), serving.calibration());
  }

  boolean started() {
    return serving != null;
  }

  public AdapterVersion serving() {
    return serving.version();
  }

  /** The adapter that will serve next, or null. */
  AdapterVersion next() {
    return change.next();
  }

  /**
   * Asks for another adapter. One re-embedding runs at a time; what was asked for before and has
   * not begun is forgotten.
   */
  public void switchTo(AdapterVersion version) {
    change.ask(version);
  }

  /** As {@link #switchTo}, but also gives up a re-embedding for another adapter at once. */
  void switchNow(AdapterVersion version) {
    change.giveUp();
    if (!version.digest().equals(serving.version().digest())) {
      change.ask(version);
    }
  }

  private void flip(AdapterVectors next) {
    long start = System.nanoTime();
    AdapterVectors old = serving;
    serving = next;
    thresholds = new CalibratedThresholds(serving.version(), serving.calibration());
    watchlist.askUnsupportedAgain();
    List<Watchlist.Entry> lost = watchlist.refresh(thresholds);
    table.flipped(serving);
    table.leave(old, false);
    lost.forEach(this::answerMissing);
    lookForNews();
    events.flipped(old.version(), serving.version(), System.nanoTime() - start);
  }

  // ---- queries

  /**
   * Registers or changes a query. It takes effect, and is answered, in a coming {@link #work}.
   *
   * @param acceptedBefore whether it was accepted before a restart: it then stays, with the finest
   *     supported rate if the present calibration does not support its own, as it would have
   *     without the restart
   */
  public void upsert(WatchedQuery query, boolean acceptedBefore) {
    if (!watchlist.offer(query, acceptedBefore)) {
      events.queryRefused(
          query,
          "the watchlist is full: "
              + settings.maxQueries()
              + " queries (watchlist.maxQueries); remove some first");
    }
  }

  /** Removes a query, whatever its state. Unknown ids are ignored. */
  void remove(String id) {
    watchlist.remove(id);
  }

  boolean isActive(String id) {
    return watchlist.isActive(id);
  }

  public int activeQueries() {
    return watchlist.active().size();
  }

  int pendingQueries() {
    return watchlist.pendingQueries();
  }

  /** Direct memory of the vectors of all adapters that are open, in bytes. */
  public long watchlistBytes() {
    return table.bytes();
  }

  private void embedPending() {
    if (System.nanoTime() - embedNotBefore < 0) {
      return;
    }
    List<Watchlist.Entry> slice = watchlist.pending(sliceSize.next());
    long start = System.nanoTime();
    Map<Side, RowEmbedder.Failures> failed = new EnumMap<>(Side.class);
    int left = sliceSize.next();
    for (Side side : Side.values()) {
      BitSet wanted = new BitSet();
      for (Watchlist.Entry entry : slice) {
        for (int row : entry.rows(side)) {
          wanted.set(row);
        }
      }
      List<Integer> claimed = serving.slabs(side).claim(wanted, left);
      left -= claimed.size();
      failed.put(side, rows.embedEach(serving, side, claimed));
    }
    long now = System.nanoTime();
    sliceSize.took(sliceSize.next() - left, now - start, now);
    for (Watchlist.Entry entry : slice) {
      String reason = null;
      boolean complete = true;
      boolean notNow = false;
      for (Side side : Side.values()) {
        for (int row : entry.rows(side)) {
          reason = reason == null ? failed.get(side).bad().get(row) : reason;
          complete &= serving.slabs(side).isFilled(row);
          notNow |= failed.get(side).notNow().contains(row);
        }
      }
      if (reason != null) {
        watchlist.refuse(entry);
        events.queryRefused(entry.query(), reason);
      } else if (complete) {
        activate(entry);
      } else if (notNow) {
        // Those behind it do not wait.
        watchlist.postpone(entry);
        embedNotBefore = System.nanoTime() + AdapterChange.RETRY.toNanos();
      }
    }
  }

  /** Gives some of the rows whose vectors are bridged their own. */
  private void embedBridged() {
    long start = System.nanoTime();
    if (start - embedNotBefore < 0 || !sliceSize.isDue(start)) {
      return;
    }
    int turn = sliceSize.next();
    int left = turn;
    for (Side side : Side.values()) {
      VectorSlabs slabs = serving.slabs(side);
      List<Integer> claimed = slabs.claimBridged(watchlist.needed(side), left);
      left -= claimed.size();
      RowEmbedder.Failures failed = rows.embedEach(serving, side, claimed);
      if (!failed.bad().isEmpty() || !failed.notNow().isEmpty()) {
        // They keep what they have; under another adapter they are asked again.
        embedNotBefore = System.nanoTime() + AdapterChange.RETRY.toNanos();
      }
    }
    long now = System.nanoTime();
    sliceSize.took(turn - left, now - start, now);
  }

  private void activate(Watchlist.Entry entry) {
    if (thresholds.missing(entry.query()) != null) {
      watchlist.park(entry);
      answerMissing(entry);
      return;
    }
    String tooFine = thresholds.tooFine(entry.query(), entry.rate());
    // What a budget comes to changes with the stream.
    boolean forGood = entry.query().maxAlertsPerDay() == null && !entry.wasAccepted();
    if (tooFine != null && forGood) {
      watchlist.park(entry);
      events.queryRefused(entry.query(), tooFine);
      return;
    }
    watchlist.activate(entry, thresholds);
    answerAccepted(entry, thresholds.note(entry.query(), entry.rate()));
  }

  private void answerMissing(Watchlist.Entry entry) {
    events.queryRefused(entry.query(), thresholds.missing(entry.query()));
  }

  private void answerAccepted(Watchlist.Entry entry, String note) {
    entry.accepted(note);
    events.queryAccepted(entry.query(), entry.thresholds(), note);
  }

  /**
   * From now on looks, some at a time, for queries of which something else is true than was said.
   */
  private void lookForNews() {
    lookedFor = new ArrayDeque<>(watchlist.active());
    notes = thresholds.notes();
  }

  private void answerNews() {
    for (int i = 0; i < NEWS_PER_TURN && !lookedFor.isEmpty(); i++) {
      Watchlist.Entry entry = lookedFor.poll();
      if (watchlist.isActive(entry)) {
        String note = notes.of(entry.query(), entry.rate());
        if (entry.isNews(note)) {
          answerAccepted(entry, note);
        }
      }
    }
  }

  // ---- thresholds

  /** Sketches of the live scores under the serving digest. */
  List<SketchState> sketches() {
    return thresholds.sketches();
  }

  /** Goes on with sketches from a checkpoint; those of other digests are left out. */
  void merge(List<SketchState> sketches) {
    sketches.forEach(thresholds::merge);
    settle();
  }

  /** Takes live scores into account, at once for all queries. */
  private void settle() {
    boolean news = thresholds.settle();
    budget.settle();
    liveShares = thresholds.sharesAboveCalibration();
    watchlist.refresh(thresholds);
    if (news) {
      lookForNews();
    }
  }

  /**
   * By kind, the share of recent live scores above the calibrated 99.9 % quantile. Any thread may
   * ask.
   */
  Map<String, Double> liveShares() {
    return liveShares;
  }

  // ---- work between micro-batches

  /** Whether {@link #work} has something to do now or is waiting for something to finish. */
  public boolean hasWork() {
    return watchlist.pendingQueries() > 0
        || change.isUnderWay()
        || !lookedFor.isEmpty()
        || hasBridged();
  }

  private boolean hasBridged() {
    return settings.bridge()
        && serving != null
        && Arrays.stream(Side.values())
            .anyMatch(side -> serving.slabs(side).hasBridged(watchlist.needed(side)));
  }

  /** Does one slice of what is due. */
  public void work() {
    if (watchlist.pendingQueries() > 0) {
      embedPending();
    }
    answerNews();
    AdapterVectors next = change.advance(serving, watchlist, sliceSize);
    if (next != null) {
      flip(next);
    } else if (settings.bridge() && !change.isUnderWay()) {
      embedBridged();
    }
  }

  // ---- matching

  /** Compares a micro-batch of at most {@code batchSize} items with the watchlist. */
  public Outcome match(List<Prepared> items) {
    Outcome outcome = matcher.match(serving, thresholds, items);
    sliceSize.itemsCame();
    if (budget.isDue() && watchlist.hasBudgets() || thresholds.isDue()) {
      settle();
    }
    return outcome;
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
    change.giveUp();
    watchlist.close();
    if (serving != null) {
      table.leave(serving, false);
      serving = null;
    }
    if (ownProduct != null) {
      ownProduct.close();
      ownCores.close();
    }
  }
}
