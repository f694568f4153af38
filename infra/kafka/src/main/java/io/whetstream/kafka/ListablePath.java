package io.whetstream.kafka;

import io.whetstream.model.BadInputException;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A directory under a name that may stand in a list of paths, as Kafka's {@code log.dirs} and
 * Flink's {@code io.tmp.dirs} are: without comma and without the character that separates paths.
 * Where the directory's own name has one, this is a link to it, in the system's temporary folder;
 * closing removes the link.
 */
public final class ListablePath implements AutoCloseable {
  private final Path path;
  private final Path link;

  private ListablePath(Path path, Path link) {
    this.path = path;
    this.link = link;
  }

  /**
   * A name for a directory, which is made where a link to it is needed.
   *
   * @throws BadInputException if one is needed that cannot be made
   */
  public static ListablePath of(Path directory) {
    Path absolute = directory.toAbsolutePath().normalize();
    if (isListable(absolute)) {
      return new ListablePath(absolute, null);
    }
    try {
      Files.createDirectories(absolute);
      Path link =
          Files.createSymbolicLink(
              Files.createTempDirectory("whetstream-").resolve("data"), absolute);
      if (isListable(link)) {
        return new ListablePath(link, link);
      }
      remove(link);
    } catch (IOException | UnsupportedOperationException e) {
      throw new BadInputException(
          absolute
              + " has a comma or a colon in its name, and no link to it could be made ("
              + e.getMessage()
              + "); choose another directory",
          e);
    }
    throw new BadInputException(
        absolute
            + " has a comma or a colon in its name, and so has the temporary folder; choose another"
            + " directory");
  }

  /** The name. */
  public Path path() {
    return path;
  }

  private static boolean isListable(Path path) {
    return !path.toString().contains(",") && !path.toString().contains(File.pathSeparator);
  }

  private static void remove(Path link) throws IOException {
    Files.deleteIfExists(link);
    Files.deleteIfExists(link.getParent());
  }

  @Override
  public void close() {
    if (link != null) {
      try {
        remove(link);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }
}
