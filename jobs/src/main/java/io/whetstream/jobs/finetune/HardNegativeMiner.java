package io.whetstream.jobs.finetune;

import io.whetstream.jobs.finetune.MiningSettings.Mode;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Groups the pairs of a bucket so that the members of a group are hard to tell apart.
 *
 * <p>A pair waits among the bucket's pending pairs. When these reach {@code mining.candidates}, or
 * the oldest has waited {@code mining.maxWait} of event time, the oldest becomes an anchor and
 * leaves with its nearest pending neighbours. Neighbours that are likely the same thing (equal
 * image or caption, or a similarity above the bound) stay for a later group: as negatives they
 * would teach a falsehood. Part of a group may be past pairs, kept as a uniform sample of the
 * bucket within a bound of bytes (Vitter 1985, algorithm R), against forgetting.
 *
 * <p>A held-out pair passes through at once and alone: it is never a partner and never remembered.
 *
 * <p>State is in RocksDB: payloads and sketches apart, so that choosing reads no image. Sketches
 * are also held on the heap, written through; what is evicted, or lost with the process, is read
 * again. So the cache changes time, never results.
 */
final class HardNegativeMiner extends KeyedProcessFunction<Integer, MinedPair, PairGroup> {
  private static final long serialVersionUID = 1L;

  private final MiningSettings settings;
  private final double heldOutShare;
  private final boolean deterministic;

  private transient MapState<Long, MinedPair> pending;
  private transient MapState<Long, Sketch> pendingSketches;
  private transient MapState<Long, MinedPair> past;
  private transient MapState<Long, Sketch> pastSketches;
  private transient ValueState<BucketState> buckets;

  private transient Map<Integer, Bucket> cache;
  private transient long cachedBytes;
  private transient long lastArrival;

  private transient Counter groups;
  private transient Counter incomplete;
  private transient Counter replayed;
  private transient Counter falseNegatives;
  private transient Counter cacheMisses;
  private transient long waiting;

  /** The heap's copy of one bucket. */
  private static final class Bucket {
    private BucketState state;
    private final List<Sketch> pending = new ArrayList<>();
    private final List<Sketch> past = new ArrayList<>();
    private long pastBytes;

    /** Position of the pending pair whose deadline is first; -1 if none waits. */
    int mostUrgent() {
      int first = -1;
      for (int i = 0; i < pending.size(); i++) {
        if (first < 0 || pending.get(i).deadline() < pending.get(first).deadline()) {
          first = i;
        }
      }
      return first;
    }

    long heap() {
      long bytes = 256;
      for (Sketch sketch : pending) {
        bytes += sketch.heap();
      }
      for (Sketch sketch : past) {
        bytes += sketch.heap();
      }
      return bytes;
    }
  }

  /**
   * @param heldOutShare of all pairs, as the trainer has it
   * @param deterministic no flush by processing time
   */
  HardNegativeMiner(MiningSettings settings, double heldOutShare, boolean deterministic) {
    this.settings = settings;
    this.heldOutShare = heldOutShare;
    this.deterministic = deterministic;
  }

  @Override
  public void open(OpenContext context) {
    pending =
        getRuntimeContext()
            .getMapState(new MapStateDescriptor<>("pending", Types.LONG, StreamTypes.PAIR));
    pendingSketches =
        getRuntimeContext()
            .getMapState(
                new MapStateDescriptor<>("pending-sketches", Types.LONG, StreamTypes.SKETCH));
    past =
        getRuntimeContext()
            .getMapState(new MapStateDescriptor<>("past", Types.LONG, StreamTypes.PAIR));
    pastSketches =
        getRuntimeContext()
            .getMapState(new MapStateDescriptor<>("past-sketches", Types.LONG, StreamTypes.SKETCH));
    buckets =
        getRuntimeContext().getState(new ValueStateDescriptor<>("bucket", StreamTypes.BUCKET));
    cache = new LinkedHashMap<>(64, 0.75f, true);
    MetricGroup metrics = getRuntimeContext().getMetricGroup().addGroup("miner");
    groups = metrics.counter("groups");
    incomplete = metrics.counter("incompleteGroups");
    replayed = metrics.counter("replayedPairs");
    falseNegatives = metrics.counter("skippedFalseNegatives");
    cacheMisses = metrics.counter("cacheMisses");
    metrics.gauge("cachedBytes", () -> cachedBytes);
    metrics.gauge("cachedPendingPairs", () -> waiting);
  }

  @Override
  public void processElement(MinedPair pair, Context context, Collector<PairGroup> out)
      throws Exception {
    lastArrival = context.timerService().currentProcessingTime();
    if (PairIds.heldOut(pair.id(), heldOutShare)) {
      out.collect(new PairGroup(List.of(pair), 1));
      return;
    }
    int key = context.getCurrentKey();
    Bucket bucket = bucket(key);
    long number = bucket.state.next();
    Sketch sketch = Sketch.of(number, pair, deadline(pair.eventTime(), key));
    pending.put(number, pair);
    pendingSketches.put(number, sketch);
    bucket.pending.add(sketch);
    waiting++;
    cachedBytes += sketch.heap();
    bucket.state = bucket.state.arrived();
    while (bucket.pending.size() >= settings.candidates()) {
      close(key, bucket, 0, out);
    }
    watch(bucket, sketch.deadline(), context);
    buckets.update(bucket.state);
    evictExcept(key);
  }

  @Override
  public void onTimer(long timestamp, OnTimerContext context, Collector<PairGroup> out)
      throws Exception {
    int key = context.getCurrentKey();
    Bucket bucket = bucket(key);
    switch (context.timeDomain()) {
      case EVENT_TIME -> {
        bucket.state = bucket.state.withTimer(Long.MIN_VALUE);
        for (int due = bucket.mostUrgent();
            due >= 0 && bucket.pending.get(due).deadline() <= timestamp;
            due = bucket.mostUrgent()) {
          close(key, bucket, due, out);
        }
      }
      case PROCESSING_TIME -> {
        bucket.state = bucket.state.withWatched(false);
        if (timestamp - lastArrival >= settings.idleFlush().toMillis()) {
          while (!bucket.pending.isEmpty()) {
            close(key, bucket, 0, out);
          }
        }
      }
    }
    int urgent = bucket.mostUrgent();
    if (urgent >= 0) {
      watch(bucket, bucket.pending.get(urgent).deadline(), context);
    }
    buckets.update(bucket.state);
    evictExcept(key);
  }

  /**
   * The instant until which a pair waits. Each bucket has instants of its own, so that timers of
   * different buckets have one order, after a restore too.
   */
  private long deadline(long eventTime, int key) {
    long count = settings.buckets();
    long due = Math.min(eventTime, Long.MAX_VALUE / 2) + settings.maxWait().toMillis();
    return Math.floorDiv(due + count - 1 - key, count) * count + key;
  }

  /** Keeps one timer of each kind outstanding while pairs wait. */
  private void watch(Bucket bucket, long due, Context context) {
    long timer = bucket.state.timer();
    if (bucket.pending.isEmpty()) {
      return;
    }
    if (timer == Long.MIN_VALUE || due < timer) {
      if (timer != Long.MIN_VALUE) {
        context.timerService().deleteEventTimeTimer(timer);
      }
      context.timerService().registerEventTimeTimer(due);
      bucket.state = bucket.state.withTimer(due);
    }
    if (!deterministic && !settings.idleFlush().isZero() && !bucket.state.watched()) {
      long now = context.timerService().currentProcessingTime();
      // After a restore no arrival is known yet; silence then counts from now.
      lastArrival = lastArrival == 0 ? now : lastArrival;
      long flush = Math.max(now + 1, lastArrival + settings.idleFlush().toMillis());
      context.timerService().registerProcessingTimeTimer(flush);
      bucket.state = bucket.state.withWatched(true);
    }
  }

  private void close(int key, Bucket bucket, int anchor, Collector<PairGroup> out)
      throws Exception {
    long group = bucket.state.groups();
    int again = replayCount(key, group, bucket.past.size());
    List<Sketch> members = partners(bucket, anchor, settings.groupSize() - again);
    List<Sketch> shown = past(key, group, bucket, members, again);

    List<MinedPair> pairs = new ArrayList<>(members.size() + shown.size());
    for (Sketch member : members) {
      pairs.add(pending.get(member.number()));
      pending.remove(member.number());
      pendingSketches.remove(member.number());
      cachedBytes -= member.heap();
    }
    bucket.pending.removeAll(members);
    waiting -= members.size();
    for (Sketch sketch : shown) {
      pairs.add(past.get(sketch.number()));
    }
    if (settings.replayShare() > 0) {
      for (int i = 0; i < members.size(); i++) {
        remember(key, bucket, members.get(i), pairs.get(i));
      }
    }
    bucket.state = bucket.state.closed();
    groups.inc();
    replayed.inc(shown.size());
    if (pairs.size() < settings.groupSize()) {
      incomplete.inc();
    }
    out.collect(new PairGroup(pairs, members.size()));
  }

  /** A pending pair and its nearest, at most {@code size} together. */
  private List<Sketch> partners(Bucket bucket, int position, int size) {
    List<Sketch> others = new ArrayList<>(bucket.pending);
    Sketch anchor = others.remove(position);
    List<Sketch> members = new ArrayList<>(size);
    members.add(anchor);
    if (settings.mode() == Mode.RANDOM) {
      members.addAll(others.subList(0, Math.min(size - 1, others.size())));
      return members;
    }
    take(anchor, others, members, size);
    return members;
  }

  /** Past pairs to show again beside the new members. */
  private List<Sketch> past(int key, long group, Bucket bucket, List<Sketch> members, int count) {
    if (count == 0) {
      return List.of();
    }
    List<Sketch> chosen = new ArrayList<>(members);
    if (settings.mode() == Mode.HARD) {
      take(members.get(0), bucket.past, chosen, members.size() + count);
    } else {
      List<Sketch> left = new ArrayList<>(bucket.past);
      for (int i = 0; i < count && !left.isEmpty(); i++) {
        double draw = PairIds.unit(PairIds.mix(settings.seed() + 2, mixed(key, group), i));
        chosen.add(left.remove((int) (draw * left.size())));
      }
    }
    return List.copyOf(chosen.subList(members.size(), chosen.size()));
  }

  /** Adds the nearest candidates to the members, likely false negatives left out. */
  private void take(Sketch anchor, List<Sketch> candidates, List<Sketch> members, int size) {
    double[] cosines = new double[candidates.size()];
    for (int i = 0; i < cosines.length; i++) {
      cosines[i] = anchor.cosine(candidates.get(i));
    }
    // Few are taken of many, so looking for the next best is cheaper than sorting.
    while (members.size() < size) {
      int best = -1;
      for (int i = 0; i < cosines.length; i++) {
        if (cosines[i] > (best < 0 ? Double.NEGATIVE_INFINITY : cosines[best])) {
          best = i;
        }
      }
      if (best < 0) {
        return;
      }
      cosines[best] = Double.NEGATIVE_INFINITY;
      Sketch candidate = candidates.get(best);
      boolean same = false;
      for (Sketch member : members) {
        same |=
            member.sameContent(candidate) || member.cosine(candidate) > settings.similarityBound();
      }
      if (same) {
        falseNegatives.inc();
      } else {
        members.add(candidate);
      }
    }
  }

  /** The share of replayed pairs holds on average where it is no whole number of a group. */
  private int replayCount(int key, long group, int available) {
    double wanted = settings.groupSize() * settings.replayShare();
    int whole = (int) wanted;
    double draw = PairIds.unit(PairIds.mix(settings.seed() + 1, key, group));
    int count = whole + (draw < wanted - whole ? 1 : 0);
    return Math.min(Math.min(count, settings.groupSize() - 1), available);
  }

  private void remember(int key, Bucket bucket, Sketch sketch, MinedPair pair) throws Exception {
    long share = settings.memory().bytes() / settings.buckets();
    long seen = bucket.state.retired();
    bucket.state = bucket.state.retiredOne();
    if (sketch.bytes() > share) {
      return;
    }
    if (bucket.pastBytes + sketch.bytes() <= share) {
      put(bucket, bucket.past.size(), sketch, pair);
      return;
    }
    double draw = PairIds.unit(PairIds.mix(settings.seed() + 3, key, seen));
    long slot = (long) (draw * (seen + 1));
    if (slot < bucket.past.size()) {
      put(bucket, (int) slot, sketch, pair);
      while (bucket.pastBytes > share) {
        int last = bucket.past.size() - 1;
        Sketch dropped = bucket.past.remove(last);
        bucket.pastBytes -= dropped.bytes();
        cachedBytes -= dropped.heap();
        past.remove((long) last);
        pastSketches.remove((long) last);
      }
    }
  }

  private void put(Bucket bucket, int slot, Sketch sketch, MinedPair pair) throws Exception {
    Sketch placed = sketch.withNumber(slot);
    if (slot == bucket.past.size()) {
      bucket.past.add(placed);
    } else {
      Sketch replaced = bucket.past.set(slot, placed);
      bucket.pastBytes -= replaced.bytes();
      cachedBytes -= replaced.heap();
    }
    bucket.pastBytes += placed.bytes();
    cachedBytes += placed.heap();
    past.put((long) slot, pair);
    pastSketches.put((long) slot, placed);
  }

  private Bucket bucket(int key) throws Exception {
    Bucket bucket = cache.get(key);
    if (bucket != null) {
      return bucket;
    }
    cacheMisses.inc();
    bucket = new Bucket();
    BucketState state = buckets.value();
    bucket.state = state == null ? BucketState.EMPTY : state;
    if (state != null) {
      addAll(pendingSketches, bucket.pending);
      addAll(pastSketches, bucket.past);
      bucket.pending.sort(Comparator.comparingLong(Sketch::number));
      bucket.past.sort(Comparator.comparingLong(Sketch::number));
      for (Sketch sketch : bucket.past) {
        bucket.pastBytes += sketch.bytes();
      }
    }
    cache.put(key, bucket);
    cachedBytes += bucket.heap();
    waiting += bucket.pending.size();
    return bucket;
  }

  private void evictExcept(int key) {
    Iterator<Map.Entry<Integer, Bucket>> oldest = cache.entrySet().iterator();
    while (cachedBytes > settings.cache().bytes() && oldest.hasNext()) {
      Map.Entry<Integer, Bucket> entry = oldest.next();
      if (entry.getKey() != key) {
        cachedBytes -= entry.getValue().heap();
        waiting -= entry.getValue().pending.size();
        oldest.remove();
      }
    }
  }

  private static void addAll(MapState<Long, Sketch> state, List<Sketch> target) throws Exception {
    Iterable<Sketch> values = state.values();
    if (values != null) { // null from the heap backend, for a key without entries
      values.forEach(target::add);
    }
  }

  private static long mixed(int key, long group) {
    return PairIds.mix(0, key, group);
  }
}
