package io.whetstream.jobs.config;

import java.io.Serializable;
import java.util.Map;

/**
 * A schema registry in the REST form that Confluent's, Karapace, Apicurio and Redpanda share.
 *
 * @param url for example {@code https://registry:8081}; empty: none
 * @param properties {@code basic.auth.user.info} ({@code user:password}) or {@code
 *     bearer.auth.token}
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
