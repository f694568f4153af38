package io.whetstream.model.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.MissingNode;
import io.whetstream.model.BadInputException;
import io.whetstream.model.JsonObjects;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * Typed access to the keys of one object of a {@code config.json}; errors name file and key. A
 * {@code null} counts as missing, as it does in transformers for the keys that are read here.
 */
final class ConfigKeys {
  private static final Set<String> ACTIVATIONS =
      Set.of("quick_gelu", "gelu", "gelu_pytorch_tanh", "gelu_new", "silu", "swish", "relu");

  private final Path file;
  private final String path;
  private final JsonNode node;

  private ConfigKeys(Path file, String path, JsonNode node) {
    this.file = file;
    this.path = path;
    this.node = node;
    if (!node.isObject() && !node.isMissingNode()) {
      throw new BadInputException(
          file + ": " + path.substring(0, path.length() - 1) + ": not a JSON object");
    }
  }

  /** The whole file. */
  static ConfigKeys of(Path file) {
    if (!Files.isRegularFile(file)) {
      throw new BadInputException(
          file + ": no such file; a model is a Hugging Face directory with config.json");
    }
    return new ConfigKeys(file, "", JsonObjects.read(file));
  }

  /** An object inside this one; one without keys if it is missing. */
  ConfigKeys object(String key) {
    JsonNode inner = present(key);
    return new ConfigKeys(
        file,
        path + key + ".",
        inner.isMissingNode() ? new ObjectMapper().createObjectNode() : inner);
  }

  Path file() {
    return file;
  }

  boolean has(String key) {
    return !present(key).isMissingNode();
  }

  /** Whether a key is written down as {@code null}, where that is another thing than missing. */
  boolean isNull(String key) {
    return node.path(key).isNull();
  }

  BadInputException bad(String key, String reason) {
    return new BadInputException(file + ": " + path + key + ": " + reason);
  }

  /** Refuses what a part does not have a fitting form of. */
  BadInputException unsupported(String key, String value, String supported) {
    return new BadInputException(
        file + ": " + path + key + " " + value + " is not supported; supported: " + supported);
  }

  JsonNode present(String key) {
    JsonNode value = node.path(key);
    return value.isNull() ? MissingNode.getInstance() : value;
  }

  void divides(String key, int part, int whole) {
    if (whole % part != 0) {
      throw bad(key, part + " does not divide " + whole);
    }
  }

  /** A list of whole numbers. */
  List<Integer> integers(String key, List<Integer> otherwise) {
    JsonNode value = present(key);
    if (value.isMissingNode()) {
      return otherwise;
    }
    List<Integer> numbers = new ArrayList<>();
    for (JsonNode number : value) {
      if (!number.isIntegralNumber() || !number.canConvertToInt()) {
        throw wrong(key, "a list of whole numbers");
      }
      numbers.add(number.asInt());
    }
    if (!value.isArray()) {
      throw wrong(key, "a list of whole numbers");
    }
    return List.copyOf(numbers);
  }

  private BadInputException wrong(String key, String wanted) {
    return bad(key, node.path(key) + " is not " + wanted);
  }

  int integer(String key, int otherwise) {
    JsonNode value = present(key);
    if (value.isMissingNode()) {
      return otherwise;
    }
    // Some programs write whole numbers as 512.0.
    if (!value.isNumber() || value.asDouble() != value.asInt()) {
      throw wrong(key, "a whole number");
    }
    return value.asInt();
  }

  int firstInteger(String key, int otherwise) {
    JsonNode value = present(key);
    if (!value.isArray()) {
      return integer(key, otherwise);
    }
    if (!value.path(0).canConvertToInt()) {
      throw wrong(key, "a list of whole numbers");
    }
    return value.get(0).asInt();
  }

  int positive(String key, int otherwise) {
    int value = integer(key, otherwise);
    if (value <= 0) {
      throw wrong(key, "above zero");
    }
    return value;
  }

  double epsilon(String key, double otherwise) {
    JsonNode value = present(key);
    if (value.isMissingNode()) {
      return otherwise;
    }
    if (!value.isNumber() || !(value.asDouble() > 0) || Double.isInfinite(value.asDouble())) {
      throw wrong(key, "a number above zero");
    }
    return value.asDouble();
  }

  double required(String key) {
    if (present(key).isMissingNode()) {
      throw bad(key, "missing");
    }
    return epsilon(key, 1);
  }

  boolean bool(String key, boolean otherwise) {
    JsonNode value = present(key);
    if (value.isMissingNode()) {
      return otherwise;
    }
    if (!value.isBoolean()) {
      throw wrong(key, "true or false");
    }
    return value.asBoolean();
  }

  String string(String key, String otherwise) {
    JsonNode value = present(key);
    if (value.isMissingNode()) {
      return otherwise;
    }
    if (!value.isTextual()) {
      throw wrong(key, "text");
    }
    return value.asText();
  }

  String activation(String key, String otherwise) {
    String value = string(key, otherwise);
    if (!ACTIVATIONS.contains(value)) {
      throw bad(
          key,
          "activation '"
              + value
              + "' is not supported; supported: "
              + ACTIVATIONS.stream().sorted().toList());
    }
    return value;
  }
}
