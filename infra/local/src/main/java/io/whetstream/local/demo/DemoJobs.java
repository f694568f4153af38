package io.whetstream.local.demo;

import io.whetstream.local.LocalJob;
import io.whetstream.local.LocalRuntime;
import java.nio.file.Path;

/** How the demo starts the two jobs on its runtime. */
interface DemoJobs {
  /** Name of the fine-tune job, under which its state and metrics are found. */
  String FINETUNE = "finetune";

  /** Name of the scoring job. */
  String SCORE = "score";

  /**
   * Submits the fine-tune job.
   *
   * @param model directory of the base model
   * @param seed of training
   * @param size of the stream that it reads
   */
  LocalJob finetune(LocalRuntime runtime, Path model, long seed, StreamSize size);

  /** Submits the scoring job. */
  LocalJob score(LocalRuntime runtime, Path model);
}
