package io.whetstream.cli;

import java.nio.file.Path;

/** Where things lie. */
public final class Homes {
  private Homes() {}

  /**
   * The default data directory of local runs (broker, checkpoints, adapters, log): {@code
   * $WHETSTREAM_DATA}, else {@code .whetstream} beside the launcher, else in the working directory.
   */
  public static Path data() {
    String variable = System.getenv("WHETSTREAM_DATA");
    if (variable != null && !variable.isBlank()) {
      return Path.of(variable).toAbsolutePath();
    }
    return Path.of(System.getProperty("whetstream.home", ""), ".whetstream").toAbsolutePath();
  }
}
