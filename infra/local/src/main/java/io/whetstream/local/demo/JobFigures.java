package io.whetstream.local.demo;

import io.whetstream.connectors.kafka.Topics;
import io.whetstream.local.LiveMetrics;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalLong;

/**
 * What the two jobs say of themselves in their metrics. Any thread may ask; one looks for changes
 * of adapters.
 */
final class JobFigures {
  private final LiveMetrics metrics;
  private final Topics topics;
  private final List<Double> flipMillis = new ArrayList<>();
  private long flips;

  JobFigures(LiveMetrics metrics, Topics topics) {
    this.metrics = metrics;
    this.topics = topics;
  }

  long step() {
    return count("step");
  }

  long trained() {
    return count("ledger.trained");
  }

  /** The trainer's step; empty while there is no trainer. */
  OptionalLong stepIfKnown() {
    OptionalDouble step = metrics.sum(DemoJobs.FINETUNE, "trainer.step");
    return step.isPresent() ? OptionalLong.of((long) step.getAsDouble()) : OptionalLong.empty();
  }

  /** Pairs whose fate is known to the fine-tune job, dead letters not among them. */
  long done() {
    return trained() + heldOut() + skipped() + duplicates();
  }

  long heldOut() {
    return count("ledger.held_out");
  }

  long skipped() {
    return count("ledger.skipped");
  }

  /** Pairs that wait in the miner for their group or in the trainer for their batch. */
  long pending() {
    return count("ledger.pending") + count("waitingPairs");
  }

  long duplicates() {
    return count("duplicates");
  }

  long refused() {
    return count("gate.refused");
  }

  long suppressed() {
    return (long) metrics.sum(DemoJobs.SCORE, "matchesSuppressed").orElse(0);
  }

  /**
   * Records of the one partition of pairs that have been read. A run that has read none of its own
   * says so only with its first checkpoint.
   */
  long consumed() {
    String partition = "topic." + topics.pairs() + ".partition.0.";
    double last = metrics.max(DemoJobs.FINETUNE, partition + "currentOffset").orElse(-1);
    double next = metrics.max(DemoJobs.FINETUNE, partition + "committedOffset").orElse(-1);
    return (long) Math.max(last + 1, next);
  }

  /** Test-then-train recall of {@code training}, {@code published}, {@code preDrift}. */
  OptionalDouble recall(String weights) {
    return metrics.max(DemoJobs.FINETUNE, "recall." + weights);
  }

  /** Share of time that the trainer computes and does not wait for pairs. */
  OptionalDouble trainerBusy() {
    OptionalDouble waiting = metrics.max(DemoJobs.FINETUNE, "waitingForDataShare");
    return waiting.isPresent() ? OptionalDouble.of(1 - waiting.getAsDouble()) : waiting;
  }

  /** Looks whether a matcher has changed adapters since the last look. */
  void observeFlips() {
    long now = (long) metrics.sum(DemoJobs.SCORE, "adapterFlips").orElse(0);
    if (now > flips) {
      metrics.max(DemoJobs.SCORE, "lastFlipMicros").ifPresent(m -> flipMillis.add(m / 1000));
    }
    flips = now;
  }

  /** Time each observed change of adapters took. */
  double[] flipMillis() {
    return flipMillis.stream().mapToDouble(Double::doubleValue).toArray();
  }

  private long count(String name) {
    return (long) metrics.sum(DemoJobs.FINETUNE, name).orElse(0);
  }
}
