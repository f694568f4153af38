package io.whetstream.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.Ids;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.model.BadInputException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.OffsetDateTime;
import java.time.format.DateTimeParseException;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code whetstream produce}: pairs or items from a file or a folder to Kafka. */
@Command(
    name = "produce",
    description = {
      "Sends pairs or items to Kafka.",
      "A file has a JSON object a line: id, image (a path relative to the file, or a URI), caption,"
          + " caption_long for pairs, text for items, source, eventTime. From a folder each image is"
          + " a record; its text is in a file of the same name that ends in .txt."
    })
final class ProduceCommand implements Callable<Integer> {
  private static final ObjectMapper JSON = new ObjectMapper();

  /** What goes where. */
  enum Target {
    PAIRS,
    ITEMS
  }

  /** How images travel. */
  static final class Images {
    @Option(names = "--inline", description = "Send the images themselves (default).")
    boolean inline;

    @Option(names = "--by-uri", description = "Send the images' URIs.")
    boolean byUri;
  }

  /** The result with {@code --json}. */
  record Result(String topic, long sent, double seconds) {}

  @Mixin private KafkaOptions kafka;
  @Mixin private FormatOptions format;
  @Mixin private ResultOptions result;

  @Option(names = "--topic", required = true, description = "pairs or items.")
  private Target target;

  @Option(
      names = "--from",
      required = true,
      paramLabel = "FILE|FOLDER",
      description = "A file of JSON lines, or a folder of images.")
  private Path from;

  @Option(
      names = "--rate",
      paramLabel = "N",
      defaultValue = "0",
      description = "Records a second (default: as fast as possible).")
  private double rate;

  @Option(
      names = "--limit",
      paramLabel = "N",
      defaultValue = "9223372036854775807",
      description = "At most so many (default: all).")
  private long limit;

  @ArgGroup private Images images = new Images();

  @Override
  public Integer call() throws IOException {
    if (rate < 0 || limit < 0) {
      throw new BadInputException("--rate and --limit must not be negative");
    }
    Topics topics = kafka.topics();
    String topic = target == Target.PAIRS ? topics.pairs() : topics.items();
    long start = System.nanoTime();
    long sent;
    if (target == Target.PAIRS) {
      sent = send(topic, RecordType.PAIR);
    } else {
      sent = send(topic, RecordType.ITEM);
    }
    double seconds = (System.nanoTime() - start) / 1e9;
    result.print(
        new Result(topic, sent, seconds),
        String.format(Locale.ROOT, "%d records to %s in %.1f s", sent, topic, seconds));
    return 0;
  }

  private <T extends StreamRecord> long send(String topic, RecordType<T> type) throws IOException {
    RecordCodec<T> codec = format.format().codec(type, topic + "-value");
    AtomicReference<Exception> failure = new AtomicReference<>();
    long start = System.nanoTime();
    long sent = 0;
    try (Stream<Line> lines = lines();
        KafkaProducer<byte[], byte[]> producer =
            kafka.connection().producer(Topics.MAX_RECORD_BYTES)) {
      Iterator<Line> each = lines.iterator();
      while (sent < limit && failure.get() == null && each.hasNext()) {
        T record = type.javaClass().cast(record(each.next()));
        producer.send(
            // Kafka's timestamp is that of sending: by event time a broker would take old events
            // for expired, and delete them before they are read.
            new ProducerRecord<>(
                topic, record.key().getBytes(StandardCharsets.UTF_8), codec.encode(record)),
            (metadata, problem) -> {
              if (problem != null) {
                failure.compareAndSet(null, problem);
              }
            });
        sent++;
        if (rate > 0) {
          long due = start + (long) (sent * 1e9 / rate);
          for (long left = due - System.nanoTime(); left > 0; left = due - System.nanoTime()) {
            LockSupport.parkNanos(left);
          }
        }
      }
      producer.flush();
    }
    if (failure.get() != null) {
      throw new BadInputException(
          topic + " did not take a record: " + failure.get().getMessage(), failure.get());
    }
    return sent;
  }

  /**
   * What a line or a file of a folder says.
   *
   * @param image path or URI, or null
   */
  private record Line(
      String where,
      Path base,
      String id,
      String image,
      String text,
      String longText,
      String source,
      long time) {}

  private Stream<Line> lines() throws IOException {
    if (Files.isDirectory(from)) {
      return folder();
    }
    if (!Files.isRegularFile(from)) {
      throw new BadInputException(from + ": no such file or folder");
    }
    BufferedReader reader = Files.newBufferedReader(from);
    long[] number = {0};
    return reader
        .lines()
        .map(text -> parse(text, ++number[0]))
        .filter(line -> line != null)
        .onClose(
            () -> {
              try {
                reader.close();
              } catch (IOException e) {
                throw new UncheckedIOException(e);
              }
            });
  }

  private Line parse(String text, long number) {
    if (text.isBlank()) {
      return null;
    }
    String where = from + ", line " + number;
    JsonNode node;
    try {
      node = JSON.readTree(text);
    } catch (JsonProcessingException e) {
      throw new BadInputException(where + " is not JSON: " + e.getOriginalMessage(), e);
    }
    String id = text(node, "id");
    if (id == null) {
      throw new BadInputException(where + " has no id");
    }
    if (!Ids.isShort(id)) {
      throw new BadInputException(where + ": " + Ids.tooLong(id));
    }
    String caption = text(node, "caption");
    if (caption == null && node.path("captions").path(0).isTextual()) {
      caption = node.path("captions").path(0).asText();
    }
    String longCaption = text(node, "caption_long");
    return new Line(
        where,
        from.toAbsolutePath().getParent(),
        id,
        text(node, "image") == null ? text(node, "imageUri") : text(node, "image"),
        target == Target.PAIRS ? caption : text(node, "text"),
        longCaption == null ? text(node, "captionLong") : longCaption,
        text(node, "source"),
        time(node.path("eventTime"), where));
  }

  private static long time(JsonNode time, String where) {
    if (time.isMissingNode() || time.isNull()) {
      return System.currentTimeMillis();
    }
    if (time.isIntegralNumber()) {
      return time.asLong();
    }
    try {
      return OffsetDateTime.parse(time.asText()).toInstant().toEpochMilli();
    } catch (DateTimeParseException e) {
      throw new BadInputException(
          where
              + ": eventTime must be milliseconds since 1970 or like 2026-01-31T13:00:00Z, not "
              + time,
          e);
    }
  }

  private static String text(JsonNode node, String field) {
    JsonNode value = node.path(field);
    return value.isTextual() || value.isNumber() ? value.asText() : null;
  }

  private Stream<Line> folder() throws IOException {
    List<Path> found;
    try (Stream<Path> walk = Files.walk(from)) {
      found =
          walk.filter(Files::isRegularFile)
              .filter(
                  file ->
                      file.toString()
                          .toLowerCase(Locale.ROOT)
                          .matches(".*\\.(png|jpe?g|webp|gif|bmp)"))
              .sorted()
              .toList();
    }
    return found.stream()
        .map(
            file -> {
              Path beside =
                  file.resolveSibling(
                      file.getFileName().toString().replaceFirst("\\.[^.]*$", "") + ".txt");
              try {
                return new Line(
                    file.toString(),
                    from,
                    from.relativize(file).toString(),
                    file.toAbsolutePath().toString(),
                    Files.exists(beside) ? Files.readString(beside).strip() : null,
                    null,
                    from.getFileName().toString(),
                    System.currentTimeMillis());
              } catch (IOException e) {
                throw new BadInputException(beside + ": cannot be read: " + e.getMessage(), e);
              }
            });
  }

  private StreamRecord record(Line line) {
    byte[] bytes = null;
    String uri = null;
    if (line.image() != null) {
      if (line.image().matches("[A-Za-z][A-Za-z0-9+.-]*://?.*")) {
        uri = line.image();
      } else {
        Path file = line.base().resolve(line.image());
        if (images.byUri) {
          uri = file.toAbsolutePath().normalize().toUri().toString();
        } else {
          bytes = read(file, line.where());
        }
      }
    }
    try {
      return target == Target.PAIRS
          ? new ImageTextPair(
              line.id(),
              uri,
              null,
              line.text(),
              line.longText(),
              line.source(),
              line.time(),
              bytes,
              null)
          : new Item(line.id(), uri, null, line.text(), line.source(), line.time(), bytes, null);
    } catch (BadInputException e) {
      throw new BadInputException(line.where() + ": " + e.getMessage(), e);
    }
  }

  private static byte[] read(Path file, String where) {
    try {
      return Files.readAllBytes(file);
    } catch (IOException e) {
      throw new BadInputException(where + ": image " + file + " cannot be read", e);
    }
  }
}
