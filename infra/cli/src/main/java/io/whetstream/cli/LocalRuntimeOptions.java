package io.whetstream.cli;

import io.whetstream.local.LocalOptions;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** Where and how a local run keeps its things. Use: {@code @Mixin}. */
public final class LocalRuntimeOptions {
  @Option(
      names = "--data",
      paramLabel = "DIR",
      description =
          "What lasts: broker, checkpoints, adapters (default: .whetstream beside the launcher).")
  private Path data;

  @Option(
      names = "--fresh",
      description = "Start over: deletes what earlier runs left in the data directory.")
  private boolean fresh;

  @Option(
      names = "--without-state",
      description =
          "Begin anew although a job has had state in the data directory and there is none now;"
              + " topics and adapters stay.")
  private boolean withoutState;

  @Option(
      names = "--kafka-port",
      paramLabel = "PORT",
      defaultValue = "0",
      description = "Port of the Kafka broker, on loopback (default: a free one).")
  private int kafkaPort;

  @Option(
      names = "--web-port",
      paramLabel = "PORT",
      defaultValue = "0",
      description = "Port of Flink's web UI, on loopback (default: a free one).")
  private int webPort;

  /**
   * As the runtime takes them.
   *
   * @param name of the directory under the default data directory
   */
  public LocalOptions options(String name) {
    Path directory = data == null ? Homes.data().resolve(name) : data;
    return LocalOptions.in(directory.toAbsolutePath().normalize())
        .withFresh(fresh)
        .withoutState(withoutState)
        .withPorts(kafkaPort, webPort);
  }

  /** Where jobs keep adapters: in the given directory, else where all commands look for them. */
  public Path adapters() {
    return (data == null ? Homes.data() : data).resolve("adapters").toAbsolutePath().normalize();
  }
}
