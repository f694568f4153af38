package io.whetstream.jobs.score;

import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.Ids;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.Calibration;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What queries, announcements and orders do to a subtask's engine, the same for those read before
 * the first item and for those that come live. One thread.
 */
final class ControlInput implements AutoCloseable {
  private static final Logger LOGGER = LoggerFactory.getLogger(ControlInput.class);

  private final ScoreParts parts;
  private final SharedResources shared;
  private final boolean first;
  private final MatcherMetrics metrics;
  private final LoadedAdapter.Loader loader;
  private final MatchEngine engine;
  private final QueryAnswers answers;
  private final AdapterFeed feed = new AdapterFeed();
  private final Map<String, Map<Integer, Long>> readBefore = new HashMap<>();

  /**
   * @param first whether this is the subtask that speaks for all
   */
  ControlInput(
      ScoreConfig config,
      ScoreParts parts,
      SharedResources shared,
      boolean first,
      MatcherMetrics metrics) {
    this.parts = parts;
    this.shared = shared;
    this.first = first;
    this.metrics = metrics;
    this.answers = new QueryAnswers(first);
    LoadedAdapter.Loader files = parts.loader(shared.embedder());
    this.loader = wanted -> wanted.isBase() ? baseModel() : files.load(wanted);
    this.engine =
        new MatchEngine(
            shared.embedder(),
            shared.table(),
            shared.product(),
            shared.spill(),
            config.engineSettings(),
            loader,
            shared.background(),
            new EngineEvents());
  }

  MatchEngine engine() {
    return engine;
  }

  AdapterFeed feed() {
    return feed;
  }

  /** Whether this is the subtask that speaks for all. */
  boolean isFirst() {
    return first;
  }

  QueryAnswers answers() {
    return answers;
  }

  LoadedAdapter.Loader loader() {
    return loader;
  }

  Topics topics() {
    return parts.topics();
  }

  LoadedAdapter baseModel() {
    return new LoadedAdapter(AdapterVersion.BASE, shared.embedder().base(), Calibration.NONE);
  }

  /** The adapter that should be in use, or null; a rollback may name the base model. */
  AdapterVersion wanted() {
    AdapterVersion wanted = feed.wanted();
    return wanted != null && wanted.digest().equals(shared.embedder().baseDigest())
        ? AdapterVersion.BASE
        : wanted;
  }

  // ---- records

  /** Notes how far a topic was read before the first item: {@link #take} skips that. */
  void wasRead(String topic, Map<Integer, Long> next) {
    readBefore.put(topic, next);
  }

  /** Applies a live record. */
  void take(ControlRecord record) {
    Long read = readBefore.getOrDefault(record.topic(), Map.of()).get(record.partition());
    if (read != null && record.offset() < read) {
      return;
    }
    if (record.topic().equals(topics().queries())) {
      // Without its image comes only what a later record of the query replaces.
      query(record, false);
    } else if (record.topic().equals(topics().adaptersControl())) {
      AdapterVersion before = wanted();
      order(record);
      if (wanted() != null && !Objects.equals(before, wanted())) {
        LOGGER.info("ordered to adapter {}", wanted());
        engine.switchNow(wanted());
      }
    } else {
      AdapterVersion announced = announcement(record);
      if (announced != null && announced.equals(wanted())) {
        // Also when it was refused before: it may have been repaired and announced again.
        engine.switchTo(announced);
      }
    }
    // At once if nothing else is going on: a query takes effect in milliseconds.
    engine.work();
  }

  /** Takes note of an order; bad ones are ignored and logged. */
  void order(ControlRecord record) {
    try {
      ScoreParts.Command command = parts.command(record);
      if (command != null) {
        feed.apply(command);
      }
    } catch (BadInputException e) {
      LOGGER.error("control record at {} is ignored: {}", record.where(), e.getMessage());
    }
  }

  /**
   * Takes note of an announcement; bad ones are refused.
   *
   * @return the version announced, or null if the record announces none for this job
   */
  AdapterVersion announcement(ControlRecord record) {
    if (record.value() == null) {
      return null;
    }
    try {
      AdapterVersion version = parts.announcement(record);
      if (version != null) {
        feed.announced(version);
      }
      return version;
    } catch (BadInputException e) {
      metrics.adaptersRefused.inc();
      LOGGER.error("announcement at {} is refused: {}", record.where(), e.getMessage());
      return null;
    }
  }

  /**
   * Registers, changes or removes a query; what cannot be used is refused.
   *
   * @return false if its image was not fetched yet, and nothing was done
   */
  boolean query(ControlRecord record, boolean acceptedBefore) {
    String id = queryId(record);
    if (id.isBlank()) {
      // Nothing can be said about it on queries.status, which is keyed by ids.
      metrics.queriesRefused.inc();
      LOGGER.error("record at {} is no query: its key is empty", record.where());
      return true;
    }
    if (!Ids.isShort(id)) {
      refuseLongKey(id, record);
      return true;
    }
    try {
      WatchedQuery query = record.value() == null ? null : parts.query(record);
      if (query == null) {
        engine.remove(id);
        answers.removed(id, record.offset());
      } else {
        engine.upsert(query, acceptedBefore);
      }
    } catch (ImageNotAtHand e) {
      return false;
    } catch (BadInputException e) {
      engine.remove(id);
      refuseQuery(id, record.offset(), e.getMessage());
    }
    return true;
  }

  /** No query has such an id: it is answered under the beginning of its key. */
  private void refuseLongKey(String id, ControlRecord record) {
    String named = Ids.shortened(id);
    if (record.value() == null) {
      answers.removed(named, record.offset());
    } else {
      refuseQuery(named, record.offset(), Ids.tooLong(id));
    }
  }

  static String queryId(ControlRecord record) {
    return record.key() == null ? "" : new String(record.key(), StandardCharsets.UTF_8);
  }

  private void refuseQuery(String id, long revision, String reason) {
    metrics.queriesRefused.inc();
    answers.refused(id, revision, reason, engine.started() ? engine.serving().digest() : null);
  }

  /** Counts and logs an adapter that cannot be used. */
  void refuseAdapter(AdapterVersion version, String reason) {
    metrics.adaptersRefused.inc();
    LOGGER.error(
        "adapter {} is refused, {} stays: {}",
        version,
        engine.started() ? engine.serving() : "nothing",
        reason);
  }

  /** Says in the registry, off this thread, which adapters this job may still need. */
  void pin(Duration validFor) {
    Set<String> digests = new HashSet<>();
    for (AdapterVersion version : Arrays.asList(engine.serving(), engine.next())) {
      if (version != null && !version.isBase()) {
        digests.add(version.digest());
      }
    }
    if (first && !digests.isEmpty()) {
      shared
          .background()
          .execute(
              () -> {
                try {
                  parts.pin(digests, validFor);
                } catch (RuntimeException e) {
                  LOGGER.warn("adapters could not be pinned: {}", Reasons.of(e));
                }
              });
    }
  }

  private final class EngineEvents implements MatchEngine.Events {
    @Override
    public void queryAccepted(WatchedQuery query, Map<MatchKind, Double> thresholds, String note) {
      answers.accepted(query, thresholds, note, engine.serving().digest());
    }

    @Override
    public void queryRefused(WatchedQuery query, String reason) {
      refuseQuery(query.id(), query.revision(), reason);
    }

    @Override
    public void adapterRefused(AdapterVersion version, String reason) {
      refuseAdapter(version, reason);
    }

    @Override
    public void flipped(AdapterVersion from, AdapterVersion to, long nanos) {
      metrics.flipped(nanos);
      LOGGER.info(
          "adapter {} serves after {}, flip of {} us, {} queries",
          to,
          from,
          nanos / 1000,
          engine.activeQueries());
      pin(SimilarityMatcher.PIN);
    }
  }

  @Override
  public void close() {
    engine.close();
  }
}
