package io.whetstream.model.checkpoint;

import io.whetstream.model.FreshFiles;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.HexFormat;
import java.util.Map;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Digests of large models, kept so that opening one does not read gigabytes each time. A digest is
 * found again only by files of the same paths, sizes, inodes, and times of last change of content
 * and of inode, which no copy or rename brings back. A folder that cannot be written costs the time
 * of hashing, nothing else.
 */
final class KeptDigests {
  private static final Logger LOG = LoggerFactory.getLogger(KeptDigests.class);

  /** Below this, hashing is not noticed. */
  private static final long LARGE = 64L << 20;

  /** A file may change again within the grain of its times; one that is older will not unseen. */
  private static final Duration SETTLED = Duration.ofSeconds(3);

  private final Path folder;
  private final long large;
  private final Clock clock;

  KeptDigests(Path cache) {
    this(cache, LARGE, Clock.systemUTC());
  }

  KeptDigests(Path cache, long large, Clock clock) {
    this.folder = cache.resolve("digests");
    this.large = large;
    this.clock = clock;
  }

  /**
   * Where the digest of these files is kept; empty if it is not to be, because they are small or
   * too new.
   *
   * @param form what else is hashed
   */
  Optional<Path> place(Collection<Path> files, String form) {
    StringBuilder text = new StringBuilder("whetstream digests 1\n").append(form);
    long size = 0;
    Instant newest = Instant.MIN;
    try {
      for (Path file : files) {
        Path real = file.toRealPath();
        Map<String, Object> attributes =
            Files.readAttributes(real, "unix:size,lastModifiedTime,ctime,ino,dev");
        Instant changed = ((FileTime) attributes.get("ctime")).toInstant();
        size += (Long) attributes.get("size");
        newest = changed.isAfter(newest) ? changed : newest;
        text.append('\n').append(real);
        for (String name : new String[] {"size", "lastModifiedTime", "ctime", "ino", "dev"}) {
          Object value = attributes.get(name);
          text.append(' ').append(value instanceof FileTime time ? time.toInstant() : value);
        }
      }
    } catch (IOException | UnsupportedOperationException | IllegalArgumentException e) {
      return Optional.empty(); // A file system without inodes: hashed each time.
    }
    if (size < large || newest.isAfter(clock.instant().minus(SETTLED))) {
      return Optional.empty();
    }
    try {
      byte[] key =
          MessageDigest.getInstance("SHA-256")
              .digest(text.toString().getBytes(StandardCharsets.UTF_8));
      return Optional.of(folder.resolve(HexFormat.of().formatHex(key)));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }

  /** The digest kept there, if there is one. */
  static Optional<String> read(Path place) {
    try {
      String digest = Files.readString(place).strip();
      return digest.matches("[0-9a-f]{64}") ? Optional.of(digest) : Optional.empty();
    } catch (IOException e) {
      return Optional.empty();
    }
  }

  static void write(Path place, String digest) {
    try {
      Files.createDirectories(place.getParent());
      FreshFiles.replace(place, (digest + "\n").getBytes(StandardCharsets.UTF_8));
    } catch (IOException e) {
      LOG.info("The model's digest cannot be kept in {} ({}); going on without", place, e);
    }
  }
}
