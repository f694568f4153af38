package io.whetstream.jobs.finetune;

import io.whetstream.jobs.finetune.MiningSettings.Mode;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
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
 * <p>A pair waits among the bucket's pending pairs. When these reach {@code mining.candidates}, the
 * one whose nearest neighbours are nearest becomes an anchor, so that no unrelated pair tears apart
 * what belongs together, and then some more beside it. A pair that has waited {@code
 * mining.maxWait} of event time, or for twice as many later pairs as there are candidates, becomes
 * an anchor then. To an anchor comes, one after another, the pair whose mean likeness to those
 * already there, twice, less the mean likeness to its own nearest, is highest: what has others
 * nearer by will make a better group with them (cross-domain similarity local scaling, Conneau et
 * al. 2018, section 2.3; the mean of those that are there changes no order). Pairs are alike in
 * their pictures, by the cosine of their mining embeddings, and in their captions, by {@link
 * CaptionFeatures}. Neighbours that are likely the same thing (equal image or caption, or pictures
 * above the bound) stay for a later group: as negatives they would teach a falsehood. Part of a
 * group may be past pairs, kept as a uniform sample of the bucket within a bound of bytes (Vitter
 * 1985, algorithm R), against forgetting.
 *
 * <p>A held-out pair passes through at once and alone: it is never a partner and never remembered.
 *
 * <p>State is in RocksDB: payloads and sketches apart, so that choosing reads no image. Sketches
 * are also held on the heap, written through, and in what they leave of {@code mining.cache} the
 * youngest pending payloads; what is evicted, or lost with the process, is read again. So the cache
 * changes time, never results.
 *
 * <p>Silence is that there is no input to take; where output is blocked there may be. A timer that
 * finds output blocked comes again later instead of waiting, so that a checkpoint need not wait
 * with it. In deterministic mode all is a function of the records: there what event time closes is
 * emitted at once.
 */
final class HardNegativeMiner extends KeyedProcessFunction<Integer, MinedPair, PairGroup> {
  private static final long serialVersionUID = 1L;

  /** A full bucket gives up one pair in so many, in groups that belong beside each other. */
  private static final int AT_ONCE = 16;

  /** Of the newest gap between arrivals in their mean. */
  private static final double GAP_WEIGHT = 1 / 16.0;

  /** Usual gaps that are silence: where arrivals are independent one in 20,000 is as long. */
  private static final int SILENT_GAPS = 10;

  /** After how many milliseconds a timer that found output blocked comes again. */
  private static final long RETRY = 100;

  private final MiningSettings settings;
  private final double heldOutShare;
  private final boolean deterministic;

  private transient MapState<Long, MinedPair> pending;
  private transient MapState<Long, Sketch> pendingSketches;
  private transient MapState<Long, MinedPair> past;
  private transient MapState<Long, Sketch> pastSketches;
  private transient ValueState<BucketState> buckets;

  private transient Map<Integer, Bucket> cache;
  private transient PayloadRing payloads;
  private transient long cachedBytes;
  private transient long lastArrival;

  /** Mean time between arrivals, in milliseconds; each counts as silence at most. */
  private transient double usualGap;

  private transient BooleanSupplier inputWaits;
  private transient BooleanSupplier outputFree;
  private transient boolean ending;

  /** Ids that wait in all buckets of this subtask. */
  private transient IdSum waitingIds;

  private transient Counter groups;
  private transient Counter incomplete;
  private transient Counter replayed;
  private transient Counter falseNegatives;
  private transient Counter cacheMisses;
  private transient long waiting;

  /** The heap's copy of one bucket. */
  private static final class Bucket {
    private BucketState state;
    private final PendingPairs pending;
    private final List<Sketch> past = new ArrayList<>();
    private long pastBytes;

    Bucket(MiningSettings settings) {
      pending =
          new PendingPairs(
              settings.similarityBound(), settings.captionWeight(), settings.groupSize() - 1);
    }

    long heap() {
      long bytes = 256 + pending.heap();
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
    inputWaits = () -> false;
    outputFree = () -> true;
    waitingIds = IdSum.NONE;
    cache = new LinkedHashMap<>(64, 0.75f, true);
    payloads = new PayloadRing();
    MetricGroup metrics = getRuntimeContext().getMetricGroup().addGroup("miner");
    groups = metrics.counter("groups");
    incomplete = metrics.counter("incompleteGroups");
    replayed = metrics.counter("replayedPairs");
    falseNegatives = metrics.counter("skippedFalseNegatives");
    cacheMisses = metrics.counter("cacheMisses");
    metrics.gauge("cachedBytes", () -> cachedBytes + payloads.bytes());
    metrics.gauge("cachedPendingPairs", () -> waiting);
    metrics.gauge("waitingPairs", () -> waitingIds.count());
  }

  /**
   * Tells what the task knows.
   *
   * @param input whether a record could be taken now
   * @param output whether one could be emitted now without waiting
   */
  void watch(BooleanSupplier input, BooleanSupplier output) {
    inputWaits = input;
    outputFree = output;
  }

  /** Counts what the current key's bucket holds, after a restore. */
  void recount() throws Exception {
    BucketState state = withIds(buckets.value());
    buckets.update(state);
    waitingIds = waitingIds.plus(state.waiting());
  }

  private BucketState withIds(BucketState state) throws Exception {
    if (state.waiting() != null) {
      return state;
    }
    IdSum ids = IdSum.NONE;
    for (MinedPair pair : pending.values()) {
      ids = ids.plus(IdSum.of(pair.id()));
    }
    return state.withWaiting(ids);
  }

  /** Ids of the pairs that have come and not left. */
  IdSum waitingIds() {
    return waitingIds;
  }

  @Override
  public void processElement(MinedPair pair, Context context, Collector<PairGroup> out)
      throws Exception {
    arrived(context.timerService().currentProcessingTime());
    if (PairIds.heldOut(pair.imageDigest(), heldOutShare)) {
      out.collect(new PairGroup(List.of(pair), 1));
      return;
    }
    int key = context.getCurrentKey();
    Bucket bucket = bucket(key);
    long number = bucket.state.next();
    Sketch sketch = Sketch.of(number, pair, words(pair), deadline(pair.eventTime(), key));
    pending.put(number, pair);
    pendingSketches.put(number, sketch);
    payloads.put(key, number, pair, sketch.bytes());
    cachedBytes -= bucket.pending.heap();
    bucket.pending.add(sketch);
    cachedBytes += bucket.pending.heap();
    waiting++;
    IdSum id = IdSum.of(pair.id());
    bucket.state = bucket.state.arrived(id);
    waitingIds = waitingIds.plus(id);
    if (bucket.pending.size() >= settings.candidates()) {
      int left = settings.candidates() - Math.max(1, settings.candidates() / AT_ONCE);
      double[] near = null;
      while (bucket.pending.size() > left) {
        near = closeNext(key, bucket, near, out);
      }
    }
    watch(bucket, sketch.deadline(), false, context);
    buckets.update(bucket.state);
    evictExcept(key);
  }

  @Override
  public void onTimer(long timestamp, OnTimerContext context, Collector<PairGroup> out)
      throws Exception {
    int key = context.getCurrentKey();
    Bucket bucket = bucket(key);
    boolean blocked = false;
    ending = context.timerService().currentWatermark() == Long.MAX_VALUE;
    switch (context.timeDomain()) {
      case EVENT_TIME -> {
        bucket.state = bucket.state.withTimer(Long.MIN_VALUE);
        blocked = closeDue(key, bucket, timestamp, out);
      }
      case PROCESSING_TIME -> {
        bucket.state = bucket.state.withWatched(false);
        blocked = closeDue(key, bucket, context.timerService().currentWatermark(), out);
        if (!settings.idleFlush().isZero() && (inputWaits.getAsBoolean() || !free())) {
          // Not silence: that begins when there is nothing to take and nothing is held up.
          lastArrival = timestamp;
        } else if (isSilent(timestamp)) {
          double[] near = null;
          while (!bucket.pending.isEmpty() && free()) {
            near = closeNext(key, bucket, near, out);
          }
        }
      }
    }
    int urgent = bucket.pending.mostUrgent();
    if (urgent >= 0) {
      watch(bucket, bucket.pending.get(urgent).deadline(), blocked, context);
    }
    buckets.update(bucket.state);
    evictExcept(key);
  }

  /** Closes groups whose time has come as long as output is free; says whether any is left. */
  private boolean closeDue(int key, Bucket bucket, long time, Collector<PairGroup> out)
      throws Exception {
    for (int due = bucket.pending.mostUrgent();
        due >= 0 && bucket.pending.get(due).deadline() <= time;
        due = bucket.pending.mostUrgent()) {
      if (!free()) {
        return true;
      }
      close(key, bucket, due, out);
    }
    return false;
  }

  /** At the end of input nothing comes later: there a group waits for output as records do. */
  private boolean free() {
    return deterministic || ending || outputFree.getAsBoolean();
  }

  private void arrived(long now) {
    long gap = lastArrival == 0 ? 0 : now - lastArrival;
    usualGap += GAP_WEIGHT * (Math.min(gap, silence()) - usualGap);
    lastArrival = now;
  }

  private boolean isSilent(long now) {
    return !settings.idleFlush().isZero() && now - lastArrival >= silence();
  }

  /**
   * Milliseconds without arrivals that are silence: of a slow stream more, but no more than
   * waiting.
   */
  private long silence() {
    long least = settings.idleFlush().toMillis();
    long most = Math.max(least, settings.maxWait().toMillis());
    return Math.min(most, Math.max(least, (long) (SILENT_GAPS * usualGap)));
  }

  private byte[] words(MinedPair pair) {
    if (settings.mode() == Mode.RANDOM || settings.captionWeight() == 0) {
      return new byte[0];
    }
    String caption = pair.shortCaption() == null ? pair.longCaption() : pair.shortCaption();
    return CaptionFeatures.of(caption);
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

  /**
   * Keeps one timer of each kind outstanding while pairs wait.
   *
   * @param blocked whether what is due could not leave: the next attempt is by processing time
   */
  private void watch(Bucket bucket, long due, boolean blocked, Context context) {
    long timer = bucket.state.timer();
    if (bucket.pending.isEmpty()) {
      return;
    }
    if (blocked) {
      if (timer == Long.MIN_VALUE) {
        // The end of input must find what is left.
        context.timerService().registerEventTimeTimer(Long.MAX_VALUE);
        bucket.state = bucket.state.withTimer(Long.MAX_VALUE);
      }
      if (!bucket.state.watched()) {
        long now = context.timerService().currentProcessingTime();
        context.timerService().registerProcessingTimeTimer(now + RETRY);
        bucket.state = bucket.state.withWatched(true);
      }
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
      long flush = Math.max(now + 1, lastArrival + silence());
      context.timerService().registerProcessingTimeTimer(flush);
      bucket.state = bucket.state.withWatched(true);
    }
  }

  /**
   * Makes the group that is to leave first while no pair's event time has come: the tightest, and
   * after another the tightest beside it. So what did not fit into the first is in its batch.
   *
   * @param near how like each pair is to the group before, or null
   * @return the same for the pairs that are left
   */
  private double[] closeNext(int key, Bucket bucket, double[] near, Collector<PairGroup> out)
      throws Exception {
    if (bucket.state.next() - bucket.pending.get(0).number() > 2L * settings.candidates()) {
      return close(key, bucket, 0, out);
    }
    double[] worth = bucket.pending.closeness();
    if (near != null) {
      for (int i = 0; i < worth.length; i++) {
        worth[i] += near[i];
      }
    }
    return close(key, bucket, largest(worth), out);
  }

  /**
   * @param anchor position of a pending pair
   * @return how like the pairs that are left are to the group, or null in random mode
   */
  private double[] close(int key, Bucket bucket, int anchor, Collector<PairGroup> out)
      throws Exception {
    long group = bucket.state.groups();
    int again = replayCount(key, group, bucket.past.size());
    Chosen chosen = partners(bucket, anchor, settings.groupSize() - again);
    List<Sketch> members = chosen.members();
    List<Sketch> shown = past(key, group, bucket, members, again);

    List<MinedPair> pairs = new ArrayList<>(members.size() + shown.size());
    IdSum leaving = IdSum.NONE;
    for (Sketch member : members) {
      MinedPair held = payloads.take(key, member.number());
      MinedPair pair = held != null ? held : pending.get(member.number());
      pairs.add(pair);
      leaving = leaving.plus(IdSum.of(pair.id()));
      pending.remove(member.number());
      pendingSketches.remove(member.number());
    }
    cachedBytes -= bucket.pending.heap();
    bucket.pending.remove(members);
    cachedBytes += bucket.pending.heap();
    waiting -= members.size();
    for (Sketch sketch : shown) {
      pairs.add(past.get(sketch.number()));
    }
    if (settings.replayShare() > 0) {
      for (int i = 0; i < members.size(); i++) {
        remember(key, bucket, members.get(i), pairs.get(i));
      }
    }
    bucket.state = bucket.state.closed(leaving);
    waitingIds = waitingIds.minus(leaving);
    groups.inc();
    replayed.inc(shown.size());
    if (pairs.size() < settings.groupSize()) {
      incomplete.inc();
    }
    out.collect(new PairGroup(pairs, members.size()));
    return chosen.near();
  }

  /**
   * @param members of a group
   * @param near mean likeness to them of each pair that is left; null in random mode
   */
  @SuppressWarnings("ArrayRecordComponent") // passed on once, never kept
  private record Chosen(List<Sketch> members, double[] near) {}

  /** A pending pair and its partners, at most {@code size} together; in random mode the oldest. */
  private Chosen partners(Bucket bucket, int anchor, int size) {
    List<Sketch> all = bucket.pending.all();
    if (settings.mode() == Mode.RANDOM) {
      return new Chosen(List.copyOf(all.subList(0, Math.min(size, all.size()))), null);
    }
    double[] closeness = bucket.pending.closeness();
    double[] sums = new double[all.size()];
    boolean[] member = new boolean[all.size()];
    boolean[] apart = new boolean[all.size()];
    List<Sketch> members = new ArrayList<>(size);
    int best = anchor;
    while (best >= 0) {
      member[best] = true;
      members.add(all.get(best));
      float[] likenesses = bucket.pending.likenesses(best);
      best = -1;
      double highest = Double.NEGATIVE_INFINITY;
      for (int i = 0; i < sums.length; i++) {
        // What is likely the same thing is as like as can be: not in the group, but beside it.
        boolean same = likenesses[i] == PendingPairs.APART;
        sums[i] += same ? 1 : likenesses[i];
        if (same && !member[i] && !apart[i]) {
          apart[i] = true;
          falseNegatives.inc();
        }
        double score = 2 * sums[i] / members.size() - closeness[i];
        if (!member[i] && !apart[i] && score > highest && members.size() < size) {
          highest = score;
          best = i;
        }
      }
    }
    double[] near = new double[all.size() - members.size()];
    int left = 0;
    for (int i = 0; i < sums.length; i++) {
      if (!member[i]) {
        near[left++] = sums[i] / members.size();
      }
    }
    return new Chosen(members, near);
  }

  private static int largest(double[] values) {
    int largest = 0;
    for (int i = 1; i < values.length; i++) {
      if (values[i] > values[largest]) {
        largest = i;
      }
    }
    return largest;
  }

  /** Past pairs to show again beside the new members. */
  private List<Sketch> past(int key, long group, Bucket bucket, List<Sketch> members, int count) {
    if (count == 0) {
      return List.of();
    }
    List<Sketch> chosen = new ArrayList<>(members);
    if (settings.mode() == Mode.HARD) {
      double[] scores = likenesses(members.get(0), bucket.past);
      take(bucket.past, scores, chosen, members.size() + count);
    } else {
      List<Sketch> left = new ArrayList<>(bucket.past);
      for (int i = 0; i < count && !left.isEmpty(); i++) {
        double draw = PairIds.unit(PairIds.mix(settings.seed() + 2, mixed(key, group), i));
        chosen.add(left.remove((int) (draw * left.size())));
      }
    }
    return List.copyOf(chosen.subList(members.size(), chosen.size()));
  }

  private double[] likenesses(Sketch anchor, List<Sketch> others) {
    double[] likenesses = new double[others.size()];
    for (int i = 0; i < likenesses.length; i++) {
      likenesses[i] = anchor.likeness(others.get(i), settings.captionWeight());
    }
    return likenesses;
  }

  /** Adds the candidates of the highest scores to the members, likely false negatives left out. */
  private void take(List<Sketch> candidates, double[] scores, List<Sketch> members, int size) {
    // Few are taken of many, so looking for the next best is cheaper than sorting.
    while (members.size() < size) {
      int best = scores.length == 0 ? -1 : largest(scores);
      if (best < 0 || scores[best] == Double.NEGATIVE_INFINITY) {
        return;
      }
      scores[best] = Double.NEGATIVE_INFINITY;
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
    bucket = new Bucket(settings);
    BucketState state = buckets.value();
    bucket.state = state == null ? BucketState.EMPTY : withIds(state);
    if (state != null) {
      sorted(pendingSketches).forEach(bucket.pending::add);
      bucket.past.addAll(sorted(pastSketches));
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
    payloads.trim(settings.cache().bytes() - cachedBytes);
  }

  private static List<Sketch> sorted(MapState<Long, Sketch> state) throws Exception {
    List<Sketch> sketches = new ArrayList<>();
    Iterable<Sketch> values = state.values();
    if (values != null) { // null from the heap backend, for a key without entries
      values.forEach(sketches::add);
    }
    sketches.sort(Comparator.comparingLong(Sketch::number));
    return sketches;
  }

  private static long mixed(int key, long group) {
    return PairIds.mix(0, key, group);
  }
}
