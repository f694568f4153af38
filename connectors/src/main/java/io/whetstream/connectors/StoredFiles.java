package io.whetstream.connectors;

import io.whetstream.model.BadInputException;
import io.whetstream.model.FreshFiles;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.regex.Pattern;
import org.apache.flink.core.fs.FSDataInputStream;
import org.apache.flink.core.fs.FSDataOutputStream;
import org.apache.flink.core.fs.FileStatus;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.Path;
import org.apache.flink.core.fs.local.LocalFileSystem;

/**
 * Whole files on any Flink file system, as bytes. Nothing relies on renaming or appending, which
 * object stores lack; on a local disk a file is forced to it and moved into place in one step.
 */
public final class StoredFiles {
  private StoredFiles() {}

  private static final Pattern SCHEME = Pattern.compile("[A-Za-z][A-Za-z0-9+.-]*:.*");

  /**
   * A path. What has no scheme is a path on this machine, whatever Flink's default is, and stands
   * for itself. What begins with {@code file:} is a URI where it can be one ({@code %20} is a
   * space), and what has another scheme is taken as Flink takes it, with nothing unescaped.
   */
  public static Path path(String uri) {
    if (uri == null || uri.isBlank()) {
      throw new BadInputException(
          "a directory is missing: give a path or a URI like s3://bucket/x");
    }
    if (!SCHEME.matcher(uri).matches()) {
      return new Path(java.nio.file.Path.of(uri).toAbsolutePath().normalize().toUri());
    }
    Path literal = new Path(uri);
    Path unescaped = uri.regionMatches(true, 0, "file:", 0, 5) ? unescaped(uri) : null;
    // An earlier release made a directory of the very name: what is in it is still found.
    return unescaped == null || (exists(literal) && !exists(unescaped)) ? literal : unescaped;
  }

  /** What a URI with a scheme stands for, or null if it is none. */
  public static Path unescaped(String uri) {
    try {
      URI parsed = new URI(uri);
      boolean path = parsed.getPath() != null && parsed.getQuery() == null;
      return path && parsed.getFragment() == null ? new Path(parsed) : null;
    } catch (URISyntaxException e) {
      return null;
    }
  }

  private static boolean exists(Path path) {
    return Files.exists(java.nio.file.Path.of(path.getPath()));
  }

  /** The path on this machine's disk, or null if it lies elsewhere. */
  public static java.nio.file.Path local(Path path) throws IOException {
    return path.getFileSystem() instanceof LocalFileSystem
        ? java.nio.file.Path.of(path.getPath())
        : null;
  }

  /** Writes a file that a reader sees whole or not at all; replaces one that is there. */
  public static void write(Path path, byte[] bytes) throws IOException {
    java.nio.file.Path local = local(path);
    if (local != null) {
      writeLocal(local, bytes);
      return;
    }
    FileSystem files = path.getFileSystem();
    files.mkdirs(path.getParent());
    try (FSDataOutputStream out = files.create(path, FileSystem.WriteMode.OVERWRITE)) {
      out.write(bytes);
    }
  }

  private static void writeLocal(java.nio.file.Path file, byte[] bytes) throws IOException {
    Files.createDirectories(file.getParent());
    java.nio.file.Path part = FreshFiles.file(file.getParent(), file.getFileName().toString());
    try {
      try (FileChannel channel = FileChannel.open(part, StandardOpenOption.WRITE)) {
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        while (buffer.hasRemaining()) {
          channel.write(buffer);
        }
        channel.force(true);
      }
      Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
      try (FileChannel directory = FileChannel.open(file.getParent(), StandardOpenOption.READ)) {
        directory.force(true);
      }
    } finally {
      Files.deleteIfExists(part);
    }
  }

  /**
   * All of a file.
   *
   * @param maxBytes larger ones are refused before anything is read
   * @return null if there is no such file
   */
  public static byte[] read(Path path, long maxBytes) throws IOException {
    FileSystem files = path.getFileSystem();
    FileStatus status;
    try {
      status = files.getFileStatus(path);
    } catch (FileNotFoundException e) {
      return null;
    }
    if (status.isDir()) {
      return null;
    }
    if (status.getLen() > Math.min(maxBytes, Integer.MAX_VALUE - 8)) {
      throw new BadInputException(
          path + " has " + status.getLen() + " bytes; at most " + maxBytes + " are read");
    }
    try (FSDataInputStream in = files.open(path)) {
      byte[] bytes = in.readNBytes((int) status.getLen());
      if (bytes.length != status.getLen() || in.read() >= 0) {
        throw new IOException(path + " changed while it was read");
      }
      return bytes;
    } catch (FileNotFoundException e) {
      return null;
    }
  }
}
