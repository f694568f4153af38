package io.whetstream.connectors.kafka;

import io.whetstream.connectors.Secrets;
import io.whetstream.model.BadInputException;
import java.io.Serializable;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * How to reach Kafka.
 *
 * @param bootstrapServers host:port, comma-separated
 * @param properties given to every Kafka client as they are (SASL, TLS, quotas ...)
 */
public record KafkaConnection(String bootstrapServers, Map<String, String> properties)
    implements Serializable {

  public KafkaConnection {
    if (bootstrapServers == null || bootstrapServers.isBlank()) {
      throw new BadInputException("Kafka's bootstrap servers are missing: give host:port");
    }
    properties = properties == null ? Map.of() : Map.copyOf(properties);
  }

  /** Without further properties. */
  public static KafkaConnection of(String bootstrapServers) {
    return new KafkaConnection(bootstrapServers, Map.of());
  }

  /** All properties of a client, secrets in clear. */
  public Properties clientProperties() {
    Properties all = new Properties();
    all.putAll(properties);
    all.put("bootstrap.servers", bootstrapServers);
    return all;
  }

  /** An admin client; the caller closes it. */
  public Admin admin() {
    return Admin.create(clientProperties());
  }

  /**
   * A consumer without a group that reads only what is committed; the caller assigns partitions and
   * closes it.
   */
  public KafkaConsumer<byte[], byte[]> consumer() {
    Properties own = clientProperties();
    own.put("isolation.level", "read_committed");
    own.put("enable.auto.commit", "false");
    own.put("allow.auto.create.topics", "false");
    own.put("auto.offset.reset", "earliest");
    return new KafkaConsumer<>(own, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  /**
   * A plain, idempotent producer; the caller closes it.
   *
   * @param maxRequestBytes largest record it may send
   */
  public KafkaProducer<byte[], byte[]> producer(int maxRequestBytes) {
    Properties own = clientProperties();
    own.put("enable.idempotence", "true");
    own.putIfAbsent("max.request.size", Integer.toString(maxRequestBytes));
    return new KafkaProducer<>(own, new ByteArraySerializer(), new ByteArraySerializer());
  }

  /** With secrets masked. */
  @Override
  public String toString() {
    return "KafkaConnection[" + bootstrapServers + ", " + Secrets.mask(properties) + "]";
  }
}
