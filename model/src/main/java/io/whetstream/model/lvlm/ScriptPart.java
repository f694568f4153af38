package io.whetstream.model.lvlm;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * A part of a TorchScript module: functions, and below a line {@code # methods} methods of the
 * module. Names between at-signs are constants that are filled in when the module is assembled.
 *
 * @param name for messages
 * @param source the text
 * @param constants what the part brings besides the model's own constants, by name
 */
public record ScriptPart(String name, String source, Map<String, String> constants) {
  public ScriptPart {
    constants = Map.copyOf(constants);
  }

  /** The resource {@code name.py} that lies beside a class. */
  public static ScriptPart of(Class<?> beside, String name, Map<String, String> constants) {
    String resource = name + ".py";
    try (InputStream in = beside.getResourceAsStream(resource)) {
      if (in == null) {
        throw new IllegalStateException("there is no part " + resource);
      }
      String source = new String(in.readAllBytes(), StandardCharsets.UTF_8);
      return new ScriptPart(name, source, constants);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** A truth value as scripts write it. */
  public static String bool(boolean value) {
    return value ? "True" : "False";
  }
}
