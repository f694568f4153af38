package io.whetstream.cli;

import io.whetstream.jobs.config.ConfigLoader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.RecordComponent;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A table of all keys of a configuration record: names and defaults from the record, meanings from
 * the {@code @param} tags in its source.
 */
final class ConfigurationDoc {
  private static final Path SOURCES = Path.of("..", "..", "jobs", "src", "main", "java");

  private final StringBuilder table = new StringBuilder();
  private final Map<String, String> values;

  private ConfigurationDoc(Record defaults) {
    values = ConfigLoader.flatten(defaults);
  }

  static String table(Record defaults) {
    ConfigurationDoc doc = new ConfigurationDoc(defaults);
    doc.table.append("| key | default | what |\n|---|---|---|\n");
    doc.section(defaults.getClass(), "");
    return doc.table.toString();
  }

  private void section(Class<?> type, String prefix) {
    String comment = comment(type);
    for (RecordComponent component : type.getRecordComponents()) {
      String key = prefix + component.getName();
      if (ConfigLoader.isSection(component.getType())) {
        section(component.getType(), key + ".");
        continue;
      }
      boolean map = Map.class.isAssignableFrom(component.getType());
      String value = map ? "{}" : values.get(key);
      table
          .append("| `")
          .append(key)
          .append(value.isEmpty() ? "` |  | " : "` | `" + value + "` | ")
          .append(meaning(comment, component.getName(), type).replace("|", "\\|"))
          .append(" |\n");
    }
  }

  /** The comment before a record in its source. */
  private static String comment(Class<?> type) {
    Class<?> outer = type.getEnclosingClass() == null ? type : type.getEnclosingClass();
    String source;
    try {
      source = Files.readString(SOURCES.resolve(outer.getName().replace('.', '/') + ".java"));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    Matcher record = Pattern.compile("\\brecord " + type.getSimpleName() + "\\b").matcher(source);
    if (!record.find()) {
      throw new AssertionError("no record " + type.getSimpleName() + " in its source");
    }
    int end = source.lastIndexOf("*/", record.start());
    return source.substring(source.lastIndexOf("/**", end), end);
  }

  private static String meaning(String comment, String name, Class<?> type) {
    Matcher tag =
        Pattern.compile("@param " + name + "\\s(.*?)(?=\\n\\s*\\*\\s*@|\\Z)", Pattern.DOTALL)
            .matcher(comment);
    if (!tag.find()) {
      throw new AssertionError(
          "say in a @param tag of " + type.getName() + " what '" + name + "' means");
    }
    return markdown(tag.group(1).replaceAll("\\n\\s*\\*", " ").replaceAll("\\s+", " ").strip());
  }

  /** Inline tags become code; what they hold may have braces of its own. */
  private static String markdown(String text) {
    Matcher tag = Pattern.compile("\\{@\\w+ ").matcher(text);
    StringBuilder out = new StringBuilder();
    int at = 0;
    while (tag.find(at)) {
      int end = tag.end();
      for (int depth = 1; depth > 0; end++) {
        depth += text.charAt(end) == '{' ? 1 : text.charAt(end) == '}' ? -1 : 0;
      }
      String inside = text.substring(tag.end(), end - 1).strip();
      out.append(text, at, tag.start()).append('`');
      out.append(inside.substring(inside.lastIndexOf('#') + 1)).append('`');
      at = end;
    }
    return out.append(text.substring(at)).toString();
  }
}
