package io.whetstream.jobs.config;

import java.io.Serializable;

/**
 * The base model and where it runs.
 *
 * @param model {@code demo} (the built-in base) or a Hugging Face directory
 * @param precision of training: {@code fp32} or {@code bf16}
 * @param device {@code auto}, {@code cpu} or {@code gpu:N}
 * @param threads threads of libtorch and of ONNX Runtime; 0 leaves their defaults. Slots times
 *     threads should equal the cores.
 */
public record BaseSettings(String model, String precision, String device, int threads)
    implements Serializable {
  public BaseSettings {
    Checks.present("base.model", model);
    Checks.that(
        precision.matches("fp32|bf16"), "base.precision must be fp32 or bf16, not " + precision);
    Checks.that(
        device.matches("auto|cpu|gpu:\\d+"),
        "base.device must be auto, cpu or gpu:N, not " + device);
    Checks.atLeast("base.threads", threads, 0);
  }

  /** The built-in base on the CPU. */
  public static BaseSettings defaults() {
    return new BaseSettings("demo", "fp32", "auto", 0);
  }
}
