package io.whetstream.jobs.config;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.cfg.CoercionAction;
import com.fasterxml.jackson.databind.cfg.CoercionInputShape;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import com.fasterxml.jackson.databind.type.LogicalType;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import com.fasterxml.jackson.dataformat.yaml.YAMLGenerator;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import io.whetstream.connectors.Secrets;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.lang.reflect.RecordComponent;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Reads a configuration record from YAML laid over its defaults.
 *
 * <p>The keys are the names of the record's components; a component that is itself a record is a
 * section, a {@code Map} takes any keys. What the file does not name keeps its default. A key that
 * does not exist, a value of the wrong type and a value out of range are errors that name the key.
 * Overrides ({@code training.globalBatch=128}) are laid on top in order. Nothing is taken from
 * environment variables.
 *
 * @param <T> the configuration record
 */
public final class ConfigLoader<T extends Record> {
  private static final YAMLMapper MAPPER = mapper();

  private final T defaults;

  /** A loader whose defaults are those of {@code defaults}. */
  public ConfigLoader(T defaults) {
    this.defaults = defaults;
  }

  /**
   * Reads a file.
   *
   * @param overrides {@code key=value} each, the key with dots between sections; the value is YAML
   * @throws BadInputException if the file or an override cannot be used
   */
  public T load(Path file, List<String> overrides) {
    try {
      return parse(Files.readString(file), file.toString(), overrides);
    } catch (NoSuchFileException e) {
      throw new BadInputException("configuration file " + file + " does not exist", e);
    } catch (IOException e) {
      throw new BadInputException("configuration file " + file + ": " + e.getMessage(), e);
    }
  }

  /**
   * Reads a text.
   *
   * @param where how errors call the text, for example its file
   * @throws BadInputException if the text or an override cannot be used
   */
  public T parse(String yaml, String where, List<String> overrides) {
    ObjectNode tree = MAPPER.valueToTree(defaults);
    JsonNode given = yaml.isBlank() ? null : readTree(yaml, where);
    if (given != null && !given.isNull() && !given.isMissingNode()) {
      overlay(tree, given, defaults.getClass(), "", where);
    }
    for (String override : overrides) {
      apply(tree, override);
    }
    try {
      @SuppressWarnings("unchecked")
      T config = (T) MAPPER.treeToValue(tree, defaults.getClass());
      return config;
    } catch (JsonMappingException e) {
      throw explain(e, where);
    } catch (JsonProcessingException e) {
      throw new BadInputException(where + ": " + e.getOriginalMessage(), e);
    }
  }

  /** An override that gives a key this very text, whatever YAML would make of it. */
  public static String setting(String key, String text) {
    return key + "='" + text.replace("'", "''") + "'";
  }

  /** The configuration as YAML, every key written out, values of secret keys masked. */
  public static String render(Record config) {
    JsonNode tree = MAPPER.valueToTree(config);
    mask(tree);
    try {
      return MAPPER.writeValueAsString(tree);
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("a configuration record must be writable", e);
    }
  }

  /** All values of a configuration by their full keys, in the order of the record. */
  public static Map<String, String> flatten(Record config) {
    Map<String, String> values = new LinkedHashMap<>();
    flatten(MAPPER.valueToTree(config), "", values);
    return values;
  }

  private static void flatten(JsonNode node, String path, Map<String, String> values) {
    if (node.isObject()) {
      node.properties()
          .forEach(entry -> flatten(entry.getValue(), join(path, entry.getKey()), values));
    } else {
      values.put(path, node.isValueNode() ? node.asText() : node.toString());
    }
  }

  private static JsonNode readTree(String yaml, String where) {
    try {
      return MAPPER.readTree(yaml);
    } catch (JsonProcessingException e) {
      String line = e.getLocation() == null ? "" : " line " + e.getLocation().getLineNr();
      throw new BadInputException(
          where + line + " is not valid YAML: " + firstLine(e.getOriginalMessage()), e);
    }
  }

  private static void overlay(
      ObjectNode target, JsonNode given, Class<?> type, String path, String where) {
    if (!given.isObject()) {
      throw new BadInputException(
          where
              + ": "
              + (path.isEmpty() ? "the configuration" : path)
              + " must be a section with keys "
              + names(type));
    }
    for (Map.Entry<String, JsonNode> entry : given.properties()) {
      String key = join(path, entry.getKey());
      RecordComponent component = component(type, entry.getKey(), path, where);
      JsonNode value = entry.getValue();
      if (isSection(component.getType())) {
        if (!empty(value)) {
          overlay((ObjectNode) target.get(entry.getKey()), value, component.getType(), key, where);
        }
      } else {
        set(target, component, value, key, where);
      }
    }
  }

  /** Whether values of the type are written as keys of their own. */
  public static boolean isSection(Class<?> type) {
    return type.isRecord() && type != ByteSize.class && type != ChunkSize.class;
  }

  /** {@code key:} with nothing behind it. */
  private static boolean empty(JsonNode value) {
    return value.isNull() || (value.isTextual() && value.textValue().isBlank());
  }

  private static void set(
      ObjectNode target, RecordComponent component, JsonNode value, String key, String where) {
    if (value.isNull() || (empty(value) && !component.getType().equals(String.class))) {
      throw new BadInputException(
          where + ": " + key + " has no value; leave the key out to keep its default");
    }
    if (Map.class.isAssignableFrom(component.getType())) {
      if (!value.isObject()) {
        throw new BadInputException(where + ": " + key + " must be a section of key: value lines");
      }
      ((ObjectNode) target.get(component.getName())).setAll((ObjectNode) value);
    } else {
      target.set(component.getName(), value);
    }
  }

  private void apply(ObjectNode tree, String override) {
    int equals = override.indexOf('=');
    if (equals < 1) {
      throw new BadInputException(
          "-D " + override + " must be key=value, for example training.globalBatch=128");
    }
    String key = override.substring(0, equals).strip();
    String text = override.substring(equals + 1).strip();
    JsonNode value = text.isEmpty() ? TextNode.valueOf("") : readTree(text, "-D " + key);
    List<String> parts = new ArrayList<>(Arrays.asList(key.split("\\.", -1)));
    ObjectNode target = tree;
    Class<?> type = defaults.getClass();
    String path = "";
    while (true) {
      String name = parts.remove(0);
      RecordComponent component = component(type, name, path, "-D " + key);
      path = join(path, name);
      boolean section = isSection(component.getType());
      if (parts.isEmpty()) {
        if (section) {
          overlay((ObjectNode) target.get(name), value, component.getType(), path, "-D " + key);
        } else {
          set(target, component, value, path, "-D " + key);
        }
        return;
      }
      if (Map.class.isAssignableFrom(component.getType())) {
        ((ObjectNode) target.get(name)).set(String.join(".", parts), value);
        return;
      }
      if (!section) {
        throw new BadInputException("-D " + key + ": " + path + " is a value, not a section");
      }
      target = (ObjectNode) target.get(name);
      type = component.getType();
    }
  }

  private static RecordComponent component(Class<?> type, String name, String path, String where) {
    for (RecordComponent component : type.getRecordComponents()) {
      if (component.getName().equals(name)) {
        return component;
      }
    }
    String nearest =
        Nearest.of(
            name, Arrays.stream(type.getRecordComponents()).map(RecordComponent::getName).toList());
    throw new BadInputException(
        where
            + ": unknown key '"
            + join(path, name)
            + "'; the nearest known key is '"
            + join(path, nearest)
            + "' (known here: "
            + names(type)
            + ")");
  }

  private static String names(Class<?> type) {
    return Arrays.stream(type.getRecordComponents())
        .map(RecordComponent::getName)
        .collect(Collectors.joining(", "));
  }

  private static String join(String path, String name) {
    return path.isEmpty() ? name : path + "." + name;
  }

  private static BadInputException explain(JsonMappingException e, String where) {
    String key =
        e.getPath().stream()
            .map(part -> part.getFieldName() == null ? "[]" : part.getFieldName())
            .collect(Collectors.joining("."));
    for (Throwable cause = e; cause != null; cause = cause.getCause()) {
      if (cause instanceof BadInputException bad) {
        // A section names the key it refuses; a single value does not know its own.
        boolean named = key.isEmpty() || bad.getMessage().startsWith(key);
        return new BadInputException(
            where + ": " + (named ? "" : key + ": ") + bad.getMessage(), bad);
      }
    }
    return new BadInputException(where + ": " + key + ": " + firstLine(e.getOriginalMessage()), e);
  }

  private static String firstLine(String message) {
    int end = message.indexOf('\n');
    return end < 0 ? message : message.substring(0, end);
  }

  private static void mask(JsonNode node) {
    if (node instanceof ObjectNode object) {
      for (Map.Entry<String, JsonNode> entry : object.properties()) {
        // Secrets are texts; a number such as nextTokenWeight is none.
        if (entry.getValue().isTextual()) {
          String text = entry.getValue().textValue();
          entry.setValue(
              TextNode.valueOf(
                  Secrets.isSecret(entry.getKey()) ? Secrets.MASK : Secrets.maskUri(text)));
        } else {
          mask(entry.getValue());
        }
      }
    }
  }

  private static YAMLMapper mapper() {
    YAMLMapper mapper =
        YAMLMapper.builder(
                YAMLFactory.builder()
                    .enable(YAMLGenerator.Feature.MINIMIZE_QUOTES)
                    .disable(YAMLGenerator.Feature.WRITE_DOC_START_MARKER)
                    .build())
            .addModule(Durations.module())
            .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
            .enable(DeserializationFeature.FAIL_ON_READING_DUP_TREE_KEY)
            .enable(MapperFeature.ACCEPT_CASE_INSENSITIVE_ENUMS)
            .withCoercionConfig(
                LogicalType.Integer,
                config ->
                    config
                        .setCoercion(CoercionInputShape.Float, CoercionAction.Fail)
                        .setCoercion(CoercionInputShape.EmptyString, CoercionAction.Fail))
            .withCoercionConfig(
                LogicalType.Boolean,
                config -> config.setCoercion(CoercionInputShape.Integer, CoercionAction.Fail))
            .build();
    return mapper;
  }
}
