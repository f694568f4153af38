package io.whetstream.model.pairs;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.BadInputException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
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

/** A UTF-8 file with one JSON object a line. */
final class JsonLines {
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

  private JsonLines() {}

  static <T> Stream<T> read(Path file, Function<Line, T> parse, Consumer<BadInputException> onBad) {
    if (!Files.isRegularFile(file)) {
      throw new BadInputException(file + ": no such file");
    }
    BufferedReader reader;
    try {
      reader =
          new BufferedReader(
              new InputStreamReader(
                  Files.newInputStream(file), StandardCharsets.UTF_8.newDecoder()));
    } catch (IOException e) {
      throw new BadInputException(file + ": cannot be read: " + e.getMessage(), e);
    }
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
    private final BufferedReader reader;
    private final Function<Line, T> parse;
    private final Consumer<BadInputException> onBad;
    private int number;
    private T next;

    Rows(
        Path file,
        BufferedReader reader,
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
        String text = line();
        if (text == null) {
          return false;
        }
        if (!text.isBlank()) {
          try {
            next = parse.apply(Line.of(file, number, text));
          } catch (BadInputException e) {
            onBad.accept(e);
          }
        }
      }
      return true;
    }

    private String line() {
      number++;
      try {
        String text = reader.readLine();
        // A byte order mark, as some editors put it.
        return number == 1 && text != null && text.startsWith("\ufeff") ? text.substring(1) : text;
      } catch (CharacterCodingException e) {
        throw new BadInputException(
            file + ": not UTF-8 text at or soon after line " + number + "; convert it first", e);
      } catch (IOException e) {
        throw new UncheckedIOException(file + ": cannot be read", e);
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

  /** One line. */
  record Line(Path file, int number, JsonNode object) {
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

    BadInputException bad(String reason) {
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
        throw bad("\"" + key + "\" is " + value + ", not text");
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
          throw bad("\"" + key + "\" holds " + value + ", not text");
        }
        texts.add(nonEmpty(key, value.asText()));
      }
      return texts;
    }

    Path path(String key) {
      String value = text(key);
      try {
        return file.resolveSibling(value);
      } catch (InvalidPathException e) {
        throw bad("\"" + key + "\" is no path: " + e.getMessage());
      }
    }
  }
}
