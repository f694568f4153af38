package io.whetstream.cli;

import io.whetstream.jobs.score.ScoreConfig;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Option;

/** The scoring job's configuration, for commands that look at what it does. */
final class ScoreOptions {
  @Option(
      names = "--config",
      paramLabel = "FILE",
      description = "Configuration of the scoring job (default: its defaults).")
  private Path file;

  @Option(
      names = "-D",
      paramLabel = "KEY=VALUE",
      description = "Overrides a key of the configuration; may be given several times.")
  private List<String> overrides = new ArrayList<>();

  ScoreConfig config() {
    return file == null
        ? ScoreConfig.loader().parse("", "defaults", overrides)
        : ScoreConfig.loader().load(file, overrides);
  }
}
