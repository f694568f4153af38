package io.whetstream.local.demo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class StepNoteTest {
  @TempDir Path directory;

  @Test
  void saysOnceWhichStepsAKilledRunHadMadeAndLost() {
    StepNote killed = new StepNote(directory);
    for (long step = 0; step <= 17; step++) {
      assertEquals(Optional.empty(), killed.at(step));
    }
    StepNote next = new StepNote(directory);
    String said = next.at(12).orElseThrow();
    assertTrue(said.contains("steps 13 to 17 are trained again"), said);
    assertEquals(Optional.empty(), next.at(13));
  }

  @Test
  void saysNothingAfterASavepoint() {
    StepNote stopped = new StepNote(directory);
    stopped.at(4);
    stopped.reached(9);
    assertEquals(Optional.empty(), new StepNote(directory).at(9));
  }
}
