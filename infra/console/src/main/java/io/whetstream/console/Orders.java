package io.whetstream.console;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.connectors.records.Feedback;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.model.BadInputException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;

/**
 * What a person orders, written to the topics by a plain producer. Safe for use by any thread.
 *
 * <p>Whatever cannot be done is a {@link BadInputException} with what to do about it.
 */
final class Orders implements AutoCloseable {
  private static final long PATIENCE_SECONDS = 20;
  private static final int LONGEST_ID = 200;
  private static final int LONGEST_TEXT = 4_000;
  private static final int MOST_IMAGE_BYTES = 1_000_000;
  private static final String BY = "console";

  private final ConsoleOptions options;
  private final Board board;
  private final RegistryFeed registry;
  private final KafkaProducer<byte[], byte[]> producer;

  /**
   * @param registry or null, then adapters are not verified before a rollback
   */
  Orders(ConsoleOptions options, Board board, RegistryFeed registry) {
    this.options = options;
    this.board = board;
    this.registry = registry;
    producer = options.kafka().producer(Topics.MAX_RECORD_BYTES);
  }

  @Override
  public void close() {
    producer.close(java.time.Duration.ofSeconds(5));
  }

  /** {@code {alertId, verdict: confirm|reject, comment?}}. */
  ObjectNode feedback(JsonNode body) {
    String alert = required(body, "alertId", LONGEST_ID);
    Feedback.Verdict verdict =
        switch (required(body, "verdict", 20).toLowerCase(Locale.ROOT)) {
          case "confirm" -> Feedback.Verdict.CONFIRM;
          case "reject" -> Feedback.Verdict.REJECT;
          default -> throw new BadInputException("verdict must be confirm or reject");
        };
    Feedback feedback =
        new Feedback(
            alert,
            verdict,
            BY,
            optional(body, "comment", LONGEST_TEXT),
            System.currentTimeMillis());
    send(options.topics().feedback(), RecordType.FEEDBACK, feedback);
    return Board.object().put("alertId", alert).put("verdict", verdict.name());
  }

  /**
   * {@code {id, text?, image? (base64), kinds?, unlike?, minScore? | maxFalsePositiveRate? |
   * maxAlertsPerDay?, coolDownSeconds?, enabled?}}.
   */
  ObjectNode addQuery(JsonNode body) {
    byte[] image = image(body);
    List<MatchKind> kinds = new ArrayList<>();
    body.path("kinds").forEach(kind -> kinds.add(MatchKind.of(kind.asText())));
    List<String> unlike = unlike(body);
    SimilarityQuery query =
        new SimilarityQuery(
            required(body, "id", LONGEST_ID),
            optional(body, "text", LONGEST_TEXT),
            null,
            null,
            kinds,
            unlike,
            number(body, "minScore"),
            number(body, "maxFalsePositiveRate"),
            number(body, "maxAlertsPerDay"),
            coolDownMillis(body),
            body.path("enabled").asBoolean(true),
            System.currentTimeMillis(),
            image,
            null);
    long revision = send(options.topics().queries(), RecordType.QUERY, query);
    return Board.object().put("id", query.id()).put("revision", revision);
  }

  /** The image in a body, or null. */
  private static byte[] image(JsonNode body) {
    String encoded = optional(body, "image", 2 * MOST_IMAGE_BYTES);
    if (encoded == null) {
      return null;
    }
    byte[] image;
    try {
      image = Base64.getDecoder().decode(encoded);
    } catch (IllegalArgumentException e) {
      throw new BadInputException("image must be base64", e);
    }
    if (image.length > MOST_IMAGE_BYTES) {
      throw new BadInputException("the image is larger than " + MOST_IMAGE_BYTES + " bytes");
    }
    return image;
  }

  private static List<String> unlike(JsonNode body) {
    List<String> unlike = new ArrayList<>();
    for (JsonNode other : body.path("unlike")) {
      unlike.add(text(other, "unlike", LONGEST_TEXT));
    }
    return unlike;
  }

  private static Long coolDownMillis(JsonNode body) {
    Double seconds = number(body, "coolDownSeconds");
    return seconds == null ? null : Math.round(1000 * seconds);
  }

  /**
   * {@code {id, ...}} as {@link #addQuery}: what stands there is changed, null takes it away, and
   * everything else stays, an image and what no form shows too.
   */
  ObjectNode changeQuery(JsonNode body) {
    String id = required(body, "id", LONGEST_ID);
    JsonNode known = board.query(id);
    if (known == null) {
      throw new BadInputException("there is no query '" + id + "'");
    }
    SimilarityQuery before = read(known.path("partition").asInt(), known.path("revision").asLong());
    String text = body.has("text") ? optional(body, "text", LONGEST_TEXT) : before.text();
    byte[] image = body.has("image") ? image(body) : before.image();
    String uri = body.has("image") ? null : before.imageUri();
    boolean otherSides =
        (text == null) != (before.text() == null)
            || (image == null && uri == null)
                != (before.image() == null && before.imageUri() == null);
    boolean otherBound =
        body.has("minScore") || body.has("maxFalsePositiveRate") || body.has("maxAlertsPerDay");
    SimilarityQuery query =
        new SimilarityQuery(
            id,
            text,
            uri,
            body.has("image") ? null : before.imageDigest(),
            // Kinds that no side is left for would make it unusable.
            otherSides ? null : before.kinds(),
            body.has("unlike") ? unlike(body) : before.unlike(),
            otherBound ? number(body, "minScore") : before.minScore(),
            otherBound ? number(body, "maxFalsePositiveRate") : before.maxFalsePositiveRate(),
            otherBound ? number(body, "maxAlertsPerDay") : before.maxAlertsPerDay(),
            body.has("coolDownSeconds") ? coolDownMillis(body) : before.coolDownMillis(),
            body.path("enabled").asBoolean(before.enabled()),
            System.currentTimeMillis(),
            image,
            null);
    long revision = send(options.topics().queries(), RecordType.QUERY, query);
    return Board.object().put("id", id).put("revision", revision);
  }

  /** Writes the tombstone of a query. The answer says where it lay, for {@link #restoreQuery}. */
  ObjectNode removeQuery(String id) {
    JsonNode known = board.query(id);
    if (known == null) {
      throw new BadInputException("there is no query '" + id + "'");
    }
    send(options.topics().queries(), id, null);
    return Board.object()
        .put("id", id)
        .put("partition", known.path("partition").asInt())
        .put("revision", known.path("revision").asLong());
  }

  /** {@code {id, partition, revision}}: writes a query again that was removed. */
  ObjectNode restoreQuery(JsonNode body) {
    String id = required(body, "id", LONGEST_ID);
    SimilarityQuery removed = read(body.path("partition").asInt(), body.path("revision").asLong());
    if (!removed.id().equals(id)) {
      throw new BadInputException("another query than '" + id + "' lies there");
    }
    if (board.query(id) != null) {
      throw new BadInputException("there is a query '" + id + "' again already");
    }
    long revision = send(options.topics().queries(), RecordType.QUERY, removed);
    return Board.object().put("id", id).put("revision", revision);
  }

  /** The query that lies at a place, as it was written. */
  private SimilarityQuery read(int partition, long offset) {
    String topic = options.topics().queries();
    TopicPartition place = new TopicPartition(topic, partition);
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
    try (KafkaConsumer<byte[], byte[]> consumer = options.kafka().consumer()) {
      consumer.assign(List.of(place));
      consumer.seek(place, offset);
      while (System.nanoTime() < end) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
          if (record.offset() != offset || record.value() == null) {
            throw new BadInputException("the query is no longer kept as it was; write it anew");
          }
          return options
              .format()
              .codec(RecordType.QUERY, topic + "-value")
              .decode(record.value(), null, record.timestamp());
        }
      }
    }
    throw new BadInputException("Kafka did not give the query within " + PATIENCE_SECONDS + " s");
  }

  /** {@code {digest, reason}}: everyone goes back to that adapter until a resume. */
  ObjectNode rollback(JsonNode body) {
    String digest = required(body, "digest", LONGEST_ID);
    String stream = board.streamOf(digest);
    if (stream == null) {
      throw new BadInputException("no adapter of a stream has the digest " + digest);
    }
    if (registry != null) {
      List<String> wrong = registry.verify(digest);
      if (!wrong.isEmpty()) {
        throw new BadInputException(
            "nobody can go back to a damaged adapter: " + String.join("; ", wrong));
      }
    }
    return control(
        AdapterControl.rollback(
            stream, digest, required(body, "reason", LONGEST_TEXT), System.currentTimeMillis()));
  }

  /**
   * {@code {stream, reason?}}: publishing goes on. What was gone back to stays in use until
   * something newer than all that is announced now.
   */
  ObjectNode resume(JsonNode body) {
    String stream = required(body, "stream", LONGEST_ID);
    String reason = optional(body, "reason", LONGEST_TEXT);
    long now = System.currentTimeMillis();
    JsonNode order = board.control(stream);
    JsonNode announced = board.newestAnnounced(stream);
    boolean rolledBack =
        order != null
            && order.path("action").asText().equals(AdapterControl.Action.ROLLBACK.name());
    if (!rolledBack) {
      throw new BadInputException("stream '" + stream + "' is not rolled back");
    }
    if (announced == null) {
      return control(AdapterControl.resume(stream, reason, now));
    }
    return control(
        AdapterControl.resume(
            stream,
            order.path("digest").asText(),
            announced.path("epoch").asLong(),
            announced.path("n").asLong(),
            reason,
            now));
  }

  private ObjectNode control(AdapterControl control) {
    send(options.topics().adaptersControl(), RecordType.ADAPTER_CONTROL, control);
    return Board.object()
        .put("stream", control.stream())
        .put("action", control.action().name())
        .put("digest", control.digest());
  }

  private <T extends StreamRecord> long send(String topic, RecordType<T> type, T value) {
    // A codec belongs to one thread.
    return send(topic, value.key(), options.format().codec(type, topic + "-value").encode(value));
  }

  private long send(String topic, String key, byte[] value) {
    try {
      RecordMetadata metadata =
          producer
              .send(new ProducerRecord<>(topic, key.getBytes(StandardCharsets.UTF_8), value))
              .get(PATIENCE_SECONDS, TimeUnit.SECONDS);
      return metadata.offset();
    } catch (ExecutionException e) {
      throw new BadInputException(
          topic + " did not take the record: " + e.getCause().getMessage(), e.getCause());
    } catch (TimeoutException e) {
      throw new BadInputException(
          "Kafka did not answer within " + PATIENCE_SECONDS + " s; the order may still arrive", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted", e);
    }
  }

  private static String required(JsonNode body, String field, int longest) {
    String value = optional(body, field, longest);
    if (value == null) {
      throw new BadInputException(field + " is missing");
    }
    return value;
  }

  private static String optional(JsonNode body, String field, int longest) {
    JsonNode node = body.path(field);
    if (node.isMissingNode() || node.isNull()) {
      return null;
    }
    String value = text(node, field, longest);
    return value.isEmpty() ? null : value;
  }

  private static String text(JsonNode node, String field, int longest) {
    if (!node.isTextual()) {
      throw new BadInputException(field + " must be text");
    }
    String value = node.asText().strip();
    if (value.length() > longest) {
      throw new BadInputException(field + " is longer than " + longest + " characters");
    }
    return value;
  }

  private static Double number(JsonNode body, String field) {
    JsonNode node = body.path(field);
    if (node.isMissingNode() || node.isNull()) {
      return null;
    }
    if (!node.isNumber()) {
      throw new BadInputException(field + " must be a number");
    }
    return node.asDouble();
  }
}
