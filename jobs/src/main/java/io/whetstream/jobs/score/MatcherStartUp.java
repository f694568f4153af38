package io.whetstream.jobs.score;

import io.whetstream.model.BadInputException;
import java.time.Duration;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What a matcher does before it takes an item: it reads orders, announcements and queries to their
 * ends, finds an adapter that can be used, waiting if there is none, and embeds the watchlist.
 */
final class MatcherStartUp {
  private static final Logger LOGGER = LoggerFactory.getLogger(MatcherStartUp.class);
  private static final long IDLE_POLL_NANOS = 1_000_000;

  /** What other subtasks embed, a slice at a time, is waited for this long and no longer. */
  private static final Duration STALL = Duration.ofMinutes(10);

  private final ScoreConfig config;
  private final ScoreParts parts;
  private final List<MatcherState> restored;
  private final ControlInput control;
  private final Set<String> refused = new HashSet<>();
  private boolean worthAnotherAttempt;

  /**
   * @param restored states of all subtasks from a checkpoint; empty at a fresh start
   */
  MatcherStartUp(
      ScoreConfig config, ScoreParts parts, List<MatcherState> restored, ControlInput control) {
    this.config = config;
    this.parts = parts;
    this.restored = restored;
    this.control = control;
  }

  /**
   * @param readQueries whether the watchlist is read too
   * @throws InterruptedException if the task is cancelled meanwhile
   */
  void run(boolean readQueries) throws InterruptedException {
    AdapterVersion servedBefore = newest(MatcherState::serving);
    AdapterVersion inUse = newest(state -> state.next() == null ? state.serving() : state.next());
    restored.forEach(state -> control.feed().restore(state.newestSeen(), inUse));
    try (TopicReader orders =
            new TopicReader(config.clientProperties(), control.topics().adaptersControl());
        TopicReader adapters =
            new TopicReader(config.clientProperties(), control.topics().adapters());
        TopicReader queries =
            new TopicReader(config.clientProperties(), control.topics().queries())) {
      readFeed(orders, adapters);
      LoadedAdapter first = firstAdapter(servedBefore);
      while (first == null) {
        if (config.startWith().equals("base")) {
          first = control.baseModel();
        } else {
          awaitAnotherAdapter(orders, adapters);
          first = firstAdapter(null);
        }
      }
      control.engine().start(first);
      LOGGER.info("scoring starts with adapter {}", control.engine().serving());
      if (readQueries) {
        readQueries(queries);
      }
    }
    AdapterVersion wanted = control.wanted();
    if (wanted != null && !refused.contains(wanted.digest())) {
      control.engine().switchTo(wanted);
    }
  }

  private AdapterVersion newest(Function<MatcherState, AdapterVersion> version) {
    return restored.stream()
        .map(version)
        .filter(Objects::nonNull)
        .max(Comparator.naturalOrder())
        .orElse(null);
  }

  // ---- adapters

  private void readFeed(TopicReader orders, TopicReader adapters) {
    control.wasRead(
        control.topics().adaptersControl(),
        orders.readToEnd(read -> control.order(ControlRecord.of(read))));
    control.wasRead(
        control.topics().adapters(),
        adapters.readToEnd(read -> control.announcement(ControlRecord.of(read))));
  }

  private void awaitAnotherAdapter(TopicReader orders, TopicReader adapters) {
    LOGGER.info("no usable adapter is announced yet: waiting before the first item");
    List<AdapterVersion> unusable = control.feed().newestFirst();
    AdapterVersion before = control.wanted();
    long since = System.nanoTime();
    while (unusable.equals(control.feed().newestFirst())
        && Objects.equals(before, control.wanted())
        && !(worthAnotherAttempt && System.nanoTime() - since > AdapterChange.RETRY.toNanos())) {
      orders.poll(read -> control.order(ControlRecord.of(read)));
      adapters.poll(read -> control.announcement(ControlRecord.of(read)));
    }
    // What was polled beyond the first end is skipped too when the source brings it.
    readFeed(orders, adapters);
  }

  /** The adapter to begin with, or null if none can be used. */
  private LoadedAdapter firstAdapter(AdapterVersion servedBefore) throws InterruptedException {
    refused.clear();
    worthAnotherAttempt = false;
    Set<AdapterVersion> candidates = new LinkedHashSet<>();
    if (control.feed().pinned() != null) {
      candidates.add(control.wanted());
    }
    if (servedBefore != null) {
      candidates.add(servedBefore);
    }
    if (control.wanted() != null) {
      candidates.add(control.wanted());
    }
    candidates.addAll(control.feed().newestFirst());
    candidates.addAll(parts.newestInRegistry());
    AdapterVersion failed = null;
    for (AdapterVersion candidate : candidates) {
      try {
        LoadedAdapter loaded = control.loader().load(candidate);
        if (failed != null) {
          LOGGER.warn("adapter {} is used in place of {}", candidate, failed);
        }
        return loaded;
      } catch (InterruptedException e) {
        throw e;
      } catch (Exception e) {
        failed = failed == null ? candidate : failed;
        // A bad adapter stays one; what failed otherwise may work next time.
        if (e instanceof BadInputException) {
          refused.add(candidate.digest());
        } else {
          worthAnotherAttempt = true;
        }
        control.refuseAdapter(candidate, Reasons.of(e));
      }
    }
    return null;
  }

  // ---- queries

  private void readQueries(TopicReader queries) throws InterruptedException {
    Map<String, ControlRecord> last = new LinkedHashMap<>();
    control.wasRead(
        control.topics().queries(),
        queries.readToEnd(
            read -> {
              ControlRecord record = ControlRecord.of(read);
              last.merge(ControlInput.queryId(record), record, MatcherStartUp::newer);
            }));
    last.values().removeIf(record -> record.value() == null);
    Map<String, Long> acceptedBefore = new HashMap<>();
    restored.forEach(state -> acceptedBefore.putAll(state.accepted()));
    last.forEach(
        (id, record) -> {
          Long before = acceptedBefore.get(id);
          control.query(record, before != null && before == record.offset());
        });
    embedWatchlist();
    control.answers().forgetKnown(restored);
    LOGGER.info("watchlist of {} queries is ready", control.engine().activeQueries());
  }

  /**
   * The newer of two records of a query. In one partition that is the later one; where partitions
   * were added a query may lie in two of them, between which only Kafka's time can tell.
   */
  private static ControlRecord newer(ControlRecord known, ControlRecord other) {
    return known.partition() == other.partition() || other.timestamp() >= known.timestamp()
        ? other
        : known;
  }

  private void embedWatchlist() throws InterruptedException {
    MatchEngine engine = control.engine();
    long lastProgress = System.nanoTime();
    while (engine.pendingQueries() > 0) {
      int left = engine.pendingQueries();
      engine.work();
      if (left > engine.pendingQueries()) {
        lastProgress = System.nanoTime();
      } else if (System.nanoTime() - lastProgress > STALL.toNanos()) {
        throw new IllegalStateException(
            left
                + " queries wait for vectors that other subtasks of this process took on "
                + STALL.toMinutes()
                + " minutes ago");
      } else {
        // The rest is being embedded by other subtasks of this process.
        LockSupport.parkNanos(IDLE_POLL_NANOS);
        if (Thread.interrupted()) {
          throw new InterruptedException("cancelled while reading the watchlist");
        }
      }
    }
  }
}
