package io.whetstream.jobs.score;

import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.QueryStatus;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * What a subtask has decided about queries, and the answers that are still to be sent. Every
 * subtask decides the same; only the first one answers. One thread.
 */
final class QueryAnswers {
  /** What is wrong with a query may be as long as the query; its answer has to fit its topic. */
  private static final int MAX_REASON = 4000;

  private final boolean first;
  private final Map<String, Long> accepted = new HashMap<>();
  private final Map<String, Long> refused = new HashMap<>();
  private final ArrayDeque<QueryStatus> waiting = new ArrayDeque<>();

  /**
   * @param first whether this subtask answers
   */
  QueryAnswers(boolean first) {
    this.first = first;
  }

  void accepted(
      WatchedQuery query, Map<MatchKind, Double> thresholds, String note, String adapterDigest) {
    accepted.put(query.id(), query.revision());
    refused.remove(query.id());
    List<QueryStatus.Threshold> effective = new ArrayList<>();
    new EnumMap<>(thresholds)
        .forEach((kind, score) -> effective.add(new QueryStatus.Threshold(kind, score)));
    answer(
        query.id(), query.revision(), QueryStatus.State.ACCEPTED, note, effective, adapterDigest);
  }

  /**
   * @param adapterDigest of the adapter in use, or null
   */
  void refused(String id, long revision, String reason, String adapterDigest) {
    accepted.remove(id);
    refused.put(id, revision);
    answer(id, revision, QueryStatus.State.REFUSED, reason, List.of(), adapterDigest);
  }

  /** Answers a removal if the query was known. */
  void removed(String id, long revision) {
    if (accepted.containsKey(id) || refused.containsKey(id)) {
      accepted.remove(id);
      refused.remove(id);
      answer(id, revision, QueryStatus.State.REMOVED, "", List.of(), null);
    }
  }

  private void answer(
      String id,
      long revision,
      QueryStatus.State state,
      String reason,
      List<QueryStatus.Threshold> thresholds,
      String adapterDigest) {
    if (first) {
      waiting.add(
          new QueryStatus(
              id,
              revision,
              state,
              reason.length() <= MAX_REASON ? reason : reason.substring(0, MAX_REASON) + "…",
              thresholds,
              adapterDigest,
              0,
              0,
              System.currentTimeMillis()));
    }
  }

  /** Drops waiting answers that were given before a restart. */
  void forgetKnown(Collection<MatcherState> before) {
    waiting.removeIf(
        answer ->
            before.stream()
                .map(
                    state ->
                        answer.state() == QueryStatus.State.ACCEPTED
                            ? state.accepted()
                            : state.refused())
                .map(known -> known.get(answer.queryId()))
                .anyMatch(revision -> revision != null && revision == answer.revision()));
  }

  boolean isEmpty() {
    return waiting.isEmpty();
  }

  /** Hands over at most so many of what is to be sent. */
  void send(int most, Consumer<QueryStatus> to) {
    for (int i = 0; i < most && !waiting.isEmpty(); i++) {
      to.accept(waiting.poll());
    }
  }

  /** Revisions of accepted queries for a checkpoint; one copy of all subtasks is enough. */
  Map<String, Long> acceptedRevisions() {
    return first ? Map.copyOf(accepted) : Map.of();
  }

  /** Revisions of refused queries for a checkpoint. */
  Map<String, Long> refusedRevisions() {
    return first ? Map.copyOf(refused) : Map.of();
  }
}
