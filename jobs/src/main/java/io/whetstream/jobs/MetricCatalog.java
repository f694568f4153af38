package io.whetstream.jobs;

import java.util.List;
import java.util.Locale;

/**
 * Every metric that the jobs register, with what it means: the source of {@code docs/metrics.md}.
 * Tests compare it with the code and with what a running cluster reports.
 */
public final class MetricCatalog {
  /** What kind of figure a metric is. */
  public enum Kind {
    /** Only grows, from 0 at each start of its subtask. */
    COUNTER,
    /** What is so now. */
    GAUGE,
    /** Of the last 1,000 values: quantiles, mean, count. */
    HISTOGRAM
  }

  /**
   * A metric.
   *
   * @param operator where: the operator's name in Flink
   * @param name its group and name, with dots between; a suffix of the name in Flink
   * @param unit of its value
   */
  public record Metric(String operator, String name, Kind kind, String unit, String meaning) {
    /** Its name at Flink's Prometheus reporter. */
    public String inPrometheus() {
      return "flink_taskmanager_job_task_operator_" + name.replace('.', '_');
    }
  }

  private static final String SOURCES = "sources of pairs, items, control records";
  private static final String TRAINER = "trainer";
  private static final String MINER = "hard-negative miner";
  private static final String MATCHER = "matcher";
  private static final String SUPPRESSOR = "alert suppressor";

  private static final List<Metric> ALL =
      List.of(
          counter(SOURCES, "whetstream.deadLetters", "records", "could not be read; in the .dlq"),
          counter(
              "prepare pairs", "deduplicator.duplicates", "pairs", "dropped: their id was seen"),
          counter(
              "prepare pairs",
              "preparePairs.acceptedPairs",
              "pairs",
              "decoded, resized and tokenized"),
          counter(
              "prepare pairs",
              "preparePairs.refusedPairs",
              "pairs",
              "could not be prepared; dead letters"),
          counter(
              "mining embedder",
              "miningEmbedder.embeddedImages",
              "images",
              "given a mining vector"),
          new Metric(
              "mining embedder",
              "miningEmbedder.batchMilliseconds",
              Kind.HISTOGRAM,
              "ms",
              "time of a batch"),
          counter(MINER, "miner.groups", "groups", "handed to the trainer"),
          counter(
              MINER, "miner.incompleteGroups", "groups", "of these, closed before they were full"),
          counter(MINER, "miner.replayedPairs", "pairs", "of the memory, given again"),
          counter(
              MINER,
              "miner.skippedFalseNegatives",
              "pairs",
              "not put beside their anchor, which they probably match"),
          counter(
              MINER,
              "miner.cacheMisses",
              "buckets",
              "read from RocksDB because they were not in memory"),
          gauge(MINER, "miner.cachedBytes", "bytes", "of pending pairs in memory"),
          gauge(MINER, "miner.cachedPendingPairs", "pairs", "pending, in memory"),
          gauge(MINER, "miner.waitingPairs", "pairs", "pending, in memory or not"),
          gauge(TRAINER, "trainer.step", "steps", "done, over all starts"),
          gauge(TRAINER, "trainer.epoch", "1", "grows by one with each restore by hand"),
          gauge(TRAINER, "trainer.pendingPairs", "pairs", "waiting for the next step"),
          gauge(TRAINER, "trainer.heldOutPairs", "pairs", "in the rolling held-out set"),
          gauge(TRAINER, "trainer.paused", "0 or 1", "1 between a rollback and its resume"),
          gauge(
              TRAINER,
              "trainer.orderWaiting",
              "0 or 1",
              "1 while a rollback waits for its adapter"),
          ledger("trained", "trained as new, in one step each"),
          ledger("held_out", "kept for evaluation, never trained"),
          ledger("skipped", "in steps whose loss or gradient was not finite"),
          ledger("pending", "read, and waiting in the trainer"),
          ledger("replayed", "trained again from the memory"),
          ledger("shed", "not trained on, since the trainer was behind"),
          gauge(TRAINER, "trainer.lag.pairs", "pairs", "that wait for a step"),
          gauge(TRAINER, "trainer.lag.milliseconds", "ms", "since the oldest of them happened"),
          gauge(TRAINER, "trainer.lag.shedShare", "0 to 1", "of all pairs, over all starts"),
          gauge(TRAINER, "trainer.lossContrastive", "nats", "of the last step"),
          gauge(TRAINER, "trainer.lossNextToken", "nats per token", "of the last step"),
          gauge(TRAINER, "trainer.logitScale", "1", "factor of similarities in the loss"),
          gauge(TRAINER, "trainer.learningRate", "1", "of the last step"),
          gauge(TRAINER, "trainer.gradientNorm", "1", "of the last step, before it is clipped"),
          gauge(TRAINER, "trainer.maskedNegatives", "pairs of pairs", "left out of the last loss"),
          gauge(TRAINER, "trainer.stepSeconds", "s", "time of the last step"),
          gauge(TRAINER, "trainer.pairsPerSecond", "pairs/s", "of the last step alone"),
          gauge(TRAINER, "trainer.tokens", "tokens", "of the decoder, in the last step"),
          gauge(
              TRAINER,
              "trainer.imageTokens",
              "tokens",
              "those of them that stand for images: what the pixel budget costs"),
          gauge(TRAINER, "trainer.flopsPerSecond", "FLOP/s", "of the last step, useful work"),
          gauge(TRAINER, "trainer.waitingForDataShare", "0 to 1", "of its time since the start"),
          gauge(TRAINER, "trainer.recall.training", "0 to 1", "R@1 of the weights before the step"),
          gauge(TRAINER, "trainer.recall.apart", "0 to 1", "the same among pairs of other groups"),
          gauge(TRAINER, "trainer.recall.published", "0 to 1", "R@1 of the adapter in use"),
          gauge(TRAINER, "trainer.recall.preDrift", "0 to 1", "R@1 of the adapter before a drift"),
          gauge(TRAINER, "trainer.recall.base", "0 to 1", "R@1 without an adapter"),
          gauge(TRAINER, "trainer.gate.candidate", "0 to 1", "held-out R@1 at the last verdict"),
          gauge(TRAINER, "trainer.gate.published", "0 to 1", "of the one in use, at that verdict"),
          gauge(TRAINER, "trainer.gate.passed", "adapters", "published since the start"),
          gauge(TRAINER, "trainer.gate.refused", "adapters", "kept out since the start"),
          gauge(
              TRAINER, "trainer.gate.returns", "times", "gone back to an adapter since the start"),
          gauge(
              TRAINER,
              "trainer.gate.replaced",
              "adapters",
              "given up because the registry did not take them, over all starts"),
          gauge(TRAINER, "trainer.skippedSteps", "steps", "not finite, since the start"),
          gauge(TRAINER, "trainer.driftEvents", "times", "a change was noticed since the start"),
          gauge(TRAINER, "trainer.snapshotMilliseconds", "ms", "synchronous part of a checkpoint"),
          gauge(TRAINER, "trainer.snapshotMegabytes", "MB", "of state in the last checkpoint"),
          counter(
              TRAINER, "trainer.adapterWriteFailures", "writes", "to the registry; tried again"),
          counter(
              TRAINER,
              "trainer.refusedControlRecords",
              "records",
              "rollbacks that could not be carried out"),
          counter(MATCHER, "whetstream.itemsScored", "items", "compared with the watchlist"),
          counter(MATCHER, "whetstream.matches", "matches", "above their query's threshold"),
          counter(MATCHER, "whetstream.badItems", "items", "could not be scored; dead letters"),
          counter(MATCHER, "whetstream.adaptersRefused", "adapters", "not taken; the log says why"),
          counter(
              MATCHER, "whetstream.queriesRefused", "queries", "not taken; queries.status says"),
          counter(MATCHER, "whetstream.adapterFlips", "times", "a new adapter was switched to"),
          gauge(MATCHER, "whetstream.lastFlipMicros", "us", "scoring stood still for the last one"),
          gauge(MATCHER, "whetstream.watchlistQueries", "queries", "watched for"),
          gauge(MATCHER, "whetstream.watchlistBytes", "bytes", "of the process's table of vectors"),
          gauge(
              MATCHER,
              "whetstream.kind.liveShareAboveCalibration",
              "0 to 1",
              "of live scores, above what the adapter was calibrated with; label `kind`"),
          counter(SUPPRESSOR, "whetstream.alertsRaised", "alerts", "written"),
          counter(SUPPRESSOR, "whetstream.matchesSuppressed", "matches", "within a cool-down"),
          counter(
              SUPPRESSOR,
              "whetstream.matchesWithheld",
              "matches",
              "of a query in quarantine; in `alerts.withheld`"),
          counter(
              SUPPRESSOR,
              "whetstream.finalCounts",
              "alerts",
              "written at the end of a cool-down, with how many were suppressed"));

  private MetricCatalog() {}

  /** All metrics, in the order of the jobs. */
  public static List<Metric> all() {
    return ALL;
  }

  /** The table of {@code docs/metrics.md}. */
  public static String markdown() {
    StringBuilder text =
        new StringBuilder("| where | metric | kind | unit | what |\n|---|---|---|---|---|\n");
    for (Metric metric : ALL) {
      text.append(
          "| %s | `%s` | %s | %s | %s |\n"
              .formatted(
                  metric.operator(),
                  metric.name(),
                  metric.kind().name().toLowerCase(Locale.ROOT),
                  metric.unit(),
                  metric.meaning()));
    }
    return text.toString();
  }

  private static Metric counter(String operator, String name, String unit, String meaning) {
    return new Metric(operator, name, Kind.COUNTER, unit, meaning);
  }

  private static Metric gauge(String operator, String name, String unit, String meaning) {
    return new Metric(operator, name, Kind.GAUGE, unit, meaning);
  }

  private static Metric ledger(String fate, String meaning) {
    return gauge(TRAINER, "trainer.ledger." + fate, "pairs", meaning + "; over all starts");
  }
}
