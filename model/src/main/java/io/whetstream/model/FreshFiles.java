package io.whetstream.model;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.UUID;

/**
 * Files and directories under names of their own, to be moved to their place when whole. Their
 * access rights are those that the process gives whatever it makes (its umask), so that other users
 * can read what is meant for them; those of {@link Files#createTempFile} are its owner's alone.
 */
public final class FreshFiles {
  private FreshFiles() {}

  /** A new empty file in a directory; its name begins with a dot. */
  public static Path file(Path directory, String prefix) throws IOException {
    return Files.createFile(fresh(directory, prefix));
  }

  /** A new empty directory in another; its name begins with a dot. */
  public static Path directory(Path directory, String prefix) throws IOException {
    return Files.createDirectory(fresh(directory, prefix));
  }

  private static Path fresh(Path directory, String prefix) {
    return directory.resolve("." + prefix + "." + UUID.randomUUID() + ".part");
  }

  /** Writes a file so that readers see it whole or not at all. */
  public static void replace(Path file, byte[] bytes) throws IOException {
    Path part = file(file.toAbsolutePath().getParent(), file.getFileName().toString());
    try {
      Files.write(part, bytes, StandardOpenOption.TRUNCATE_EXISTING);
      Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } finally {
      Files.deleteIfExists(part);
    }
  }
}
