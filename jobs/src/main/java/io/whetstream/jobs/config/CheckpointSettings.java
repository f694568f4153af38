package io.whetstream.jobs.config;

import io.whetstream.connectors.StoredFiles;
import java.io.Serializable;
import java.time.Duration;

/**
 * Checkpoints of a job. What the cluster's own configuration says is kept where a value here is
 * empty.
 *
 * @param interval between the starts of two checkpoints
 * @param timeout after which one is given up
 * @param directory where they go; empty: the cluster's {@code execution.checkpointing.dir}. {@code
 *     whetstream job} keeps them in its data directory, whatever this says
 */
public record CheckpointSettings(Duration interval, Duration timeout, String directory)
    implements Serializable {
  public CheckpointSettings {
    Checks.positive("checkpoint.interval", interval);
    Checks.positive("checkpoint.timeout", timeout);
  }

  /** Every ten seconds. */
  public static CheckpointSettings defaults() {
    return new CheckpointSettings(Duration.ofSeconds(10), Duration.ofMinutes(10), "");
  }

  /** The directory as Flink's own option wants it: a scheme, and nothing escaped. */
  public String flinkDirectory() {
    return directory.startsWith("file:") ? StoredFiles.path(directory).toString() : directory;
  }
}
