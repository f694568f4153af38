package io.whetstream.jobs.config;

import io.whetstream.model.BadInputException;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.scenes.DemoBase;
import java.io.Serializable;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * The base model and where it runs.
 *
 * @param model {@code demo} (the built-in base) or a Hugging Face directory. What an image may cost
 *     is bounded by the family's own keys in its {@code preprocessor_config.json}, which both jobs
 *     read: {@code max_pixels} (Qwen-VL; {@code size.longest_edge} in newer files, also a number of
 *     pixels), {@code size.longest_edge} and {@code do_image_splitting} (Idefics3, SmolVLM), {@code
 *     image_grid_pinpoints} (LLaVA-NeXT, LLaVA-OneVision; in {@code config.json} too). {@code
 *     whetstream plan --image-size} says what a picture then costs
 * @param precision of training: {@code fp32} or {@code bf16}
 * @param device {@code auto}, {@code cpu} or {@code gpu:N}
 * @param threads threads of libtorch and of ONNX Runtime; 0 leaves their defaults. Slots times
 *     threads should equal the cores.
 * @param verify whether the base's digest is computed anew from all weights at each start, by each
 *     task that opens them, instead of trusting the one kept for files that have not changed
 */
public record BaseSettings(
    String model, String precision, String device, int threads, boolean verify)
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
    return new BaseSettings("demo", "fp32", "auto", 0, false);
  }

  /**
   * Where the base lies on this machine.
   *
   * @throws BadInputException if there is no model
   */
  public Path directory() {
    if (model.equals("demo")) {
      return DemoBase.directory();
    }
    Path directory = Path.of(model);
    if (!Files.isRegularFile(directory.resolve("config.json"))) {
      throw new BadInputException(
          "base.model: "
              + model
              + " holds no config.json; give a Hugging Face model directory that exists on every"
              + " task manager, or demo");
    }
    return directory;
  }

  /**
   * The same for whoever reads its weights: they are verified first where that is asked for.
   *
   * @throws BadInputException if there is no model, or a weight is not finite
   */
  public Path weights() {
    Path directory = directory();
    if (verify) {
      try (Checkpoint checkpoint = Checkpoint.open(directory)) {
        checkpoint.verify();
      }
    }
    return directory;
  }
}
