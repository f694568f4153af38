package io.whetstream.jobs.config;

import io.whetstream.connectors.StoredFiles;
import java.io.Serializable;
import java.time.Duration;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.ReadableConfig;

/**
 * Checkpoints of a job. What the cluster's own configuration says is kept where a value here is
 * empty.
 *
 * @param interval between the starts of two checkpoints; 0s: the cluster's {@code
 *     execution.checkpointing.interval}, 10s where it has none
 * @param timeout after which one is given up
 * @param directory where they go; empty: the cluster's {@code execution.checkpointing.dir}. {@code
 *     whetstream job} keeps them in its data directory, whatever this says
 */
public record CheckpointSettings(Duration interval, Duration timeout, String directory)
    implements Serializable {
  public CheckpointSettings {
    Checks.that(!interval.isNegative(), "checkpoint.interval must not be negative");
    Checks.positive("checkpoint.timeout", timeout);
  }

  /** As often as the cluster says. */
  public static CheckpointSettings defaults() {
    return new CheckpointSettings(Duration.ZERO, Duration.ofMinutes(10), "");
  }

  /**
   * How often a job's state is written.
   *
   * @param cluster Flink's configuration
   */
  public Duration interval(ReadableConfig cluster) {
    return interval.isZero()
        ? cluster
            .getOptional(CheckpointingOptions.CHECKPOINTING_INTERVAL)
            .filter(each -> !each.isZero())
            .orElse(Duration.ofSeconds(10))
        : interval;
  }

  /** The directory as Flink's own option wants it: a scheme, and nothing escaped. */
  public String flinkDirectory() {
    return directory.startsWith("file:") ? StoredFiles.path(directory).toString() : directory;
  }
}
