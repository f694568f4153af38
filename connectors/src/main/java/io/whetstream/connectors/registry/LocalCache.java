package io.whetstream.connectors.registry;

import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.AdapterManifest;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.UUID;
import java.util.function.Function;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Copies of adapters on this machine, bounded in bytes; the one used least recently goes first.
 * Processes may share a directory: copies appear in one step and are verified at every reading.
 * What is damaged is fetched again.
 */
final class LocalCache {
  private static final Logger LOG = LoggerFactory.getLogger(LocalCache.class);

  private final Path root;
  private final long maxBytes;

  private LocalCache(Path root, long maxBytes) {
    this.root = root;
    this.maxBytes = maxBytes;
  }

  static LocalCache open(RegistryOptions options, String registry) throws IOException {
    Path base =
        options.cacheDirectory() != null
            ? Path.of(options.cacheDirectory())
            : Path.of(System.getProperty("java.io.tmpdir"), "whetstream-adapters");
    String name = UUID.nameUUIDFromBytes(registry.getBytes(StandardCharsets.UTF_8)).toString();
    return new LocalCache(
        Files.createDirectories(base.resolve(name).toAbsolutePath()), options.cacheBytes());
  }

  Path directory(String digest) {
    return root.resolve(digest);
  }

  /** The copy with that manifest, or null if there is none that is whole. */
  synchronized AdapterArtifact read(String digest, String manifestDigest) throws IOException {
    Path directory = directory(digest);
    if (!Files.exists(directory.resolve(AdapterCodec.MANIFEST))) {
      return null;
    }
    try {
      AdapterArtifact artifact =
          AdapterCodec.decode(members(directory, manifestDigest), directory.toString());
      touch(directory);
      return artifact;
    } catch (BadInputException e) {
      if (manifest(directory, manifestDigest) != null) {
        LOG.warn("a cached adapter is damaged and is fetched again: {}", e.getMessage());
        delete(directory);
      }
      return null;
    }
  }

  private static Function<String, byte[]> members(Path directory, String manifestDigest) {
    return name -> {
      try {
        return name.equals(AdapterCodec.MANIFEST)
            ? manifest(directory, manifestDigest)
            : bytes(directory.resolve(name));
      } catch (IOException e) {
        throw new BadInputException(directory + " cannot be read: " + e.getMessage(), e);
      }
    };
  }

  private static byte[] manifest(Path directory, String manifestDigest) throws IOException {
    byte[] first = bytes(directory.resolve(AdapterCodec.MANIFEST));
    if (first == null || AdapterManifest.digestOf(first).equals(manifestDigest)) {
      return first;
    }
    byte[] further =
        bytes(directory.resolve(AdapterCodec.MANIFESTS).resolve(manifestDigest + ".json"));
    return further != null && AdapterManifest.digestOf(further).equals(manifestDigest)
        ? further
        : null;
  }

  private static byte[] bytes(Path file) throws IOException {
    try {
      return Files.readAllBytes(file);
    } catch (NoSuchFileException e) {
      return null;
    }
  }

  synchronized void store(AdapterArtifact artifact) throws IOException {
    AdapterCodec.write(directory(artifact.digest()), artifact);
    touch(directory(artifact.digest()));
    evict(artifact.digest());
  }

  private void evict(String newest) throws IOException {
    record Copy(Path directory, long used, long bytes) {}

    List<Copy> copies = new ArrayList<>();
    try (Stream<Path> found = Files.list(root)) {
      for (Path directory : found.filter(Files::isDirectory).toList()) {
        copies.add(
            new Copy(directory, Files.getLastModifiedTime(directory).toMillis(), size(directory)));
      }
    }
    copies.sort(Comparator.comparingLong(Copy::used));
    long total = copies.stream().mapToLong(Copy::bytes).sum();
    for (Copy copy : copies) {
      if (total <= maxBytes) {
        return;
      }
      if (!copy.directory().getFileName().toString().equals(newest)) {
        delete(copy.directory());
        total -= copy.bytes();
      }
    }
  }

  private static void touch(Path directory) throws IOException {
    Files.setLastModifiedTime(directory, FileTime.from(Instant.now()));
  }

  private static long size(Path directory) throws IOException {
    long bytes = 0;
    try (Stream<Path> walk = Files.walk(directory)) {
      for (Path file : walk.filter(Files::isRegularFile).toList()) {
        bytes += Files.size(file);
      }
    }
    return bytes;
  }

  private static void delete(Path directory) throws IOException {
    // The manifest first: another process must not take the rest for an adapter.
    Files.deleteIfExists(directory.resolve(AdapterCodec.MANIFEST));
    List<Path> found;
    try (Stream<Path> walk = Files.walk(directory)) {
      found = walk.sorted(Comparator.reverseOrder()).toList();
    } catch (NoSuchFileException e) {
      return;
    }
    for (Path path : found) {
      Files.deleteIfExists(path);
    }
  }
}
