package io.whetstream.deploy;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.jar.JarFile;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.FallbackKey;

/** Flink's options, as strings, and whether Flink knows them and takes their values. */
final class FlinkOptions {
  private static final Map<String, ConfigOption<?>> KNOWN = known();

  private FlinkOptions() {}

  /**
   * What the entrypoint of Flink's images makes of {@code FLINK_PROPERTIES}: of each line that is
   * not empty, all blanks taken out, key and value at the first colon.
   */
  static Map<String, String> ofEntrypoint(String properties) {
    Map<String, String> options = new TreeMap<>();
    for (String line : properties.split("\n")) {
      String tight = line.replaceAll("\\s", "");
      if (!tight.isEmpty()) {
        int colon = tight.indexOf(':');
        options.put(
            colon < 0 ? tight : tight.substring(0, colon),
            colon < 0 ? "" : tight.substring(colon + 1));
      }
    }
    return options;
  }

  /**
   * Looks at each option.
   *
   * @throws IllegalArgumentException if Flink does not know one, cannot take its value, or would
   *     drop one, whose key is the beginning of another, when it writes them as nested YAML
   */
  static void check(Map<String, String> options) {
    options.forEach(
        (key, value) -> {
          for (String other : options.keySet()) {
            if (other.startsWith(key + ".")) {
              throw new IllegalArgumentException(key + " is the beginning of " + other);
            }
          }
          if (key.matches("metrics\\.reporter\\.\\w+\\.(factory\\.class|port)")
              // Of the Kubernetes operator and of plug-ins, which are not in Flink's archives.
              || key.matches("(kubernetes\\.operator|job\\.autoscaler|external-resource)\\..+")) {
            return;
          }
          ConfigOption<?> option = KNOWN.get(key);
          if (option == null) {
            throw new IllegalArgumentException("Flink knows no option '" + key + "'");
          }
          Configuration one = new Configuration();
          one.setString(key, value);
          one.get(option);
        });
  }

  private static Map<String, ConfigOption<?>> known() {
    Map<String, ConfigOption<?>> known = new HashMap<>();
    Path archive =
        Path.of(Configuration.class.getProtectionDomain().getCodeSource().getLocation().getPath());
    try (JarFile jar = new JarFile(archive.toFile())) {
      for (var entry : jar.stream().toList()) {
        if (entry.getName().matches("org/apache/flink/configuration/\\w+Options.class")) {
          add(Class.forName(entry.getName().replace('/', '.').replaceAll("\\.class$", "")), known);
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException(e);
    }
    return known;
  }

  private static void add(Class<?> options, Map<String, ConfigOption<?>> known)
      throws ReflectiveOperationException {
    for (Field field : options.getDeclaredFields()) {
      if (Modifier.isStatic(field.getModifiers())
          && Modifier.isPublic(field.getModifiers())
          && field.getType() == ConfigOption.class) {
        ConfigOption<?> option = (ConfigOption<?>) field.get(null);
        known.put(option.key(), option);
        for (FallbackKey fallback : option.fallbackKeys()) {
          known.putIfAbsent(fallback.getKey(), option);
        }
      }
    }
  }
}
