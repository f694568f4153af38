package io.whetstream.deploy;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Files of the repository, as trees. */
final class Yaml {
  static final Path ROOT = Path.of("../..").toAbsolutePath().normalize();

  private static final YAMLMapper MAPPER =
      new YAMLMapper(
          YAMLFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build());

  private Yaml() {}

  /** All documents of a file. */
  static List<JsonNode> all(Path file) throws IOException {
    return all(Files.readString(file));
  }

  /** The only document of a file. */
  static JsonNode one(Path file) throws IOException {
    List<JsonNode> all = all(file);
    if (all.size() != 1) {
      throw new IOException(file + ": " + all.size() + " documents");
    }
    return all.get(0);
  }

  /** The documents of a text. */
  static List<JsonNode> all(String text) throws IOException {
    List<JsonNode> documents = new ArrayList<>();
    try (JsonParser parser = MAPPER.createParser(text)) {
      for (JsonNode next = MAPPER.readTree(parser); next != null; next = MAPPER.readTree(parser)) {
        documents.add(next);
      }
    }
    return documents;
  }
}
