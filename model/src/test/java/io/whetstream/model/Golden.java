package io.whetstream.model;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * The golden directories: reference numbers computed by other people's code. They are discovered,
 * never named, so that any directory of the same format can be tested unchanged with {@code
 * -Dgolden.dir=DIR}; without it the copies in the test resources are used.
 */
public final class Golden {
  private Golden() {}

  /** The directory that holds the golden directories. */
  public static Path root() {
    String given = System.getProperty("golden.dir", "");
    return given.isEmpty() ? Path.of("src", "test", "resources", "golden") : Path.of(given);
  }

  /** The golden directories, in order of name, for which the filter holds. */
  public static List<Path> directories(Predicate<Path> filter) {
    try (Stream<Path> children = Files.list(root())) {
      return children.filter(Files::isDirectory).filter(filter).sorted().toList();
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(
          "no golden directory at " + root().toAbsolutePath(), e);
    }
  }

  /** A filter for directories that hold a file of this name. */
  public static Predicate<Path> holding(String file) {
    return directory -> Files.exists(directory.resolve(file));
  }
}
