package io.whetstream.model;

import java.nio.file.Path;

/** Where on this machine lies what can be made again: the demo base, digests of large models. */
public final class CacheDirectory {
  private CacheDirectory() {}

  /**
   * The system property {@code whetstream.cache}, else {@code $WHETSTREAM_CACHE}, else {@code
   * ~/.cache/whetstream}. It may not exist yet.
   */
  public static Path path() {
    String property = System.getProperty("whetstream.cache");
    if (property != null) {
      return Path.of(property);
    }
    String variable = System.getenv("WHETSTREAM_CACHE");
    return variable != null && !variable.isBlank()
        ? Path.of(variable)
        : Path.of(System.getProperty("user.home"), ".cache", "whetstream");
  }
}
