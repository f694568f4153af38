package io.whetstream.jobs.finetune;

import io.whetstream.model.train.PreparedPair;
import java.io.Serializable;
import java.util.List;

/** Places where a test lets something fail. In a running job each does nothing. */
interface TrainerHooks extends Serializable {
  TrainerHooks NONE = new TrainerHooks() {};

  /** The batch of the next step may be replaced. */
  default List<PreparedPair> batch(long step, List<PreparedPair> pairs) {
    return pairs;
  }

  /** Weights have been changed, the books have not. */
  default void inStep(long step) {}

  /** State has been read back, nothing has been done with it. */
  default void restored(ContinualTrainer trainer) {}

  /** State has been handed over, the checkpoint is not complete. */
  default void afterSnapshot(long checkpoint, ContinualTrainer trainer) {}

  /** The checkpoint is complete. */
  default void afterCheckpoint(long checkpoint) {}

  /** A candidate is about to be written, on the registry's thread. */
  default void beforeWrite(String digest) {}

  /** All pairs have been taken and all candidates announced. */
  default void atEnd(ContinualTrainer trainer) {}
}
