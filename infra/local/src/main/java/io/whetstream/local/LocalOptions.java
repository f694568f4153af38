package io.whetstream.local;

import io.whetstream.model.BadInputException;
import java.nio.file.Path;
import java.time.Duration;

/**
 * How a local runtime is set up.
 *
 * @param dataDir everything that lasts: broker, checkpoints, savepoints, adapters
 * @param bootstrapServers a Kafka of the user's own; null starts one in the process
 * @param kafkaPort of the broker in the process, on loopback; 0 for a free one
 * @param webPort of Flink's web UI, on loopback; 0 for a free one
 * @param slots of the Flink cluster
 * @param managedMemoryMiB for RocksDB, shared by all slots
 * @param checkpointInterval where a job does not set its own
 * @param fresh deletes what earlier runs left in {@code dataDir}
 * @param withoutState lets a job begin anew that has had state in {@code dataDir} and has none now;
 *     otherwise that is refused
 */
public record LocalOptions(
    Path dataDir,
    String bootstrapServers,
    int kafkaPort,
    int webPort,
    int slots,
    int managedMemoryMiB,
    Duration checkpointInterval,
    boolean fresh,
    boolean withoutState) {
  public LocalOptions {
    port("Kafka", kafkaPort);
    port("web", webPort);
    if (slots < 1 || managedMemoryMiB < 16 || checkpointInterval.toMillis() < 1) {
      throw new BadInputException(
          "a local runtime needs at least 1 slot, 16 MiB of managed memory and an interval between"
              + " checkpoints above zero");
    }
  }

  /** Free ports, a broker of its own, four slots. */
  public static LocalOptions in(Path dataDir) {
    return new LocalOptions(dataDir, null, 0, 0, 4, 256, Duration.ofSeconds(5), false, false);
  }

  /** The same with what earlier runs left deleted, or not. */
  public LocalOptions withFresh(boolean deleted) {
    return new LocalOptions(
        dataDir,
        bootstrapServers,
        kafkaPort,
        webPort,
        slots,
        managedMemoryMiB,
        checkpointInterval,
        deleted,
        withoutState);
  }

  /** The same with a beginning anew allowed where state is missing, or not. */
  public LocalOptions withoutState(boolean allowed) {
    return new LocalOptions(
        dataDir,
        bootstrapServers,
        kafkaPort,
        webPort,
        slots,
        managedMemoryMiB,
        checkpointInterval,
        fresh,
        allowed);
  }

  /** The same with this many slots. */
  public LocalOptions withSlots(int count) {
    return new LocalOptions(
        dataDir,
        bootstrapServers,
        kafkaPort,
        webPort,
        count,
        managedMemoryMiB,
        checkpointInterval,
        fresh,
        withoutState);
  }

  /** The same with these ports. */
  public LocalOptions withPorts(int kafka, int web) {
    return new LocalOptions(
        dataDir,
        bootstrapServers,
        kafka,
        web,
        slots,
        managedMemoryMiB,
        checkpointInterval,
        fresh,
        withoutState);
  }

  /** The same against a Kafka of the user's own. */
  public LocalOptions withBootstrapServers(String servers) {
    return new LocalOptions(
        dataDir,
        servers,
        kafkaPort,
        webPort,
        slots,
        managedMemoryMiB,
        checkpointInterval,
        fresh,
        withoutState);
  }

  /** The same with this time between checkpoints. */
  public LocalOptions withCheckpointInterval(Duration interval) {
    return new LocalOptions(
        dataDir,
        bootstrapServers,
        kafkaPort,
        webPort,
        slots,
        managedMemoryMiB,
        interval,
        fresh,
        withoutState);
  }

  private static void port(String of, int port) {
    if (port < 0 || port > 65535) {
      throw new BadInputException(
          "the " + of + " port must be 0 (a free one) to 65535, not " + port);
    }
  }
}
