package io.whetstream.connectors.format;

import io.whetstream.connectors.Secrets;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.model.BadInputException;
import java.io.Serializable;
import java.util.Map;
import org.apache.avro.Schema;

/**
 * How records are written in a topic.
 *
 * @param encoding JSON or one of the Avro forms
 * @param fields our field name to where it is in yours: for JSON a path such as {@code $.media.url}
 *     or {@code $.tags[0]}, for Avro a field name. Only for reading; fields that are not named keep
 *     our name.
 * @param writerSchema for plain Avro, the schema (JSON text) that the values were written with, or
 *     null for ours
 * @param registryUrl for registry-framed Avro, the address of a Confluent-compatible registry
 * @param registryProperties for the registry's client, as Confluent names them: {@code
 *     basic.auth.user.info} ({@code user:password}), {@code bearer.auth.token}, {@code
 *     schema.registry.ssl.truststore.location} and so on
 * @param numericIds for JSON, whether an id may also be a number, which is taken as its digits
 */
public record RecordFormat(
    Encoding encoding,
    Map<String, String> fields,
    String writerSchema,
    String registryUrl,
    Map<String, String> registryProperties,
    boolean numericIds)
    implements Serializable {

  /** JSON or one of the Avro forms. */
  public enum Encoding {
    JSON,
    /** Avro's binary encoding and nothing else. */
    AVRO,
    /** A zero byte, the schema's id in four bytes (big-endian), then Avro's binary encoding. */
    AVRO_REGISTRY
  }

  public RecordFormat {
    fields = fields == null ? Map.of() : Map.copyOf(fields);
    registryProperties = registryProperties == null ? Map.of() : Map.copyOf(registryProperties);
    if ((encoding == Encoding.AVRO_REGISTRY) != (registryUrl != null)) {
      throw new BadInputException(
          "a schema registry's URL belongs to encoding avro-registry, and only to it");
    }
    if (numericIds && encoding != Encoding.JSON) {
      throw new BadInputException("numeric ids belong to encoding json only");
    }
    if (writerSchema != null && encoding != Encoding.AVRO) {
      throw new BadInputException("a writer schema belongs to encoding avro only");
    }
  }

  /** Ids are texts. */
  public RecordFormat(
      Encoding encoding,
      Map<String, String> fields,
      String writerSchema,
      String registryUrl,
      Map<String, String> registryProperties) {
    this(encoding, fields, writerSchema, registryUrl, registryProperties, false);
  }

  /** The same format with ids that may be numbers. */
  public RecordFormat withNumericIds() {
    return new RecordFormat(encoding, fields, writerSchema, registryUrl, registryProperties, true);
  }

  /** JSON with our field names. */
  public static RecordFormat json() {
    return json(Map.of());
  }

  /** JSON with a field map. */
  public static RecordFormat json(Map<String, String> fields) {
    return new RecordFormat(Encoding.JSON, fields, null, null, null);
  }

  /** Plain Avro with our schemas. */
  public static RecordFormat avro() {
    return new RecordFormat(Encoding.AVRO, null, null, null, null);
  }

  /** Avro framed with ids of a schema registry. */
  public static RecordFormat avroRegistry(String url, Map<String, String> properties) {
    return new RecordFormat(Encoding.AVRO_REGISTRY, null, null, url, properties);
  }

  /** {@code json} or {@code avro}, as in configuration. */
  public static RecordFormat named(String name, Map<String, String> fields) {
    return switch (name) {
      case "json" -> json(fields);
      case "avro" -> new RecordFormat(Encoding.AVRO, fields, null, null, null);
      default -> throw new BadInputException("unknown format '" + name + "': use json or avro");
    };
  }

  /**
   * A codec for one thread.
   *
   * @param subject under which a registry knows the schema that is written, usually the topic's
   *     name and {@code -value}; not used by the other encodings
   * @throws BadInputException when the field map names a field that the record does not have
   */
  public <T extends StreamRecord> RecordCodec<T> codec(RecordType<T> type, String subject) {
    type.shape().checkNames(fields.keySet());
    return switch (encoding) {
      case JSON -> new JsonCodec<>(type, fields, numericIds);
      case AVRO -> new AvroCodec<>(type, fields, writer(type));
      case AVRO_REGISTRY ->
          new AvroCodec<>(
              type, fields, new SchemaRegistry(registryUrl, registryProperties), subject);
    };
  }

  private Schema writer(RecordType<?> type) {
    try {
      return writerSchema == null ? type.schema() : new Schema.Parser().parse(writerSchema);
    } catch (RuntimeException e) {
      throw new BadInputException("the writer schema is not an Avro schema: " + e.getMessage(), e);
    }
  }

  @Override
  public String toString() {
    return "RecordFormat["
        + encoding
        + (fields.isEmpty() ? "" : ", fields " + fields)
        + (registryUrl == null ? "" : ", registry " + Secrets.maskUri(registryUrl))
        + (registryProperties.isEmpty() ? "" : ", " + Secrets.mask(registryProperties))
        + "]";
  }
}
