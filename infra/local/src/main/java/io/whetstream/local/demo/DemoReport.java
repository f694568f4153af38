package io.whetstream.local.demo;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.Map;

/**
 * What a run of the demo came to. A figure that could not be had is null, never 0.
 *
 * @param pairs what became of every pair that was sent
 * @param adapters verdicts of the gate
 * @param recallAt1 on 256 held-out scenes, mean of both directions
 * @param compositionalAccuracy by kind, 0 to 1, chance 0.5
 * @param heldOut what the gate measured; of a person's own pairs, the only measure there is
 * @param swapMillis time a matcher stood still to change adapters
 * @param freshnessSeconds from a pair's event time to the first item scored by an adapter that was
 *     trained on it
 * @param startSeconds from the start of the process to the first pair trained
 * @param peakRssBytes most memory that the process held
 */
@JsonInclude(JsonInclude.Include.ALWAYS)
record DemoReport(
    Pairs pairs,
    Adapters adapters,
    RecallAt1 recallAt1,
    CompositionalAccuracy compositionalAccuracy,
    HeldOut heldOut,
    Alerts alerts,
    Percentiles99 swapMillis,
    Percentiles95 freshnessSeconds,
    Double startSeconds,
    long peakRssBytes) {

  /**
   * Counts of pairs. Each figure is counted at its own place, and {@code unaccounted} is what is
   * left of {@code consumed} when all the others are taken away: anything but 0 is a loss or a
   * double.
   *
   * @param consumed read from Kafka
   * @param trained in one optimizer step each
   * @param heldOut never trained, for the gate
   * @param deadLettered could not be read, kept in the dead-letter topic
   * @param skipped in a step with a loss or gradient that was not finite
   * @param duplicates of a pair seen before
   * @param pending waiting for its group or batch when the run ended; in the savepoint
   */
  record Pairs(
      long consumed,
      long trained,
      long heldOut,
      long deadLettered,
      long skipped,
      long duplicates,
      long pending,
      long unaccounted) {
    static Pairs of(
        long consumed,
        long trained,
        long heldOut,
        long deadLettered,
        long skipped,
        long duplicates,
        long pending) {
      long rest = consumed - trained - heldOut - deadLettered - skipped - duplicates - pending;
      return new Pairs(
          consumed, trained, heldOut, deadLettered, skipped, duplicates, pending, rest);
    }
  }

  /** Adapters that passed the gate and that did not. */
  record Adapters(long published, long refused) {}

  /**
   * R@1 on drawn scenes; all null where a person's own pairs were streamed.
   *
   * @param baseBestPrompt the base with the hand prompt that serves it best
   * @param start the base with the prompt that training starts from
   * @param beforeDrift the adapter published last before the looks changed
   * @param preDriftOnDrifted that adapter on the new looks
   * @param recovered the adapter published last, on the new looks
   */
  record RecallAt1(
      Double baseBestPrompt,
      Double start,
      Double beforeDrift,
      Double preDriftOnDrifted,
      Double recovered) {}

  /**
   * R@1 among the pairs that the gate holds out of the stream, mean of both directions. It is the
   * harder, the more pairs there are.
   *
   * @param start the base, when the first adapter was published
   * @param startPairs held-out pairs then
   * @param published the adapter published last
   * @param publishedPairs held-out pairs when it was published
   */
  record HeldOut(Double start, Long startPairs, Double published, Long publishedPairs) {}

  /** At the start, and of the adapter published last; on the looks that the stream ended with. */
  record CompositionalAccuracy(Map<String, Double> start, Map<String, Double> published) {}

  /**
   * Alerts.
   *
   * @param raised in all
   * @param suppressed matches that were counted instead of raised
   * @param precision of items scored after the second publish and outside {@code duringDrift}; null
   *     where a person's own pairs were streamed, because nobody said which of their images a
   *     caption does not fit
   * @param recall of the same items; of a person's own pairs, those whose own caption is watched
   * @param duringDrift the items from the change of looks to the adapter that recovered, apart
   */
  record Alerts(
      long raised, long suppressed, Double precision, Double recall, DuringDrift duringDrift) {}

  /** Items between the change of looks and recovery. */
  record DuringDrift(long items, Double precision, Double recall) {}

  /** Median and 99th percentile. */
  record Percentiles99(Double p50, Double p99) {
    static Percentiles99 of(double[] values) {
      return new Percentiles99(percentile(values, 50), percentile(values, 99));
    }
  }

  /** Median and 95th percentile. */
  record Percentiles95(Double p50, Double p95) {
    static Percentiles95 of(double[] values) {
      return new Percentiles95(percentile(values, 50), percentile(values, 95));
    }
  }

  /** Writes it as JSON; the file appears whole or not at all. */
  void write(Path file) throws IOException {
    Path absolute = file.toAbsolutePath();
    Files.createDirectories(absolute.getParent());
    Path part = Files.createTempFile(absolute.getParent(), ".report", ".part");
    try {
      new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValue(part.toFile(), this);
      Files.move(part, absolute, StandardCopyOption.REPLACE_EXISTING);
    } finally {
      Files.deleteIfExists(part);
    }
  }

  /** Nearest-rank percentile, null of nothing. */
  static Double percentile(double[] values, int percent) {
    if (values.length == 0) {
      return null;
    }
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    int rank = (int) Math.ceil(percent / 100.0 * sorted.length);
    return sorted[Math.max(0, rank - 1)];
  }

  /** Null for what is not a number, which JSON does not have. */
  static Double orNull(double value) {
    return Double.isNaN(value) ? null : value;
  }
}
