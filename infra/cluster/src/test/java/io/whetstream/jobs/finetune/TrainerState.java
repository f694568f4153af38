package io.whetstream.jobs.finetune;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.flink.core.fs.FSDataInputStream;
import org.apache.flink.runtime.checkpoint.Checkpoints;
import org.apache.flink.runtime.checkpoint.OperatorState;
import org.apache.flink.runtime.state.OperatorStateHandle;

/**
 * What the trainer's state in a savepoint says.
 *
 * @param digest of the weights
 * @param accepted count and sum of all pairs that the trainer has taken
 * @param ledger the same by fate
 * @param history all that was announced, in order
 */
record TrainerState(
    String digest,
    long step,
    Ledger.Entry accepted,
    String ledger,
    List<AdapterLine.Version> history) {

  static TrainerState read(FineTuneConfig config, Path savepoint) throws IOException {
    try (DataInputStream metadata =
            new DataInputStream(Files.newInputStream(savepoint.resolve("_metadata")));
        ContinualTrainer trainer =
            new ContinualTrainer(config, new TrainingEngine(config), TrainerHooks.NONE)) {
      OperatorState operator =
          Checkpoints.loadCheckpointMetadata(
                  metadata, TrainerState.class.getClassLoader(), savepoint.toString())
              .getOperatorStates()
              .stream()
              .filter(state -> state.getOperatorUid().orElse("").equals("trainer"))
              .findAny()
              .orElseThrow();
      OperatorStateHandle handle =
          operator.getStates().iterator().next().getRawOperatorState().iterator().next();
      long start =
          handle.getStateNameToPartitionOffsets().values().iterator().next().getOffsets()[0];
      try (FSDataInputStream raw = handle.openInputStream()) {
        raw.seek(start);
        DataInputStream in = new DataInputStream(new BufferedInputStream(raw));
        in.readUTF(); // The job.
        in.readLong(); // When it was written.
        trainer.read(in);
      }
      return new TrainerState(
          trainer.weights().digest(),
          trainer.stepNumber(),
          trainer.ledger().accepted(),
          trainer.ledger().entries().toString(),
          trainer.line().history());
    }
  }
}
