package io.whetstream.jobs.config;

import java.io.Serializable;
import java.time.Duration;
import java.util.Map;

/**
 * How a job reaches Kafka.
 *
 * @param bootstrapServers host:port, comma-separated
 * @param topicPrefix put before every topic name
 * @param groupId consumer group; empty: derived from the job's name
 * @param startingOffsets {@code earliest}, {@code latest} or {@code committed} (else earliest);
 *     used only without restored state
 * @param format {@code json} or {@code avro}
 * @param transactionTimeout of exactly-once sinks; an outage longer than this announces again. A
 *     stock broker allows at most 15 minutes.
 * @param fields field map of JSON records: our name to yours
 * @param properties given to every Kafka client as they are; secrets belong here
 */
public record KafkaSettings(
    String bootstrapServers,
    String topicPrefix,
    String groupId,
    String startingOffsets,
    String format,
    Duration transactionTimeout,
    Map<String, String> fields,
    Map<String, String> properties)
    implements Serializable {

  public KafkaSettings {
    Checks.present("kafka.bootstrapServers", bootstrapServers);
    Checks.that(
        startingOffsets.matches("earliest|latest|committed"),
        "kafka.startingOffsets must be earliest, latest or committed, not " + startingOffsets);
    Checks.that(format.matches("json|avro"), "kafka.format must be json or avro, not " + format);
    Checks.positive("kafka.transactionTimeout", transactionTimeout);
    fields = Map.copyOf(fields);
    properties = Map.copyOf(properties);
  }

  /** A broker on this machine, JSON, from the start of the topics. */
  public static KafkaSettings defaults() {
    return new KafkaSettings(
        "localhost:9092", "", "", "committed", "json", Duration.ofMinutes(14), Map.of(), Map.of());
  }
}
