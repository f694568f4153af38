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
        .withPorts(kafkaPort, webPort);
  }
}
