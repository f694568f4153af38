package io.whetstream.cli;

import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.TopicScan;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.Ids;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.jobs.config.Durations;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code whetstream queries}: what is watched for. */
@Command(name = "queries", description = "Adds, lists and removes queries: what is watched for.")
final class QueriesCommand implements Runnable {
  @Spec private CommandSpec spec;

  /** The result of {@code add} with {@code --json}; {@code state} is null if nobody answered. */
  record Added(String id, long revision, String state, String reason) {}

  /** A line of {@code list} with {@code --json}. */
  record Listed(
      String id,
      long revision,
      String text,
      boolean image,
      List<String> kinds,
      List<String> unlike,
      Double minScore,
      Double maxFalsePositiveRate,
      Double maxAlertsPerDay,
      boolean enabled,
      String state,
      String reason) {}

  /** The result of {@code remove} with {@code --json}. */
  record Removed(List<String> removed) {}

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "say what to do: add, list or remove");
  }

  @Command(
      name = "add",
      description =
          "Adds a query, or replaces the one of that id. The job's answer says whether it holds.")
  int add(
      @Mixin KafkaOptions kafka,
      @Mixin FormatOptions format,
      @Mixin ResultOptions result,
      @Option(names = "--id", required = true, description = "Its name.") String id,
      @Option(names = "--text", description = "Text to watch for.") String text,
      @Option(names = "--image", paramLabel = "FILE", description = "Image to watch for.")
          Path image,
      @Option(names = "--image-uri", paramLabel = "URI", description = "The same, by URI.")
          String imageUri,
      @Option(
              names = "--kinds",
              split = ",",
              paramLabel = "KIND",
              description =
                  "image-text, text-text, image-image, text-image: the item's side first (default:"
                      + " all that the query allows).")
          List<String> kinds,
      @Option(
              names = "--unlike",
              paramLabel = "TEXT",
              description =
                  "What scores higher with this text than with --text does not match; may be given"
                      + " several times.")
          List<String> unlike,
      @Option(names = "--min-score", paramLabel = "COSINE", description = "Match from this score.")
          Double minScore,
      @Option(
              names = "--max-false-positive-rate",
              paramLabel = "RATE",
              description = "Match from the score that so few others reach, for example 0.001.")
          Double rate,
      @Option(
              names = "--max-alerts-per-day",
              paramLabel = "NUMBER",
              description =
                  "Match from the score that so many unrelated items a day reach, however fast the"
                      + " stream runs, for example 20.")
          Double perDay,
      @Option(
              names = "--cool-down",
              paramLabel = "TIME",
              description = "No second alert for near-duplicates within, for example 10m.")
          String coolDown,
      @Option(names = "--disabled", description = "Keep it without matching it.") boolean disabled,
      @Option(
              names = "--wait",
              paramLabel = "SECONDS",
              defaultValue = "10",
              description = "How long to wait for the job's answer (default: 10; 0: do not).")
          int patience)
      throws IOException {
    Ids.requireShort(id);
    // What is not matched is not answered.
    int wait = disabled ? 0 : patience;
    SimilarityQuery query =
        new SimilarityQuery(
            id,
            text,
            imageUri,
            null,
            kinds == null ? null : kinds.stream().map(MatchKind::of).toList(),
            unlike,
            minScore,
            rate,
            perDay,
            coolDown == null ? null : duration(coolDown).toMillis(),
            !disabled,
            System.currentTimeMillis(),
            image == null ? null : bytes(image),
            null);
    Topics topics = kafka.topics();
    KafkaConnection connection = kafka.connection();
    byte[] value =
        format.format().codec(RecordType.QUERY, topics.queries() + "-value").encode(query);
    try (TopicScan statuses = wait > 0 ? new TopicScan(connection, topics.queriesStatus()) : null) {
      if (statuses != null) {
        statuses.seekToEnd();
      }
      long revision = send(connection, topics.queries(), id, value);
      QueryStatus answer =
          statuses == null ? null : answer(statuses, format, topics, id, revision, wait);
      Added added =
          new Added(
              id,
              revision,
              answer == null ? null : answer.state().name(),
              answer == null ? null : answer.reason());
      result.print(added, describe(added, wait));
      return answer != null && answer.state() == QueryStatus.State.REFUSED ? Main.BAD_INPUT : 0;
    }
  }

  private static String describe(Added added, int wait) {
    if (added.state() != null) {
      return added.id()
          + ": "
          + added.state()
          + (added.reason().isEmpty() ? "" : ": " + added.reason());
    }
    return added.id()
        + ": sent"
        + (wait > 0 ? ", but no scoring job answered within " + wait + " s" : "");
  }

  private static QueryStatus answer(
      TopicScan statuses, FormatOptions format, Topics topics, String id, long revision, int wait) {
    RecordCodec<QueryStatus> codec =
        format.format().codec(RecordType.QUERY_STATUS, topics.queriesStatus() + "-value");
    QueryStatus[] found = {null};
    long end = System.nanoTime() + Duration.ofSeconds(wait).toNanos();
    statuses.follow(
        record -> {
          if (record.value() != null) {
            QueryStatus status = codec.decode(record.value(), null, record.timestamp());
            if (status.queryId().equals(id) && status.revision() >= revision) {
              found[0] = status;
            }
          }
        },
        () -> found[0] != null || System.nanoTime() > end);
    return found[0];
  }

  @Command(name = "list", description = "Lists the queries with what became of them.")
  int list(@Mixin KafkaOptions kafka, @Mixin FormatOptions format, @Mixin ResultOptions result) {
    Topics topics = kafka.topics();
    KafkaConnection connection = kafka.connection();
    RecordCodec<SimilarityQuery> queries =
        format.format().codec(RecordType.QUERY, topics.queries() + "-value");
    RecordCodec<QueryStatus> statuses =
        format.format().codec(RecordType.QUERY_STATUS, topics.queriesStatus() + "-value");
    Map<String, ConsumerRecord<byte[], byte[]>> answers =
        TopicScan.newest(connection, topics.queriesStatus());
    List<Listed> listed = new ArrayList<>();
    TopicScan.newest(connection, topics.queries())
        .forEach(
            (id, record) -> listed.add(listed(id, record, answers.get(id), queries, statuses)));
    StringBuilder lines = new StringBuilder();
    for (Listed query : listed) {
      lines
          .append(query.id())
          .append("  ")
          .append(query.state() == null ? "unanswered" : query.state())
          .append(
              query.reason() == null || query.reason().isEmpty() ? "" : " (" + query.reason() + ")")
          .append("  ")
          .append(
              query.minScore() != null
                  ? "score >= " + query.minScore()
                  : query.maxAlertsPerDay() != null
                      ? "a day <= " + query.maxAlertsPerDay()
                      : "rate <= " + query.maxFalsePositiveRate())
          .append("  ")
          .append(String.join(",", query.kinds()))
          .append(query.text() == null ? "" : "  \"" + Failures.oneLine(query.text()) + "\"")
          .append(query.image() ? "  [image]" : "")
          .append(query.unlike().isEmpty() ? "" : "  unlike " + query.unlike().size() + " texts")
          .append(query.enabled() ? "" : "  disabled")
          .append('\n');
    }
    result.print(listed, listed.isEmpty() ? "no queries" : lines.toString().stripTrailing());
    return 0;
  }

  private static Listed listed(
      String id,
      ConsumerRecord<byte[], byte[]> record,
      ConsumerRecord<byte[], byte[]> answer,
      RecordCodec<SimilarityQuery> queries,
      RecordCodec<QueryStatus> statuses) {
    QueryStatus status =
        answer == null ? null : statuses.decode(answer.value(), null, answer.timestamp());
    boolean current = status != null && status.revision() >= record.offset();
    try {
      SimilarityQuery query = queries.decode(record.value(), null, record.timestamp());
      return new Listed(
          id,
          record.offset(),
          query.text(),
          query.image() != null || query.imageUri() != null,
          query.kinds().stream().map(MatchKind::label).toList(),
          query.unlike(),
          query.minScore(),
          query.maxFalsePositiveRate(),
          query.maxAlertsPerDay(),
          query.enabled(),
          current ? status.state().name() : null,
          current ? status.reason() : null);
    } catch (BadInputException e) {
      return new Listed(
          id,
          record.offset(),
          null,
          false,
          List.of(),
          List.of(),
          null,
          null,
          null,
          false,
          "UNREADABLE",
          e.getMessage());
    }
  }

  @Command(name = "remove", description = "Removes queries.")
  int remove(
      @Mixin KafkaOptions kafka,
      @Mixin ResultOptions result,
      @Parameters(arity = "1..*", paramLabel = "ID", description = "Queries to remove.")
          List<String> ids) {
    KafkaConnection connection = kafka.connection();
    String topic = kafka.topics().queries();
    Map<String, ?> known = TopicScan.newest(connection, topic);
    for (String id : ids) {
      if (!known.containsKey(id)) {
        throw new BadInputException("there is no query '" + id + "'; nothing was removed");
      }
    }
    for (String id : ids) {
      send(connection, topic, id, null);
    }
    result.print(new Removed(ids), "removed " + String.join(", ", ids));
    return 0;
  }

  /** Sends one record and returns its offset. */
  static long send(KafkaConnection kafka, String topic, String key, byte[] value) {
    try (KafkaProducer<byte[], byte[]> producer = kafka.producer(Topics.MAX_RECORD_BYTES)) {
      RecordMetadata metadata =
          producer
              .send(new ProducerRecord<>(topic, key.getBytes(StandardCharsets.UTF_8), value))
              .get();
      return metadata.offset();
    } catch (ExecutionException e) {
      throw new BadInputException(
          topic + " did not take the record: " + e.getCause().getMessage(), e.getCause());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted", e);
    }
  }

  /** As in a configuration, or in the form of ISO 8601. */
  static Duration duration(String text) {
    try {
      return Duration.parse(text);
    } catch (DateTimeParseException e) {
      return Durations.parse(text);
    }
  }

  private static byte[] bytes(Path file) throws IOException {
    if (!Files.isRegularFile(file)) {
      throw new BadInputException(file + ": no such file");
    }
    return Files.readAllBytes(file);
  }
}
