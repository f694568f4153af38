package io.whetstream.connectors.registry;

import io.whetstream.model.BadInputException;
import java.io.Serializable;

/**
 * Where adapters are kept and how they are read.
 *
 * @param uri directory on any Flink file system; without a scheme, a path on this machine
 * @param cacheDirectory directory on this machine for copies of adapters; null: beside the system's
 *     temporary files. Not used when {@code uri} is on this machine.
 * @param cacheBytes most bytes of copies; the one used least recently goes first
 */
public record RegistryOptions(String uri, String cacheDirectory, long cacheBytes)
    implements Serializable {
  private static final long CACHE_BYTES = 4L << 30;

  public RegistryOptions {
    if (uri == null || uri.isBlank()) {
      throw new BadInputException("registry.uri is missing: give a directory");
    }
    if (cacheBytes <= 0) {
      throw new BadInputException("the registry's cache needs room: " + cacheBytes + " bytes");
    }
  }

  /** With a cache of at most 4 GiB beside the system's temporary files. */
  public static RegistryOptions of(String uri) {
    return new RegistryOptions(uri, null, CACHE_BYTES);
  }
}
