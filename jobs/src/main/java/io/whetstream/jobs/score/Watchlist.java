package io.whetstream.jobs.score;

import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.MatchKind.Side;
import io.whetstream.jobs.score.WatchlistTable.Content;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Collection;
import java.util.Collections;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * The queries of one subtask: those that are compared, those whose vectors are still due, and those
 * that the calibration of the adapter in use cannot give a threshold for. Each holds on to the rows
 * of its contents in the {@link WatchlistTable}. Vectors are not kept here, so the watchlist is the
 * same under every adapter but for its thresholds. One thread.
 */
final class Watchlist implements AutoCloseable {
  /** A query with the rows of its contents and the thresholds in use. */
  static final class Entry {
    private final WatchedQuery query;
    private final String contentDigest;
    private final List<MatchKind> kinds;
    private final float[] thresholds;
    private final int textRow;
    private final int imageRow;
    private final int[] unlikeRows;

    /** Once accepted it stays under adapters that support its rate less finely, which is said. */
    private boolean accepted;

    /** The note and the thresholds it was last answered with. */
    private String note = "";

    private float[] said;

    private final AlertBudget.Heat heat = new AlertBudget.Heat();
    private Double rate;

    private Entry(
        WatchedQuery query, boolean accepted, int textRow, int imageRow, int[] unlikeRows) {
      // The image is the table's, once for all subtasks.
      this.query = query.withoutImage();
      this.contentDigest = query.contentDigest();
      this.kinds = query.kinds().stream().sorted().toList();
      this.thresholds = new float[kinds.size()];
      this.textRow = textRow;
      this.imageRow = imageRow;
      this.unlikeRows = unlikeRows;
      this.accepted = accepted;
    }

    /** Without the bytes of its image. */
    WatchedQuery query() {
      return query;
    }

    /** See {@link WatchedQuery#contentDigest}. */
    String contentDigest() {
      return contentDigest;
    }

    List<MatchKind> kinds() {
      return kinds;
    }

    /** The row of its content of a side; negative if it has none. */
    int row(Side side) {
      return side == Side.TEXT ? textRow : imageRow;
    }

    /** Text rows of what an item must be less like. */
    int[] unlikeRows() {
      return unlikeRows;
    }

    /** Every row of a side that it holds on to. */
    int[] rows(Side side) {
      IntStream own = row(side) < 0 ? IntStream.empty() : IntStream.of(row(side));
      return side == Side.TEXT
          ? IntStream.concat(own, Arrays.stream(unlikeRows)).toArray()
          : own.toArray();
    }

    /** The score from which it matches; not a number for a kind it does not compare. */
    float threshold(MatchKind kind) {
      int index = kinds.indexOf(kind);
      return index < 0 ? Float.NaN : thresholds[index];
    }

    Map<MatchKind, Double> thresholds() {
      Map<MatchKind, Double> result = new EnumMap<>(MatchKind.class);
      kinds.forEach(kind -> result.put(kind, (double) threshold(kind)));
      return result;
    }

    /** The rate that its thresholds are those of; null if it has a score. */
    Double rate() {
      return rate;
    }

    /** An item matches it. */
    void matched() {
      heat.matched();
    }

    boolean wasAccepted() {
      return accepted;
    }

    /** It is being answered as accepted, with the thresholds it has. */
    void accepted(String with) {
      accepted = true;
      note = with;
      said = thresholds.clone();
    }

    /** Whether it would be answered otherwise than it was last. */
    boolean isNews(String noteNow) {
      return !noteNow.equals(note) || !Arrays.equals(said, thresholds);
    }

    private void set(CalibratedThresholds from, AlertBudget budget) {
      setRate(budget);
      for (int i = 0; i < thresholds.length; i++) {
        thresholds[i] = from.of(query, kinds.get(i), rate);
      }
    }

    private void setRate(AlertBudget budget) {
      rate =
          query.maxAlertsPerDay() == null
              ? query.maxFalsePositiveRate()
              : Double.valueOf(budget.rate(query.maxAlertsPerDay(), query.kinds(), heat));
    }
  }

  /** What is compared with one side of an item, by row of the table. */
  private static final class Rows {
    final BitSet watched = new BitSet();

    /** By row, of how many queries an item must be less like it than like their own text. */
    final Map<Integer, Integer> unlike = new HashMap<>();

    /** Rows watched for and rows of {@code unlike}. */
    final BitSet needed = new BitSet();

    final Map<MatchKind, float[]> minimum = new EnumMap<>(MatchKind.class);
    Entry[][] entries = new Entry[0][];

    Rows(Side side) {
      for (MatchKind kind : MatchKind.values()) {
        if (kind.querySide() == side) {
          minimum.put(kind, new float[0]);
        }
      }
    }

    void reserve(int row) {
      if (row < entries.length) {
        return;
      }
      int former = entries.length;
      int capacity = Math.max(row + 1, Math.max(16, former * 2));
      entries = Arrays.copyOf(entries, capacity);
      minimum.replaceAll(
          (kind, scores) -> {
            float[] larger = Arrays.copyOf(scores, capacity);
            Arrays.fill(larger, former, capacity, Float.POSITIVE_INFINITY);
            return larger;
          });
    }

    void add(int row, Entry entry) {
      reserve(row);
      Entry[] former = entries[row];
      Entry[] now = former == null ? new Entry[1] : Arrays.copyOf(former, former.length + 1);
      now[now.length - 1] = entry;
      entries[row] = now;
      watched.set(row);
      needed.set(row);
    }

    void remove(int row, Entry entry) {
      Entry[] left =
          Arrays.stream(entries[row]).filter(other -> other != entry).toArray(Entry[]::new);
      entries[row] = left.length == 0 ? null : left;
      watched.set(row, left.length > 0);
      setNeeded(row);
    }

    void addUnlike(int row) {
      unlike.merge(row, 1, Integer::sum);
      needed.set(row);
    }

    void removeUnlike(int row) {
      unlike.computeIfPresent(row, (any, count) -> count == 1 ? null : count - 1);
      setNeeded(row);
    }

    private void setNeeded(int row) {
      needed.set(row, watched.get(row) || unlike.containsKey(row));
    }

    void setMinimum(int row) {
      minimum.forEach(
          (kind, scores) -> {
            float least = Float.POSITIVE_INFINITY;
            if (entries[row] != null) {
              for (Entry entry : entries[row]) {
                least = least(least, entry.threshold(kind));
              }
            }
            scores[row] = least;
          });
    }

    /** The less of two, the second of which may be not a number. */
    private static float least(float known, float other) {
      return other < known ? other : known;
    }

    void clearMinimum() {
      minimum.values().forEach(scores -> Arrays.fill(scores, Float.POSITIVE_INFINITY));
    }

    void lowerMinimum(int row, MatchKind kind, float threshold) {
      float[] scores = minimum.get(kind);
      scores[row] = least(scores[row], threshold);
    }
  }

  private final WatchlistTable table;
  private final int maxQueries;
  private final AlertBudget budget;
  private int budgets;
  private final Map<String, Entry> active = new LinkedHashMap<>();
  private final Map<String, Entry> pending = new LinkedHashMap<>();
  private final Map<String, Entry> unsupported = new LinkedHashMap<>();
  private final Map<Side, Rows> rows = new EnumMap<>(Side.class);
  private final Map<MatchKind, Integer> comparing = new EnumMap<>(MatchKind.class);

  Watchlist(WatchlistTable table, int maxQueries, AlertBudget budget) {
    this.table = table;
    this.maxQueries = maxQueries;
    this.budget = budget;
    for (Side side : Side.values()) {
      rows.put(side, new Rows(side));
    }
  }

  // ---- what is compared

  Collection<Entry> active() {
    return Collections.unmodifiableCollection(active.values());
  }

  boolean isActive(String id) {
    return active.containsKey(id);
  }

  /** Whether thresholds depend on how fast the stream runs. */
  boolean hasBudgets() {
    return budgets > 0;
  }

  /** Whether this very revision is compared. */
  boolean isActive(Entry entry) {
    return active.get(entry.query.id()) == entry;
  }

  /** Rows of the table that items are matched with. */
  BitSet watched(Side side) {
    return rows.get(side).watched;
  }

  /**
   * Rows of the table that must have a vector: those watched for, and what is not to be matched.
   */
  BitSet needed(Side side) {
    return rows.get(side).needed;
  }

  /** The queries at a row, or null if there are none. */
  Entry[] at(Side side, int row) {
    return rows.get(side).entries[row];
  }

  /** By row, a score below which no query there matches in this kind. */
  float[] minimum(MatchKind kind) {
    return rows.get(kind.querySide()).minimum.get(kind);
  }

  boolean compares(MatchKind kind) {
    return comparing.getOrDefault(kind, 0) > 0;
  }

  // ---- how queries come and go

  /**
   * Takes up a query, which then is pending. A former revision stays active meanwhile.
   *
   * @return false if the watchlist is full
   */
  boolean offer(WatchedQuery query, boolean acceptedBefore) {
    for (Map<String, Entry> place : List.of(pending, unsupported)) {
      release(place.remove(query.id()));
    }
    int known = active.size() + pending.size() + unsupported.size();
    if (!active.containsKey(query.id()) && known >= maxQueries) {
      return false;
    }
    Entry entry =
        new Entry(
            query,
            acceptedBefore,
            acquire(query.textContent()),
            acquire(query.imageContent()),
            query.unlikeContents().stream().mapToInt(table::acquire).toArray());
    entry.setRate(budget);
    pending.put(query.id(), entry);
    return true;
  }

  private int acquire(Content content) {
    return content == null ? -1 : table.acquire(content);
  }

  /** The oldest pending queries. */
  List<Entry> pending(int most) {
    return pending.values().stream().limit(most).toList();
  }

  int pendingQueries() {
    return pending.size();
  }

  /** From now on a pending query is compared, in place of its former revision. */
  void activate(Entry entry, CalibratedThresholds thresholds) {
    leavePending(entry);
    active.put(entry.query.id(), entry);
    entry.set(thresholds, budget);
    for (Side side : Side.values()) {
      if (entry.row(side) >= 0) {
        rows.get(side).add(entry.row(side), entry);
        rows.get(side).setMinimum(entry.row(side));
      }
    }
    for (int row : entry.unlikeRows) {
      rows.get(Side.TEXT).addUnlike(row);
    }
    entry.kinds.forEach(kind -> comparing.merge(kind, 1, Integer::sum));
    budgets += entry.query.maxAlertsPerDay() == null ? 0 : 1;
  }

  /** A pending query waits for an adapter whose calibration supports it. */
  void park(Entry entry) {
    leavePending(entry);
    unsupported.put(entry.query.id(), entry);
  }

  /** A pending query becomes the last of them. */
  void postpone(Entry entry) {
    pending.remove(entry.query.id());
    pending.put(entry.query.id(), entry);
  }

  /** A pending query cannot be used at all. */
  void refuse(Entry entry) {
    leavePending(entry);
    release(entry);
  }

  /** Former revisions go too: after a restart only the newer one is in the topic. */
  private void leavePending(Entry entry) {
    pending.remove(entry.query.id());
    release(unsupported.remove(entry.query.id()));
    dropActive(entry.query.id());
  }

  /** Removes a query, whatever its state. Unknown ids are ignored. */
  void remove(String id) {
    for (Map<String, Entry> place : List.of(pending, unsupported)) {
      release(place.remove(id));
    }
    dropActive(id);
  }

  private void dropActive(String id) {
    Entry former = active.remove(id);
    if (former != null) {
      unmap(former);
      release(former);
    }
  }

  private void unmap(Entry entry) {
    for (Side side : Side.values()) {
      if (entry.row(side) >= 0) {
        rows.get(side).remove(entry.row(side), entry);
        rows.get(side).setMinimum(entry.row(side));
      }
    }
    for (int row : entry.unlikeRows) {
      rows.get(Side.TEXT).removeUnlike(row);
    }
    entry.kinds.forEach(kind -> comparing.merge(kind, -1, Integer::sum));
    budgets -= entry.query.maxAlertsPerDay() == null ? 0 : 1;
  }

  private void release(Entry entry) {
    if (entry != null) {
      for (Side side : Side.values()) {
        for (int row : entry.rows(side)) {
          table.release(side, row);
        }
      }
    }
  }

  // ---- thresholds

  /** Makes queries pending again that another adapter's calibration did not support. */
  void askUnsupportedAgain() {
    for (Entry entry : unsupported.values()) {
      // A newer revision may be pending.
      if (pending.putIfAbsent(entry.query.id(), entry) != null) {
        release(entry);
      }
    }
    unsupported.clear();
  }

  /**
   * Sets the thresholds of all queries anew.
   *
   * @return queries that have none any more and are compared no longer
   */
  List<Entry> refresh(CalibratedThresholds thresholds) {
    rows.values().forEach(Rows::clearMinimum);
    List<Entry> lost = new ArrayList<>();
    boolean hasAll = thresholds.hasAll();
    for (Entry entry : active.values()) {
      if (!hasAll && thresholds.missing(entry.query) != null) {
        lost.add(entry);
        continue;
      }
      entry.set(thresholds, budget);
      for (MatchKind kind : entry.kinds) {
        Side side = kind.querySide();
        rows.get(side).lowerMinimum(entry.row(side), kind, entry.threshold(kind));
      }
    }
    for (Entry entry : lost) {
      active.remove(entry.query.id());
      unmap(entry);
      unsupported.put(entry.query.id(), entry);
    }
    return lost;
  }

  /** Lets go of all rows. */
  @Override
  public void close() {
    for (Map<String, Entry> place : List.of(active, pending, unsupported)) {
      place.values().forEach(this::release);
      place.clear();
    }
  }
}
