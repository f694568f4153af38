package io.whetstream.jobs.config;

import java.io.Serializable;
import java.util.Map;

/**
 * A schema registry in the REST form that Confluent's, Karapace, Apicurio and Redpanda share.
 *
 * @param url with {@code kafka.format: avro-registry}, and only with it: where schemas are, for
 *     example {@code https://registry:8081}
 * @param properties of the registry's client, as Confluent names them: {@code basic.auth.user.info}
 *     ({@code user:password}), {@code bearer.auth.token}, {@code
 *     schema.registry.ssl.truststore.location} and so on
 */
public record SchemaRegistrySettings(String url, Map<String, String> properties)
    implements Serializable {
  public SchemaRegistrySettings {
    properties = Map.copyOf(properties);
  }

  /** None. */
  public static SchemaRegistrySettings defaults() {
    return new SchemaRegistrySettings("", Map.of());
  }
}
