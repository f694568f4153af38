package io.whetstream.connectors.format;

import io.whetstream.connectors.Secrets;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.avro.Schema;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.ParsedSchema;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.avro.AvroSchema;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.CachedSchemaRegistryClient;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.SchemaRegistryClient;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.exceptions.RestClientException;

/**
 * The two calls of a schema registry that reading and writing need, through Confluent's client,
 * which speaks the REST protocol that Confluent's registry, Karapace, Apicurio (its compatible API)
 * and Redpanda share. Schemas never change under an id, so the client keeps them.
 *
 * <p>An id that the registry does not know is the record's fault: {@link BadInputException}; it is
 * asked once a minute ({@code missing.id.cache.ttl.sec}), not once a record. A registry that does
 * not answer is not: {@link UncheckedIOException}, so that the job is restarted and no good record
 * becomes a dead letter.
 */
final class SchemaRegistry {
  private static final String TIMEOUT_MILLIS = "10000";
  private static final int MAX_SCHEMAS = 10_000;

  /** So long an id that the registry did not know is not asked for again. */
  private static final String UNKNOWN_SECONDS = "60";

  /** Properties that the client takes as numbers only, whatever it is configured from. */
  private static final Set<String> SECONDS =
      Set.of(
          "missing.id.cache.ttl.sec",
          "missing.version.cache.ttl.sec",
          "missing.schema.cache.ttl.sec");

  /** The registry says so of a schema it will not take: incompatible, or no schema. */
  private static final Set<Integer> REFUSALS = Set.of(409, 422);

  private final String url;
  private final SchemaRegistryClient client;

  SchemaRegistry(String url, Map<String, String> properties) {
    this.url = url;
    Map<String, Object> all = new HashMap<>();
    all.put("http.connect.timeout.ms", TIMEOUT_MILLIS);
    all.put("http.read.timeout.ms", TIMEOUT_MILLIS);
    all.put("missing.id.cache.ttl.sec", UNKNOWN_SECONDS);
    // The client wants to be told where the secret that it was given is.
    if (properties.containsKey("basic.auth.user.info")) {
      all.put("basic.auth.credentials.source", "USER_INFO");
    }
    if (properties.containsKey("bearer.auth.token")) {
      all.put("bearer.auth.credentials.source", "STATIC_TOKEN");
    }
    all.putAll(properties);
    try {
      SECONDS.forEach(key -> all.computeIfPresent(key, (any, text) -> Long.valueOf((String) text)));
      client = new Client(url, all);
    } catch (RuntimeException e) {
      throw new BadInputException(
          "the schema registry's properties cannot be used: " + e.getMessage(), e);
    }
  }

  /** The schema that the registry gave that id. */
  Schema schema(int id) {
    if (id < 0) {
      throw new BadInputException(
          "the schema registry knows no schema with id " + Integer.toUnsignedString(id));
    }
    try {
      // As the client's own Avro prints it, with the schemas that it refers to.
      AvroSchema found = (AvroSchema) client.getSchemaById(id);
      return new Schema.Parser().parse(found.rawSchema().toString());
    } catch (RestClientException e) {
      if (e.getStatus() == 404) {
        throw new BadInputException("the schema registry knows no schema with id " + id, e);
      }
      throw failed(e);
    } catch (IOException e) {
      throw failed(e);
    } catch (RuntimeException e) {
      throw new BadInputException("schema " + id + " cannot be used: " + e.getMessage(), e);
    }
  }

  /**
   * The id of a schema, which the registry gives it if it is new.
   *
   * @param subject the name under which compatible versions follow each other
   */
  int register(String subject, Schema schema) {
    try {
      return client.register(subject, new AvroSchema(schema.toString()));
    } catch (RestClientException e) {
      if (REFUSALS.contains(e.getStatus())) {
        throw new BadInputException(
            "the schema registry refuses the schema of " + subject + ": " + e.getMessage(), e);
      }
      throw failed(e);
    } catch (IOException e) {
      throw failed(e);
    }
  }

  /** Says of a schema that it is not Avro, where Confluent's calls the registry unreachable. */
  private static final class Client extends CachedSchemaRegistryClient {
    Client(String url, Map<String, Object> properties) {
      super(List.of(url), MAX_SCHEMAS, properties);
    }

    @Override
    public Optional<ParsedSchema> parseSchema(
        org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client
                .rest.entities.Schema
            registered) {
      Optional<ParsedSchema> parsed = super.parseSchema(registered);
      if (parsed.isEmpty()) {
        throw new BadInputException(
            "it is " + registered.getSchemaType() + ", but no Avro that can be read");
      }
      return parsed;
    }
  }

  private UncheckedIOException failed(Exception cause) {
    return new UncheckedIOException(
        "the schema registry at "
            + Secrets.maskUri(url)
            + " does not answer: "
            + cause.getMessage(),
        cause instanceof IOException io ? io : new IOException(cause));
  }
}
