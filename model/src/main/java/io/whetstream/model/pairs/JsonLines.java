package io.whetstream.model.pairs;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.BadInputException;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * A UTF-8 file, or what comes out of a pipe, with one JSON object a line. A line that is bad, be it
 * for a byte that is not UTF-8, is bad alone.
 */
public final class JsonLines {
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

  private JsonLines() {}

  /**
   * What the lines stand for, lazily, in order; empty lines are passed by. Close the stream.
   *
   * @param parse makes something of a line or throws a {@link BadInputException}
   * @param onBad is handed bad lines, which are passed by unless it throws
   * @throws BadInputException if there is no such file
   */
  public static <T> Stream<T> read(
      Path file, Function<Line, T> parse, Consumer<BadInputException> onBad) {
    if (!Files.exists(file)) {
      throw new BadInputException(LineImage.of(file) + ": no such file");
    }
    if (Files.isDirectory(file)) {
      throw new BadInputException(file + ": a folder, not a file");
    }
    InputStream in;
    try {
      in = Files.newInputStream(file);
    } catch (IOException e) {
      throw new BadInputException(file + ": cannot be read: " + e.getMessage(), e);
    }
    return read(in, file, parse, onBad);
  }

  /**
   * The same of a stream, which is closed with the result.
   *
   * @param file what to call it, and against what its paths are resolved
   */
  public static <T> Stream<T> read(
      InputStream in, Path file, Function<Line, T> parse, Consumer<BadInputException> onBad) {
    BufferedInputStream reader = new BufferedInputStream(in, 1 << 16);
    Iterator<T> rows = new Rows<>(file, reader, parse, onBad);
    return StreamSupport.stream(
            Spliterators.spliteratorUnknownSize(rows, Spliterator.ORDERED | Spliterator.NONNULL),
            false)
        .onClose(
            () -> {
              try {
                reader.close();
              } catch (IOException e) {
                throw new UncheckedIOException(e);
              }
            });
  }

  private static final class Rows<T> implements Iterator<T> {
    private final Path file;
    private final BufferedInputStream reader;
    private final Function<Line, T> parse;
    private final Consumer<BadInputException> onBad;
    private int number;
    private T next;

    Rows(
        Path file,
        BufferedInputStream reader,
        Function<Line, T> parse,
        Consumer<BadInputException> onBad) {
      this.file = file;
      this.reader = reader;
      this.parse = parse;
      this.onBad = onBad;
    }

    @Override
    public boolean hasNext() {
      while (next == null) {
        byte[] bytes = line();
        if (bytes == null) {
          return false;
        }
        try {
          String text = text(bytes);
          if (!text.isBlank()) {
            next = parse.apply(Line.of(file, number, text));
          }
        } catch (BadInputException e) {
          onBad.accept(e);
        }
      }
      return true;
    }

    /** The bytes up to the end of a line or of all; null when there are none. */
    private byte[] line() {
      number++;
      ByteArrayOutputStream line = new ByteArrayOutputStream();
      try {
        int next = reader.read();
        if (next < 0) {
          return null;
        }
        for (; next >= 0 && next != '\n' && next != '\r'; next = reader.read()) {
          line.write(next);
        }
        if (next == '\r') {
          reader.mark(1);
          if (reader.read() != '\n') {
            reader.reset();
          }
        }
        return line.toByteArray();
      } catch (IOException e) {
        throw new UncheckedIOException(file + ": cannot be read", e);
      }
    }

    private String text(byte[] line) {
      try {
        String text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(line)).toString();
        // A byte order mark, as some editors put it.
        return number == 1 && text.startsWith("\ufeff") ? text.substring(1) : text;
      } catch (CharacterCodingException e) {
        throw new BadInputException(
            file + ": line " + number + ": not UTF-8 text; convert the file first", e);
      }
    }

    @Override
    public T next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      T result = next;
      next = null;
      return result;
    }
  }

  /**
   * One line.
   *
   * @param number in the file, from 1
   */
  public record Line(Path file, int number, JsonNode object) {
    static Line of(Path file, int number, String text) {
      JsonNode object;
      try {
        object = JSON.readTree(text);
      } catch (JsonProcessingException e) {
        throw new BadInputException(
            file + ": line " + number + ": not valid JSON: " + e.getOriginalMessage(), e);
      }
      Line line = new Line(file, number, object);
      if (!object.isObject()) {
        throw line.bad("not a JSON object");
      }
      return line;
    }

    /** What is wrong with the line, which it names. */
    public BadInputException bad(String reason) {
      return new BadInputException(file + ": line " + number + ": " + reason);
    }

    String text(String key) {
      String value = optionalText(key);
      if (value == null) {
        throw bad("no \"" + key + "\"");
      }
      return value;
    }

    String optionalText(String key) {
      JsonNode value = object.path(key);
      if (value.isMissingNode() || value.isNull()) {
        return null;
      }
      // Ids and groups are numbers in many data sets.
      if (!value.isTextual() && !value.isIntegralNumber()) {
        throw bad("\"" + key + "\" is " + LineImage.shortened(value.toString()) + ", not text");
      }
      return nonEmpty(key, value.asText());
    }

    private String nonEmpty(String key, String value) {
      if (value.isBlank()) {
        throw bad("\"" + key + "\" is empty");
      }
      return value;
    }

    List<String> texts(String key) {
      JsonNode values = object.path(key);
      if (values.isMissingNode() || values.isNull()) {
        return List.of();
      }
      if (!values.isArray()) {
        throw bad("\"" + key + "\" is not a list");
      }
      List<String> texts = new ArrayList<>();
      for (JsonNode value : values) {
        if (!value.isTextual()) {
          throw bad(
              "\"" + key + "\" holds " + LineImage.shortened(value.toString()) + ", not text");
        }
        texts.add(nonEmpty(key, value.asText()));
      }
      return texts;
    }

    LineImage image(String key) {
      return image(key, text(key));
    }

    /** The image that a key's value names or holds. */
    public LineImage image(String key, String value) {
      try {
        LineImage inline = LineImage.inline(value);
        return inline != null ? inline : LineImage.of(resolved(value));
      } catch (InvalidPathException e) {
        throw bad("\"" + key + "\" is no path: " + LineImage.shortened(e.getMessage()) + remedy(e));
      } catch (BadInputException e) {
        throw bad("\"" + key + "\": " + e.getMessage());
      }
    }

    /** Paths are relative to the file; to the working directory where it is a pipe. */
    private Path resolved(String value) {
      return Files.isRegularFile(file) && !file.startsWith("/dev") && !file.startsWith("/proc")
          ? file.resolveSibling(value)
          : Path.of(value);
    }

    /** Java takes file names as the locale writes them. */
    private static String remedy(InvalidPathException e) {
      return e.getMessage().contains("unmappable") ? " (set LC_ALL=C.UTF-8)" : "";
    }
  }
}
