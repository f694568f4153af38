package io.whetstream.cli;

import io.whetstream.model.BadInputException;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The system's temporary folder: libraries put their native parts there before they load them. */
final class TemporaryFolder {
  /** What any command may need. */
  static final long LITTLE = 1L << 20;

  /** What the native parts of all libraries take together, and some more. */
  static final long NATIVES = 96L << 20;

  private TemporaryFolder() {}

  /**
   * Sees that it can be used.
   *
   * @throws BadInputException if it is missing, cannot be written to or has too little room
   */
  static void require(long bytes) {
    String problem = problem(bytes);
    if (problem != null) {
      throw new BadInputException(problem);
    }
  }

  /** What is wrong with it and what to do, or null. */
  static String problem(long bytes) {
    Path folder = Path.of(System.getProperty("java.io.tmpdir"));
    String what = null;
    if (!Files.isDirectory(folder)) {
      what = "does not exist";
    } else {
      try {
        Files.delete(Files.createTempFile(folder, "whetstream-", null));
        long free = new File(folder.toString()).getUsableSpace();
        if (free < bytes) {
          what =
              "is full (%d MiB free, %d MiB needed)".formatted(free >> 20, (bytes + 0xfffff) >> 20);
        }
      } catch (IOException e) {
        what = "cannot be written to (" + e.getMessage() + ")";
      }
    }
    return what == null
        ? null
        : "the temporary folder "
            + folder
            + " "
            + what
            + "; make or clear it, or set TMPDIR to another one";
  }
}
