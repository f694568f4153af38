package io.whetstream.local.demo;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The highest step that a process has seen, kept beside the data: after a kill it says which steps
 * are made again from the newest complete checkpoint. One thread.
 */
final class StepNote {
  private static final Logger LOG = LoggerFactory.getLogger(StepNote.class);
  private static final String FILE = "step";

  private final Path file;
  private final long before;
  private long noted;
  private boolean begun;

  StepNote(Path directory) {
    file = directory.resolve(FILE);
    before = read(file);
    noted = before;
  }

  /**
   * The trainer is at that step now.
   *
   * @return what there is to say, once: steps that a process before had made and lost
   */
  Optional<String> at(long step) {
    Optional<String> said = Optional.empty();
    if (!begun) {
      begun = true;
      if (step < before) {
        said =
            Optional.of(
                "the run before was at step "
                    + before
                    + " when it ended without a savepoint; its newest complete checkpoint is of"
                    + " step "
                    + step
                    + ": steps "
                    + (step + 1)
                    + " to "
                    + before
                    + " are trained again");
      }
    }
    reached(step);
    return said;
  }

  /** Notes a step. */
  void reached(long step) {
    if (step == noted) {
      return;
    }
    noted = step;
    try {
      Path part = file.resolveSibling(FILE + ".part");
      Files.writeString(part, Long.toString(step));
      Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException e) {
      LOG.warn("the step cannot be noted in {}", file, e);
    }
  }

  private static long read(Path file) {
    try {
      return Files.exists(file) ? Long.parseLong(Files.readString(file).strip()) : 0;
    } catch (IOException | NumberFormatException e) {
      LOG.warn("{} cannot be read", file, e);
      return 0;
    }
  }
}
