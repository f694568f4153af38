package io.whetstream.scenes;

import io.whetstream.model.CacheDirectory;
import io.whetstream.model.FreshFiles;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * The built-in base model named "demo": a small LLaVA pretrained on drawn scenes, unpacked from the
 * library to a directory that anything that reads Hugging Face directories can open.
 */
public final class DemoBase {
  private static final String RESOURCES = "/demo-base/";
  private static final List<String> FILES =
      List.of(
          "config.json",
          "model.safetensors",
          "preprocessor_config.json",
          "processor_config.json",
          "special_tokens_map.json",
          "tokenizer.json",
          "tokenizer_config.json");

  private DemoBase() {}

  /**
   * The directory of the demo base. Unpacked on first use, under a name that holds the digest of
   * its content, into the {@link CacheDirectory}. Safe to call from several threads and processes
   * at once: the directory appears whole or not at all, and a damaged file is replaced.
   *
   * @throws UncheckedIOException if the cache cannot be written
   */
  public static Path directory() {
    return unpack(CacheDirectory.path());
  }

  /** The same under a cache directory of the caller's choice. */
  public static Path unpack(Path cache) {
    Map<String, byte[]> files = new TreeMap<>();
    for (String name : FILES) {
      byte[] content = resource(name);
      if (content != null) {
        files.put(name, content);
      }
    }
    Path target = cache.resolve("demo-base-" + digest(files).substring(0, 16));
    try {
      if (!Files.isDirectory(target)) {
        create(cache, target, files);
      }
      repair(cache, target, files);
    } catch (IOException e) {
      throw new UncheckedIOException(
          "cannot unpack the demo base to "
              + target
              + "; set WHETSTREAM_CACHE to a directory that can be written",
          e);
    }
    return target;
  }

  private static byte[] resource(String name) {
    try (InputStream in = DemoBase.class.getResourceAsStream(RESOURCES + name)) {
      return in == null ? null : in.readAllBytes();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String digest(Map<String, byte[]> files) {
    try {
      MessageDigest sha = MessageDigest.getInstance("SHA-256");
      for (Map.Entry<String, byte[]> file : files.entrySet()) {
        sha.update(
            (file.getKey() + '\n' + file.getValue().length + '\n')
                .getBytes(StandardCharsets.UTF_8));
        sha.update(file.getValue());
      }
      return HexFormat.of().formatHex(sha.digest());
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  private static void create(Path cache, Path target, Map<String, byte[]> files)
      throws IOException {
    Files.createDirectories(cache);
    Path fresh = FreshFiles.directory(cache, "demo-base");
    try {
      for (Map.Entry<String, byte[]> file : files.entrySet()) {
        Files.write(fresh.resolve(file.getKey()), file.getValue());
      }
      Files.move(fresh, target, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      // Another process may have been first: then its directory is as good as ours.
      if (!Files.isDirectory(target)) {
        throw e;
      }
    } finally {
      delete(fresh);
    }
  }

  /**
   * Replaces what is missing or differs, file by file and in place: the directory is never moved
   * away under a reader, and two that repair at once do the same.
   */
  private static void repair(Path cache, Path target, Map<String, byte[]> files)
      throws IOException {
    for (Map.Entry<String, byte[]> file : files.entrySet()) {
      Path path = target.resolve(file.getKey());
      if (!Files.isRegularFile(path)
          || Files.size(path) != file.getValue().length
          || !Arrays.equals(Files.readAllBytes(path), file.getValue())) {
        Path part = FreshFiles.file(cache, "demo-base");
        Files.write(part, file.getValue());
        Files.move(part, path, StandardCopyOption.ATOMIC_MOVE);
      }
    }
  }

  private static void delete(Path directory) throws IOException {
    if (Files.exists(directory)) {
      try (Stream<Path> paths = Files.walk(directory)) {
        for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
          Files.deleteIfExists(path);
        }
      }
    }
  }
}
