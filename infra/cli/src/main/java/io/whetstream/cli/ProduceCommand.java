package io.whetstream.cli;

import com.fasterxml.jackson.databind.JsonNode;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.Ids;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.model.BadInputException;
import io.whetstream.model.pairs.JsonLines;
import io.whetstream.model.pairs.LineImage;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.OffsetDateTime;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Pattern;
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
          + " caption_long for pairs, text for items, source, eventTime. From a folder each image"
          + " is a record; its text is in a file of the same name that ends in .txt."
    })
final class ProduceCommand implements Callable<Integer> {
  private static final Pattern URI = Pattern.compile("[A-Za-z][A-Za-z0-9+.-]*://?");
  private static final Pattern PICTURE =
      Pattern.compile("\\.(png|jpe?g|webp|gif|bmp)$", Pattern.CASE_INSENSITIVE);

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
   * @param uri of the image, or null
   * @param image or null
   */
  private record Line(
      String where,
      String id,
      String uri,
      LineImage image,
      String text,
      String longText,
      String source,
      long time) {}

  private Stream<Line> lines() throws IOException {
    if (Files.isDirectory(from)) {
      return folder();
    }
    return JsonLines.read(
        from,
        this::parse,
        bad -> {
          throw bad;
        });
  }

  private Line parse(JsonLines.Line line) {
    JsonNode node = line.object();
    String id = text(node, "id");
    if (id == null) {
      throw line.bad("no id");
    }
    if (!Ids.isShort(id)) {
      throw line.bad(Ids.tooLong(id));
    }
    String caption = text(node, "caption");
    if (caption == null && node.path("captions").path(0).isTextual()) {
      caption = node.path("captions").path(0).asText();
    }
    String longCaption = text(node, "caption_long");
    String image = text(node, "image") == null ? text(node, "imageUri") : text(node, "image");
    String uri = image != null && URI.matcher(image).lookingAt() ? image : null;
    return new Line(
        from + ": line " + line.number(),
        id,
        uri,
        image == null || uri != null ? null : line.image("image", image),
        target == Target.PAIRS ? caption : text(node, "text"),
        longCaption == null ? text(node, "captionLong") : longCaption,
        text(node, "source"),
        time(node.path("eventTime"), line));
  }

  private static long time(JsonNode time, JsonLines.Line line) {
    if (time.isMissingNode() || time.isNull()) {
      return System.currentTimeMillis();
    }
    if (time.isIntegralNumber()) {
      return time.asLong();
    }
    try {
      return OffsetDateTime.parse(time.asText()).toInstant().toEpochMilli();
    } catch (DateTimeParseException e) {
      throw line.bad(
          "eventTime must be milliseconds since 1970 or like 2026-01-31T13:00:00Z, not " + time);
    }
  }

  private static String text(JsonNode node, String field) {
    JsonNode value = node.path(field);
    return value.isTextual() || value.isNumber() ? value.asText() : null;
  }

  private Stream<Line> folder() throws IOException {
    List<Path> found;
    List<Path> hidden = new ArrayList<>();
    try (Stream<Path> walk = Files.walk(from)) {
      found =
          walk.filter(Files::isRegularFile)
              .filter(file -> PICTURE.matcher(file.toString()).find())
              .filter(file -> !isHidden(from.relativize(file)) || !hidden.add(file))
              .sorted()
              .toList();
    }
    if (!hidden.isEmpty()) {
      result.err().printf("left out: %d hidden files, such as %s%n", hidden.size(), hidden.get(0));
    }
    return found.stream().map(this::file);
  }

  /** What systems and version control keep beside pictures, under their names. */
  private static boolean isHidden(Path relative) {
    for (Path part : relative) {
      String name = part.toString();
      if (name.startsWith(".") || name.equals("__MACOSX") || name.equals("CVS")) {
        return true;
      }
    }
    return false;
  }

  private Line file(Path file) {
    Path beside =
        file.resolveSibling(file.getFileName().toString().replaceFirst("\\.[^.]*$", "") + ".txt");
    String text = null;
    try {
      if (Files.exists(beside)) {
        text = Files.readString(beside).strip();
        // A byte order mark, as some editors put it.
        text = text.startsWith("\ufeff") ? text.substring(1).strip() : text;
      }
    } catch (CharacterCodingException e) {
      throw new BadInputException(beside + ": not UTF-8 text; convert it first", e);
    } catch (IOException e) {
      throw new BadInputException(beside + ": cannot be read: " + e.getMessage(), e);
    }
    return new Line(
        file.toString(),
        from.relativize(file).toString(),
        null,
        LineImage.of(file.toAbsolutePath()),
        text,
        null,
        from.toAbsolutePath().normalize().getFileName().toString(),
        System.currentTimeMillis());
  }

  private StreamRecord record(Line line) {
    byte[] bytes = null;
    String uri = line.uri();
    if (line.image() != null) {
      if (images.byUri && line.image().file() != null) {
        uri = line.image().file().toAbsolutePath().normalize().toUri().toString();
      } else {
        bytes = line.image().read(line.where());
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
}
