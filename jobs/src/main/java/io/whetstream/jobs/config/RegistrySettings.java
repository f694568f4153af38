package io.whetstream.jobs.config;

import java.io.Serializable;

/**
 * Where adapters are kept.
 *
 * @param uri a directory on any Flink file system, for example {@code s3://bucket/adapters} or a
 *     local path. {@code whetstream job} keeps adapters in its data directory unless this says
 *     otherwise
 */
public record RegistrySettings(String uri) implements Serializable {
  public RegistrySettings {
    Checks.present("registry.uri", uri);
  }

  /** A directory beside the process. */
  public static RegistrySettings defaults() {
    return new RegistrySettings("whetstream-adapters");
  }
}
