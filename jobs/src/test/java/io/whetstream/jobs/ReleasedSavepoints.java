package io.whetstream.jobs;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * Savepoints that released versions of the jobs wrote, kept as test resources: what users hold must
 * restore with every later release. The README beside them says how one is made.
 */
public final class ReleasedSavepoints {
  private static final Path RESOURCES = Path.of("src/test/resources/savepoints");
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

  private ReleasedSavepoints() {}

  /** Where the savepoint of a job's state version is kept. */
  public static Path directory(String job, int version) {
    return RESOURCES.resolve(job + "-v" + version);
  }

  /** Where to write the savepoint of the present version: among the others only if asked to. */
  public static Path destination(String job, int version, Path otherwise) {
    return Boolean.getBoolean("savepoints.write")
        ? directory(job, version)
        : otherwise.resolve(job + "-v" + version);
  }

  /** All that are kept of a job. */
  public static List<Path> of(String job) throws IOException {
    try (Stream<Path> all = Files.list(RESOURCES)) {
      return all.filter(path -> path.getFileName().toString().matches(job + "-v\\d+"))
          .sorted()
          .toList();
    }
  }

  /**
   * Keeps a savepoint with what must be found after its restore.
   *
   * @param savepoint where Flink wrote it
   * @param directory must not exist: a released savepoint is never written again
   */
  public static void keep(String savepoint, Path directory, Object expected) throws IOException {
    Files.createDirectories(directory.getParent());
    Files.createDirectory(directory);
    copy(Path.of(URI.create(savepoint)), directory.resolve("savepoint"));
    JSON.writeValue(directory.resolve("expected.json").toFile(), expected);
  }

  /** What must be found after the restore. */
  public static <T> T expected(Path directory, Class<T> type) throws IOException {
    return JSON.readValue(directory.resolve("expected.json").toFile(), type);
  }

  /** Copies a kept savepoint, to restore it from another place than it was written to. */
  public static Path copyOf(Path directory, Path to) throws IOException {
    return copy(directory.resolve("savepoint"), to);
  }

  private static Path copy(Path from, Path to) throws IOException {
    Files.createDirectories(to);
    try (Stream<Path> files = Files.list(from)) {
      for (Path file : files.toList()) {
        Files.copy(file, to.resolve(file.getFileName().toString()));
      }
    }
    return to;
  }
}
