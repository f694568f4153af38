package io.whetstream.jobs.config;

import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordFormat.Encoding;
import io.whetstream.connectors.kafka.KafkaConnection;
import java.io.Serializable;
import java.time.Duration;
import java.util.Map;

/**
 * How a job reaches Kafka and how records are written there.
 *
 * @param bootstrapServers host:port, comma-separated
 * @param topicPrefix put before every topic name
 * @param groupId consumer group; empty: derived from the job's name
 * @param startingOffsets {@code earliest}, {@code latest} or {@code committed} (else earliest);
 *     used only without restored state
 * @param format {@code json}, {@code avro} (plain) or {@code avro-registry} (framed with the ids of
 *     {@code schemaRegistry}); of all topics but dead letters
 * @param transactionTimeout of exactly-once sinks; an outage longer than this announces again. A
 *     stock broker allows at most 15 minutes.
 * @param fields field map of pairs and items: our name to yours, for JSON a path such as {@code
 *     $.media.url}
 * @param numericIds with {@code format: json}, whether ids of pairs and items may be numbers, which
 *     are taken as their digits
 * @param writerSchema with {@code format: avro}, the schema (JSON text) that your pairs and items
 *     are written with; empty: ours
 * @param schemaRegistry with {@code format: avro-registry}, where schemas are
 * @param properties given to every Kafka client as they are; secrets belong here. A job that comes
 *     back to pairs or items that Kafka has deleted unread fails, unless {@code auto.offset.reset}
 *     is set here to go on without them
 */
public record KafkaSettings(
    String bootstrapServers,
    String topicPrefix,
    String groupId,
    String startingOffsets,
    String format,
    Duration transactionTimeout,
    Map<String, String> fields,
    boolean numericIds,
    String writerSchema,
    SchemaRegistrySettings schemaRegistry,
    Map<String, String> properties)
    implements Serializable {

  public KafkaSettings {
    Checks.present("kafka.bootstrapServers", bootstrapServers);
    Checks.that(
        startingOffsets.matches("earliest|latest|committed"),
        "kafka.startingOffsets must be earliest, latest or committed, not " + startingOffsets);
    Checks.that(
        format.matches("json|avro|avro-registry"),
        "kafka.format must be json, avro or avro-registry, not " + format);
    Checks.that(
        format.equals("avro-registry") != schemaRegistry.url().isEmpty(),
        "kafka.schemaRegistry.url belongs to kafka.format avro-registry, and only to it");
    Checks.that(
        format.equals("avro") || writerSchema.isEmpty(),
        "kafka.writerSchema belongs to kafka.format avro only");
    Checks.that(
        format.equals("json") || !numericIds, "kafka.numericIds belongs to kafka.format json only");
    Checks.positive("kafka.transactionTimeout", transactionTimeout);
    fields = Map.copyOf(fields);
    properties = Map.copyOf(properties);
  }

  /** A broker on this machine, JSON, from the start of the topics. */
  public static KafkaSettings defaults() {
    return new KafkaSettings(
        "localhost:9092",
        "",
        "",
        "committed",
        "json",
        Duration.ofMinutes(14),
        Map.of(),
        false,
        "",
        SchemaRegistrySettings.defaults(),
        Map.of());
  }

  /** How clients reach the brokers. */
  public KafkaConnection connection() {
    return new KafkaConnection(bootstrapServers, properties);
  }

  /** The format of pairs and items, whose producers are the users'. */
  public RecordFormat userFormat() {
    RecordFormat format = format(fields, writerSchema.isEmpty() ? null : writerSchema);
    return numericIds ? format.withNumericIds() : format;
  }

  /** The format of all other topics. */
  public RecordFormat ownFormat() {
    return format(Map.of(), null);
  }

  private RecordFormat format(Map<String, String> names, String writer) {
    return switch (format) {
      case "json" -> RecordFormat.json(names);
      case "avro" -> new RecordFormat(Encoding.AVRO, names, writer, null, null);
      default ->
          new RecordFormat(
              Encoding.AVRO_REGISTRY,
              names,
              null,
              schemaRegistry.url(),
              schemaRegistry.properties());
    };
  }
}
