package io.whetstream.jobs.table;

import static org.apache.flink.configuration.ConfigOptions.key;

import io.whetstream.jobs.config.Nearest;
import io.whetstream.jobs.score.ScoringModel;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.ValidationException;

/** The options of models in SQL: {@code WITH ('provider' = 'whetstream', …)}. */
public final class SqlOptions {
  /** What {@code on-error} may be. */
  public enum OnError {
    /** NULL, and the reason in the column {@code error}. */
    NULL,
    /** The job fails with the reason. */
    FAIL
  }

  public static final ConfigOption<String> BASE =
      key("base")
          .stringType()
          .defaultValue("demo")
          .withDescription(
              "The base model: demo, or a Hugging Face directory that exists on every"
                  + " TaskManager.");

  public static final ConfigOption<String> REGISTRY =
      key("registry")
          .stringType()
          .noDefaultValue()
          .withDescription("Directory of the adapters, on any Flink file system.");

  public static final ConfigOption<String> STREAM =
      key("stream")
          .stringType()
          .defaultValue("default")
          .withDescription("Name of the adapter stream that a live model follows.");

  public static final ConfigOption<String> VERSION =
      key("version")
          .stringType()
          .defaultValue(ScoringModel.LIVE)
          .withDescription(
              "live (follows announcements and rollbacks), base (no adapter), or the digest of an"
                  + " adapter.");

  public static final ConfigOption<String> START_WITH =
      key("start-with")
          .stringType()
          .defaultValue("adapter")
          .withDescription(
              "adapter: a live model waits for the first published one before it takes a row; base:"
                  + " it begins with the base.");

  public static final ConfigOption<String> DEVICE =
      key("device")
          .stringType()
          .defaultValue("auto")
          .withDescription("Where ONNX Runtime computes: auto, cpu or gpu:N.");

  public static final ConfigOption<Integer> THREADS =
      key("threads")
          .intType()
          .defaultValue(0)
          .withDescription(
              "Threads of one call of ONNX Runtime; 0 leaves it the choice. Slots times threads"
                  + " should equal the cores.");

  public static final ConfigOption<Integer> BATCH_SIZE =
      key("batch-size")
          .intType()
          .defaultValue(32)
          .withDescription(
              "Most rows embedded at once. Flink hands a function at most"
                  + " table.exec.async-ml-predict.max-concurrent-operations (10) rows at a time:"
                  + " set that to twice the batch.");

  public static final ConfigOption<Duration> BATCH_WAIT =
      key("batch-wait")
          .durationType()
          .defaultValue(Duration.ofMillis(5))
          .withDescription("A row waits at most this long for its batch to fill.");

  public static final ConfigOption<OnError> ON_ERROR =
      key("on-error")
          .enumType(OnError.class)
          .defaultValue(OnError.NULL)
          .withDescription(
              "What a row that cannot be embedded gives: null (with the reason in the output column"
                  + " error), or fail.");

  public static final ConfigOption<Long> MAX_IMAGE_PIXELS =
      key("max-image-pixels")
          .longType()
          .defaultValue(50_000_000L)
          .withDescription("A larger image cannot be embedded.");

  public static final ConfigOption<String> TOPIC_PREFIX =
      key("topic-prefix")
          .stringType()
          .defaultValue("")
          .withDescription("Put before every topic name.");

  public static final ConfigOption<String> FORMAT =
      key("format")
          .stringType()
          .defaultValue("json")
          .withDescription("Of the topics that are read: json, avro or avro-registry.");

  public static final ConfigOption<String> SCHEMA_REGISTRY =
      key("schema-registry")
          .stringType()
          .defaultValue("")
          .withDescription("URL of the schema registry of the format avro-registry.");

  public static final ConfigOption<String> BOOTSTRAP_SERVERS =
      key("properties.bootstrap.servers")
          .stringType()
          .noDefaultValue()
          .withDescription("Kafka's host:port, comma-separated.");

  /** Further Kafka client properties, with this before their names. */
  static final String PROPERTIES = "properties.";

  static final List<ConfigOption<?>> OF_MODELS =
      List.of(
          BASE,
          REGISTRY,
          STREAM,
          VERSION,
          START_WITH,
          DEVICE,
          THREADS,
          BATCH_SIZE,
          BATCH_WAIT,
          ON_ERROR,
          MAX_IMAGE_PIXELS,
          TOPIC_PREFIX,
          FORMAT,
          SCHEMA_REGISTRY,
          BOOTSTRAP_SERVERS);

  private SqlOptions() {}

  /**
   * Refuses keys that are not there and values that cannot be read.
   *
   * @param own keys that Flink itself reads
   * @throws ValidationException naming the nearest known key
   */
  static Configuration read(
      Map<String, String> options, List<ConfigOption<?>> known, Set<String> own) {
    List<String> names =
        Stream.concat(own.stream(), known.stream().map(ConfigOption::key)).sorted().toList();
    for (String key : options.keySet()) {
      if (!names.contains(key) && !key.startsWith(PROPERTIES)) {
        throw new ValidationException(
            "unknown option '"
                + key
                + "'; the nearest known option is '"
                + Nearest.of(key, names)
                + "' (known: "
                + String.join(", ", names)
                + ", properties.*)");
      }
    }
    Configuration configuration = Configuration.fromMap(options);
    for (ConfigOption<?> option : known) {
      try {
        configuration.getOptional(option);
      } catch (IllegalArgumentException e) {
        throw new ValidationException(
            "option '"
                + option.key()
                + "' = '"
                + options.get(option.key())
                + "' cannot be read: "
                + reason(e),
            e);
      }
    }
    return configuration;
  }

  private static String reason(IllegalArgumentException e) {
    List<String> lines = new ArrayList<>();
    for (Throwable cause = e; cause != null; cause = cause.getCause()) {
      lines.add(cause.getMessage());
    }
    return lines.get(lines.size() - 1);
  }
}
