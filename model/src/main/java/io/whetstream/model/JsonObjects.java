package io.whetstream.model;

import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** JSON files of a model directory. */
public final class JsonObjects {
  /** Python writes NaN and Infinity, which JSON does not have; a key that is read refuses them. */
  private static final ObjectMapper JSON =
      JsonMapper.builder().enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS).build();

  private JsonObjects() {}

  /**
   * Reads a file that holds one JSON object.
   *
   * @throws BadInputException naming the file, if it cannot be read or holds something else
   */
  public static ObjectNode read(Path file) {
    try {
      byte[] bytes = Files.readAllBytes(file);
      LfsPointer.refuse(file, bytes);
      if (JSON.readTree(bytes) instanceof ObjectNode object) {
        return object;
      }
      throw new BadInputException(file + ": not a JSON object");
    } catch (IOException e) {
      String reason = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
      throw new BadInputException(file + ": not valid JSON: " + reason, e);
    }
  }
}
