package io.whetstream.cli;

import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;
import picocli.CommandLine.Option;

/** How commands reach Kafka. Use: {@code @Mixin private KafkaOptions kafka;} */
final class KafkaOptions {
  @Option(
      names = "--bootstrap-servers",
      paramLabel = "HOST:PORT",
      description = "Kafka (default: $WHETSTREAM_KAFKA, else 127.0.0.1:9092).")
  private String servers;

  @Option(
      names = "--prefix",
      paramLabel = "TEXT",
      defaultValue = "",
      description = "What stands before all topic names (default: nothing).")
  private String prefix;

  @Option(
      names = "--kafka-config",
      paramLabel = "FILE",
      description = "Properties of Kafka clients; the place for secrets.")
  private Path file;

  @Option(
      names = "--kafka-property",
      paramLabel = "KEY=VALUE",
      description = "A property of Kafka clients; stands above the file.")
  private Map<String, String> properties = new LinkedHashMap<>();

  KafkaConnection connection() {
    Map<String, String> all = new HashMap<>();
    if (file != null) {
      all.putAll(read(file));
    }
    all.putAll(properties);
    // A command answers soon, or says that it cannot.
    all.putIfAbsent("default.api.timeout.ms", "20000");
    all.putIfAbsent("request.timeout.ms", "15000");
    String where = servers != null ? servers : System.getenv("WHETSTREAM_KAFKA");
    return new KafkaConnection(where == null || where.isBlank() ? "127.0.0.1:9092" : where, all);
  }

  /** A file of properties. */
  static Map<String, String> read(Path file) {
    Properties read = new Properties();
    try (Reader in = Files.newBufferedReader(file)) {
      read.load(in);
    } catch (IOException | IllegalArgumentException e) {
      throw new BadInputException(file + ": cannot be read: " + e.getMessage(), e);
    }
    Map<String, String> all = new HashMap<>();
    read.forEach((key, value) -> all.put(key.toString(), value.toString()));
    return all;
  }

  Topics topics() {
    return new Topics(prefix);
  }
}
