package io.whetstream.connectors.format;

import io.whetstream.model.BadInputException;
import java.util.HashMap;
import java.util.Map;

/**
 * Which places of a JSON document hold which fields, as a tree that is walked beside the parser.
 * Paths: {@code $.a.b}, {@code a.b}, {@code $['a b']}, {@code $.a[0].b}.
 */
final class FieldMap {
  /** A place: a field's value, or the way to others. */
  static final class Node {
    private final Map<String, Node> members = new HashMap<>();
    private final Map<Integer, Node> elements = new HashMap<>();
    private int field = -1;

    Node member(String name) {
      return members.get(name);
    }

    Node element(int index) {
      return elements.get(index);
    }

    /** Index of the field that lies here, or -1. */
    int field() {
      return field;
    }
  }

  private final Node root = new Node();

  FieldMap(RecordShape shape, Map<String, String> paths) {
    for (int i = 0; i < shape.size(); i++) {
      String name = shape.field(i).name();
      add(paths.getOrDefault(name, "$['" + name + "']"), i);
    }
  }

  Node root() {
    return root;
  }

  private void add(String path, int field) {
    Node node = root;
    int i = path.startsWith("$") ? 1 : 0;
    boolean first = i == 0;
    while (i < path.length()) {
      char c = path.charAt(i);
      if (c == '[') {
        int end = path.indexOf(']', i);
        String inside = end < 0 ? "" : path.substring(i + 1, end);
        if (inside.length() > 2 && inside.matches("'.*'|\".*\"")) {
          node =
              node.members.computeIfAbsent(
                  inside.substring(1, inside.length() - 1), k -> new Node());
        } else if (inside.matches("[0-9]{1,6}")) {
          node = node.elements.computeIfAbsent(Integer.valueOf(inside), k -> new Node());
        } else {
          throw bad(path);
        }
        i = end + 1;
      } else if (c == '.' || first) {
        int from = c == '.' ? i + 1 : i;
        int end = from;
        while (end < path.length() && path.charAt(end) != '.' && path.charAt(end) != '[') {
          end++;
        }
        if (end == from || path.substring(from, end).contains("*")) {
          throw bad(path);
        }
        node = node.members.computeIfAbsent(path.substring(from, end), k -> new Node());
        i = end;
      } else {
        throw bad(path);
      }
      first = false;
    }
    if (node == root || node.field >= 0) {
      throw node == root
          ? bad(path)
          : new BadInputException("two fields are mapped to the same place " + path);
    }
    node.field = field;
  }

  private static BadInputException bad(String path) {
    return new BadInputException(
        "field map: '" + path + "' is not a path; write $.a.b, $['a b'] or $.a[0]");
  }
}
