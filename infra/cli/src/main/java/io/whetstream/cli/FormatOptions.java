package io.whetstream.cli;

import io.whetstream.connectors.format.RecordFormat;
import java.nio.file.Path;
import java.util.Map;
import picocli.CommandLine.Option;

/** How records are written. Use: {@code @Mixin private FormatOptions format;} */
final class FormatOptions {
  @Option(
      names = "--format",
      paramLabel = "NAME",
      defaultValue = "json",
      description = "json or avro, as in the job's configuration (default: json).")
  private String name;

  @Option(
      names = "--schema-registry",
      paramLabel = "URL",
      description = "With avro: frame records with ids of this schema registry.")
  private String registry;

  @Option(
      names = "--schema-registry-config",
      paramLabel = "FILE",
      description = "Properties basic.auth.user.info (user:password) or bearer.auth.token.")
  private Path registryConfig;

  RecordFormat format() {
    return registry == null
        ? RecordFormat.named(name, Map.of())
        : RecordFormat.avroRegistry(
            registry, registryConfig == null ? Map.of() : KafkaOptions.read(registryConfig));
  }
}
