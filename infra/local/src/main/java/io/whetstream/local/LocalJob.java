package io.whetstream.local;

import java.nio.file.Path;
import org.apache.flink.api.common.JobID;

/**
 * A job that was submitted to a local runtime.
 *
 * @param name stable over restarts; its checkpoints are found by it
 * @param id of this submission
 * @param restoredFrom the checkpoint or savepoint it goes on from, or null if it starts anew
 */
public record LocalJob(String name, JobID id, Path restoredFrom) {}
