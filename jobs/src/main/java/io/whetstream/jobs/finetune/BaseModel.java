package io.whetstream.jobs.finetune;

import io.whetstream.model.BadInputException;
import io.whetstream.scenes.DemoBase;
import java.nio.file.Files;
import java.nio.file.Path;

/** Where the base model named in a configuration lies on this machine. */
record BaseModel(String name) {
  Path directory() {
    if (name.equals("demo")) {
      return DemoBase.directory();
    }
    Path directory = Path.of(name);
    if (!Files.isRegularFile(directory.resolve("config.json"))) {
      throw new BadInputException(
          "base.model: "
              + name
              + " holds no config.json; give a Hugging Face model directory that exists on every"
              + " task manager, or demo");
    }
    return directory;
  }

  /**
   * Where exported graphs are kept: a model directory may be read-only, or not ours to write to.
   */
  static Path graphCache() {
    return Path.of(System.getProperty("java.io.tmpdir"), "whetstream-graphs");
  }
}
