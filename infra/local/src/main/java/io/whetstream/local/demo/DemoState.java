package io.whetstream.local.demo;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Objects;

/**
 * How far the demo's stream has come, kept in the data directory so that a second start goes on
 * there. After a kill it is up to a second behind: some pairs are then sent again under their ids,
 * and the job drops them as duplicates.
 *
 * @param options of the run that began the stream; they say what each number stands for
 * @param pairsDigest of the file whose lines are streamed, or null for drawn scenes
 * @param pairs sent
 * @param items sent
 * @param driftTime event time at which the looks changed, or 0 if they have not
 */
record DemoState(DemoOptions options, String pairsDigest, long pairs, long items, long driftTime) {
  private static final String FILE = "position.json";
  private static final ObjectMapper JSON = new ObjectMapper();

  /**
   * Where the stream in that directory stands; at its start if there is none.
   *
   * @throws BadInputException if another stream was begun there
   */
  static DemoState load(Path directory, DemoOptions options, String pairsDigest) {
    Path file = directory.resolve(FILE);
    if (!Files.exists(file)) {
      return new DemoState(options, pairsDigest, 0, 0, 0);
    }
    DemoState state;
    try {
      state = JSON.readValue(file.toFile(), DemoState.class);
    } catch (IOException e) {
      throw new BadInputException(
          file + " cannot be read (" + e.getMessage() + "); start over with --fresh", e);
    }
    if (!Objects.equals(state.pairsDigest(), pairsDigest)) {
      throw new BadInputException(
          "the demo in this data directory was begun with "
              + (state.pairsDigest() == null
                  ? "drawn scenes, without --pairs"
                  : pairsDigest == null ? "--pairs" : "other --pairs")
              + "; go on with that, or start over with --fresh");
    }
    if (state.options().seed() != options.seed()) {
      throw new BadInputException(
          "the demo in this data directory was begun with --seed "
              + state.options().seed()
              + "; go on with that one, or start over with --fresh");
    }
    return state;
  }

  /** Replaces the file in one move. */
  void save(Path directory) throws IOException {
    Path part = directory.resolve(FILE + ".part");
    JSON.writeValue(part.toFile(), this);
    Files.move(
        part,
        directory.resolve(FILE),
        StandardCopyOption.ATOMIC_MOVE,
        StandardCopyOption.REPLACE_EXISTING);
  }
}
