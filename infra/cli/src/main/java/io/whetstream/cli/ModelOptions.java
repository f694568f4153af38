package io.whetstream.cli;

import io.whetstream.model.BadInputException;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.scenes.DemoBase;
import java.nio.file.Files;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** Which base model. Use: {@code @Mixin private ModelOptions model;} */
public final class ModelOptions {
  @Option(
      names = "--model",
      paramLabel = "DIR|demo",
      defaultValue = "demo",
      description = "Hugging Face model directory, or the built-in base (default: demo).")
  private String model;

  @Option(
      names = "--verify",
      description =
          "Compute the model's digest anew from all its weights, instead of trusting the one kept"
              + " for files that have not changed.")
  private boolean verify;

  /** As given: {@code demo} or a directory. */
  public String name() {
    return model;
  }

  /**
   * The directory of the base model; the built-in one is unpacked on first use.
   *
   * @throws BadInputException if there is no such directory
   */
  public Path directory() {
    Path directory = resolve(model);
    if (verify) {
      verify = false; // Once a command.
      try (Checkpoint checkpoint = Checkpoint.open(directory)) {
        checkpoint.verify();
      }
    }
    return directory;
  }

  /** The directory that {@code demo} or a path names. */
  public static Path resolve(String model) {
    if (model.equals("demo")) {
      return DemoBase.directory();
    }
    Path directory = Path.of(model);
    if (!Files.isDirectory(directory)) {
      throw new BadInputException(
          "model directory "
              + directory
              + " does not exist; give a Hugging Face directory (config.json, *.safetensors,"
              + " tokenizer.json) or 'demo'");
    }
    return directory;
  }
}
