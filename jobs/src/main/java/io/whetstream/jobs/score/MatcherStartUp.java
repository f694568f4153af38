package io.whetstream.jobs.score;

import io.whetstream.model.BadInputException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
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

  private static final long IMAGE_POLL_NANOS = 50_000_000;

  /** The first subtask has this long to say that an image is late. */
  private static final Duration GRACE = Duration.ofSeconds(10);

  private static final String LATE = "the query's image was not fetched in time";
  private static final int NAMED = 20;

  private final ScoreConfig config;
  private final ScoreParts parts;
  private final String attempt;
  private final List<MatcherState> restored;
  private final ControlInput control;
  private final Set<String> refused = new HashSet<>();
  private boolean worthAnotherAttempt;

  /**
   * @param attempt names this run of the job, the same in all subtasks
   * @param restored states of all subtasks from a checkpoint; empty at a fresh start
   */
  MatcherStartUp(
      ScoreConfig config,
      ScoreParts parts,
      String attempt,
      List<MatcherState> restored,
      ControlInput control) {
    this.config = config;
    this.attempt = attempt;
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
    Map<String, ControlRecord> imageless = new LinkedHashMap<>();
    last.forEach(
        (id, record) -> {
          if (!register(record, acceptedBefore)) {
            imageless.put(id, record);
          }
        });
    if (!imageless.isEmpty()) {
      LOGGER.info(
          "{} queries wait for their images: {}{}",
          imageless.size(),
          imageless.keySet().stream().limit(NAMED).toList(),
          imageless.size() > NAMED ? " ..." : "");
      long deadline = System.nanoTime() + config.images().totalTimeout().multipliedBy(4).toNanos();
      if (control.isFirst()) {
        fetchImages(imageless.values(), deadline, acceptedBefore);
      } else {
        awaitImages(imageless.values(), deadline + GRACE.toNanos(), acceptedBefore);
      }
    }
    embedWatchlist();
    control.answers().forgetKnown(restored);
    LOGGER.info("watchlist of {} queries is ready", control.engine().activeQueries());
  }

  private boolean register(ControlRecord record, Map<String, Long> acceptedBefore) {
    Long before = acceptedBefore.get(ControlInput.queryId(record));
    return control.query(record, before != null && before == record.offset());
  }

  /** Fetches images for all subtasks, side by side, with one deadline. */
  private void fetchImages(
      Collection<ControlRecord> records, long deadline, Map<String, Long> acceptedBefore)
      throws InterruptedException {
    ExecutorService threads =
        Executors.newFixedThreadPool(
            Math.min(records.size(), config.images().concurrency()),
            task -> {
              Thread thread = new Thread(task, "whetstream-query-images");
              thread.setDaemon(true);
              return thread;
            });
    try {
      Map<ControlRecord, Future<ControlRecord>> fetched = new LinkedHashMap<>();
      records.forEach(r -> fetched.put(r, threads.submit(() -> parts.withImage(r))));
      for (Map.Entry<ControlRecord, Future<ControlRecord>> each : fetched.entrySet()) {
        ControlRecord done;
        try {
          long left = Math.max(0, deadline - System.nanoTime());
          done = each.getValue().get(left, TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
          done = each.getKey().refused(LATE);
        } catch (ExecutionException e) {
          throw new CompletionException(e.getCause());
        }
        if (done.refusal() != null) {
          parts.tellRefused(done, attempt);
        }
        register(done, acceptedBefore);
      }
    } finally {
      threads.shutdownNow();
    }
  }

  /** Waits until the first subtask has fetched images or said why not. */
  private void awaitImages(
      Collection<ControlRecord> records, long deadline, Map<String, Long> acceptedBefore)
      throws InterruptedException {
    List<ControlRecord> left = new ArrayList<>(records);
    while (!left.isEmpty()) {
      boolean late = System.nanoTime() - deadline > 0;
      left.removeIf(
          record -> {
            ControlRecord done = parts.awaited(record, attempt);
            done = done == null && late ? record.refused(LATE) : done;
            return done != null && register(done, acceptedBefore);
          });
      LockSupport.parkNanos(IMAGE_POLL_NANOS);
      if (Thread.interrupted()) {
        throw new InterruptedException("cancelled while waiting for images of queries");
      }
    }
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
