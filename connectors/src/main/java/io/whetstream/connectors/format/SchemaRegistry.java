package io.whetstream.connectors.format;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.connectors.Secrets;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.avro.Schema;

/**
 * The two calls of a schema registry that reading and writing need, in the REST form that
 * Confluent's, Karapace, Apicurio (its compatible API) and Redpanda share. Schemas never change
 * under an id, so they are kept.
 *
 * <p>An id that the registry does not know is the record's fault: {@link BadInputException}. A
 * registry that does not answer is not: {@link UncheckedIOException}, so that the job is restarted
 * and no good record becomes a dead letter.
 */
final class SchemaRegistry {
  private static final Duration TIMEOUT = Duration.ofSeconds(10);
  private static final int MAX_SCHEMAS = 10_000;
  private static final ObjectMapper JSON = new ObjectMapper();

  private final String url;
  private final String authorization;
  private final HttpClient client =
      HttpClient.newBuilder()
          .connectTimeout(TIMEOUT)
          .followRedirects(HttpClient.Redirect.NEVER)
          .build();
  private final Map<Integer, Schema> schemas = new ConcurrentHashMap<>();

  SchemaRegistry(String url, Map<String, String> properties) {
    this.url = url.endsWith("/") ? url.substring(0, url.length() - 1) : url;
    String user = properties.get("basic.auth.user.info");
    String token = properties.get("bearer.auth.token");
    this.authorization =
        user != null
            ? "Basic " + Base64.getEncoder().encodeToString(user.getBytes(StandardCharsets.UTF_8))
            : token != null ? "Bearer " + token : null;
  }

  Schema schema(int id) {
    Schema known = schemas.get(id);
    if (known != null) {
      return known;
    }
    JsonNode answer = call("/schemas/ids/" + Integer.toUnsignedString(id), null);
    if (answer == null) {
      throw new BadInputException("the schema registry knows no schema with id " + id);
    }
    String kind = answer.path("schemaType").asText("AVRO");
    if (!kind.equals("AVRO") || !answer.path("schema").isTextual()) {
      throw new BadInputException("schema " + id + " is " + kind + ", not Avro");
    }
    Schema schema;
    try {
      schema = new Schema.Parser().parse(answer.path("schema").asText());
    } catch (RuntimeException e) {
      throw new BadInputException("schema " + id + " is not an Avro schema: " + e.getMessage(), e);
    }
    if (schemas.size() < MAX_SCHEMAS) {
      schemas.put(id, schema);
    }
    return schema;
  }

  int register(String subject, Schema schema) {
    String body = JSON.createObjectNode().put("schema", schema.toString()).toString();
    JsonNode answer =
        call("/subjects/" + URLEncoder.encode(subject, StandardCharsets.UTF_8) + "/versions", body);
    if (answer == null || !answer.path("id").isInt()) {
      throw new BadInputException("the schema registry did not take the schema of " + subject);
    }
    return answer.path("id").asInt();
  }

  /** The answer, or null if there is no such thing. */
  private JsonNode call(String path, String body) {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(URI.create(url + path))
            .timeout(TIMEOUT)
            .header("Accept", "application/vnd.schemaregistry.v1+json, application/json");
    if (authorization != null) {
      request.header("Authorization", authorization);
    }
    if (body != null) {
      request
          .header("Content-Type", "application/vnd.schemaregistry.v1+json")
          .POST(HttpRequest.BodyPublishers.ofString(body));
    }
    try {
      HttpResponse<String> response =
          client.send(request.build(), HttpResponse.BodyHandlers.ofString());
      if (response.statusCode() == 404) {
        return null;
      }
      if (response.statusCode() == 409 || response.statusCode() == 422) {
        throw new BadInputException(
            "the schema registry refuses the schema (" + path + "): " + response.body());
      }
      if (response.statusCode() != 200) {
        throw new IOException("status " + response.statusCode());
      }
      return JSON.readTree(response.body());
    } catch (IOException e) {
      throw new UncheckedIOException(
          "the schema registry at " + Secrets.maskUri(url) + " does not answer " + path, e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new UncheckedIOException(new IOException("interrupted", e));
    }
  }
}
