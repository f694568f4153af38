package io.whetstream.cli;

import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import picocli.CommandLine.Option;

/** Where and how forward passes run. Use: {@code @Mixin private ComputeOptions compute;} */
final class ComputeOptions {
  @Option(
      names = "--precision",
      paramLabel = "fp32|bf16",
      defaultValue = "fp32",
      description = "Type of weights and activations (default: fp32).")
  private Precision precision;

  @Option(
      names = "--device",
      paramLabel = "auto|cpu|gpu:N",
      defaultValue = "auto",
      description = "Where to compute (default: auto: a GPU if there is one).")
  private String device;

  @Option(
      names = "--threads",
      paramLabel = "T",
      defaultValue = "0",
      description = "Threads of one matrix product on the CPU (default: as many as cores).")
  private int threads;

  LvlmOptions options() {
    return new LvlmOptions(precision, device, threads);
  }

  Precision precision() {
    return precision;
  }
}
