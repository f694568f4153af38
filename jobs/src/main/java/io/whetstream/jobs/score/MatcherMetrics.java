package io.whetstream.jobs.score;

import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.MetricGroup;

/** Metrics of a matcher subtask. Counted on its thread. */
final class MatcherMetrics {
  final Counter itemsScored;
  final Counter matches;
  final Counter badItems;
  final Counter adaptersRefused;
  final Counter queriesRefused;
  final Counter flips;
  private volatile long lastFlipNanos;

  MatcherMetrics(MetricGroup group) {
    itemsScored = group.counter("itemsScored");
    matches = group.counter("matches");
    badItems = group.counter("badItems");
    adaptersRefused = group.counter("adaptersRefused");
    queriesRefused = group.counter("queriesRefused");
    flips = group.counter("adapterFlips");
    group.gauge("lastFlipMicros", () -> lastFlipNanos / 1000);
  }

  void flipped(long nanos) {
    flips.inc();
    lastFlipNanos = nanos;
  }
}
