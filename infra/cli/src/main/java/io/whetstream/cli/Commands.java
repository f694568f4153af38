package io.whetstream.cli;

import java.util.List;

/** The subcommands, one a line, in the order in which help shows them. */
final class Commands {
  private Commands() {}

  /** A fresh instance of each. Instances must be cheap: nothing is loaded before a command runs. */
  static List<Object> all() {
    return List.of(
        // One command per line.
        new ScenesCommand(), new PretrainDemoCommand(), new DoctorCommand());
  }
}
