package io.whetstream.local;

import io.whetstream.kafka.ListablePath;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The directory of a local runtime, locked against a second process. It only ever deletes what it
 * made itself.
 */
final class DataDirectory implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(DataDirectory.class);

  static final String KAFKA = "kafka";
  static final String CHECKPOINTS = "checkpoints";
  static final String SAVEPOINTS = "savepoints";
  static final String ADAPTERS = "adapters";
  static final String TEMPORARY = "tmp";
  static final String DEMO = "demo";

  /** A file for each job that was seen to have state here. */
  private static final String JOBS = "jobs";

  private static final List<String> OURS =
      List.of(KAFKA, CHECKPOINTS, SAVEPOINTS, ADAPTERS, TEMPORARY, DEMO, JOBS);
  private static final String LOCK = "lock";
  private static final String METADATA = "_metadata";
  private static final long LEAST_SPACE = 512L << 20;

  private final Path root;
  private final FileChannel channel;
  private final FileLock lock;
  private final ListablePath temporary;

  private DataDirectory(Path root, FileChannel channel, FileLock lock) {
    this.root = root;
    this.channel = channel;
    this.lock = lock;
    this.temporary = ListablePath.of(root.resolve(TEMPORARY));
  }

  /**
   * Creates it if absent and locks it.
   *
   * @param fresh deletes what earlier runs left
   * @throws BadInputException if it cannot be written, is in use, or its disk is nearly full
   */
  static DataDirectory open(Path directory, boolean fresh) {
    Path root = directory.toAbsolutePath().normalize();
    FileChannel channel = null;
    try {
      Files.createDirectories(root);
      channel =
          FileChannel.open(root.resolve(LOCK), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
      FileLock lock = tryLock(channel);
      if (lock == null) {
        channel.close();
        throw new BadInputException(
            "data directory "
                + root
                + " is in use by another process; stop that one or choose another directory");
      }
      DataDirectory data = new DataDirectory(root, channel, lock);
      if (fresh) {
        for (String name : OURS) {
          delete(root.resolve(name));
        }
        for (String name : List.of(CHECKPOINTS, SAVEPOINTS)) {
          delete(escaped(root).resolve(name));
        }
      }
      delete(root.resolve(TEMPORARY));
      for (String name : OURS) {
        Files.createDirectories(root.resolve(name));
      }
      data.checkSpace();
      return data;
    } catch (IOException e) {
      closeQuietly(channel);
      throw new BadInputException(
          "data directory " + root + " cannot be used (" + e + "); choose another directory", e);
    }
  }

  Path resolve(String name) {
    return root.resolve(name);
  }

  /** The directory for what need not last, under a name that may stand in a list. */
  Path temporary() {
    return temporary.path();
  }

  /** Directory of a job's checkpoints. */
  Path checkpoints(String job) {
    return root.resolve(CHECKPOINTS).resolve(job);
  }

  /** Directory of a job's savepoints. */
  Path savepoints(String job) {
    return root.resolve(SAVEPOINTS).resolve(job);
  }

  /**
   * The newest complete checkpoint or savepoint of a job. One without metadata is not complete: the
   * process died while it was made.
   */
  Optional<Path> newestState(String job) {
    return newestState(root, job)
        .or(
            () -> {
              // Version 0.1 of early November 2026 wrote the state of a directory with a space (or
              // such) in its name to one with %20 in it.
              Path other = escaped(root);
              return other.equals(root) ? Optional.empty() : newestState(other, job);
            });
  }

  private static Optional<Path> newestState(Path root, String job) {
    return Stream.concat(
            statesIn(root.resolve(CHECKPOINTS).resolve(job), 2).stream(),
            statesIn(root.resolve(SAVEPOINTS).resolve(job), 1).stream())
        .max(Comparator.comparing(DataDirectory::written));
  }

  /** The path as a URI writes it, taken for a path. */
  private static Path escaped(Path root) {
    return Path.of(root.toUri().getRawPath()).normalize();
  }

  /** Whether a job of that name was seen to have state here, whatever is left of it. */
  boolean hadState(String job) {
    return Files.exists(root.resolve(JOBS).resolve(job));
  }

  /** Notes whether a job has state now. */
  void noteState(String job) {
    Path note = root.resolve(JOBS).resolve(job);
    try {
      if (!Files.exists(note) && newestState(job).isPresent()) {
        Files.createFile(note);
      }
    } catch (IOException | UncheckedIOException e) {
      // A checkpoint was deleted under the look at it, or the disk is full: the next look will do.
      LOG.debug("no note of the state of job {}", job, e);
    }
  }

  /** Deletes a job's checkpoints and savepoints except {@code kept} and what is beside it. */
  void forgetStatesExcept(String job, Path kept) {
    // An incremental checkpoint shares files of the job id it was made under.
    Path base = kept.startsWith(checkpoints(job)) ? kept.getParent() : kept;
    for (Path parent : List.of(checkpoints(job), savepoints(job))) {
      try (Stream<Path> children = Files.exists(parent) ? Files.list(parent) : Stream.empty()) {
        for (Path child : children.filter(p -> !p.equals(base)).toList()) {
          delete(child);
        }
      } catch (IOException e) {
        throw new UncheckedIOException("cannot clean " + parent, e);
      }
    }
  }

  @Override
  public void close() {
    temporary.close();
    try {
      if (lock.isValid()) {
        lock.release();
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } finally {
      closeQuietly(channel);
    }
  }

  private void checkSpace() throws IOException {
    long free = Files.getFileStore(root).getUsableSpace();
    if (free < LEAST_SPACE) {
      throw new BadInputException(
          "only "
              + (free >> 20)
              + " MiB are free for data directory "
              + root
              + "; free at least "
              + (LEAST_SPACE >> 20)
              + " MiB or choose another directory");
    }
  }

  private static List<Path> statesIn(Path directory, int depth) {
    if (!Files.isDirectory(directory)) {
      return List.of();
    }
    try (Stream<Path> paths = Files.walk(directory, depth)) {
      return paths.filter(p -> Files.isRegularFile(p.resolve(METADATA))).toList();
    } catch (IOException e) {
      throw new UncheckedIOException("cannot look for checkpoints in " + directory, e);
    }
  }

  private static long written(Path state) {
    try {
      return Files.getLastModifiedTime(state.resolve(METADATA)).to(TimeUnit.NANOSECONDS);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static FileLock tryLock(FileChannel channel) throws IOException {
    try {
      return channel.tryLock();
    } catch (OverlappingFileLockException e) {
      return null;
    }
  }

  private static void closeQuietly(FileChannel channel) {
    if (channel != null) {
      try {
        channel.close();
      } catch (IOException e) {
        // The failure that led here says more.
      }
    }
  }

  static void delete(Path path) throws IOException {
    if (!Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
      return;
    }
    try (Stream<Path> paths = Files.walk(path)) {
      for (Path each : paths.sorted(Comparator.reverseOrder()).toList()) {
        Files.deleteIfExists(each);
      }
    }
  }
}
