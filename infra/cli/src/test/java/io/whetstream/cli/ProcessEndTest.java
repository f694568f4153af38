package io.whetstream.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.scenes.DemoBase;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A command that is told to end while libtorch is in the middle of a step. */
class ProcessEndTest {
  private static final int ENDED_BY_TERM = 128 + 15;
  private static final long PATIENCE_SECONDS = 120;

  @TempDir private Path temp;

  /** A step that lasts until standard input ends. */
  static final class Stepping {
    private Stepping() {}

    public static void main(String[] args) throws Exception {
      Main.prepare(args);
      try (Checkpoint checkpoint = Checkpoint.open(DemoBase.directory());
          Lvlm model = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP32, "cpu", 1))) {
        model.step(
            arrays -> {
              System.out.println("in a step");
              try {
                while (System.in.read() >= 0) {
                  arrays.create(1f).close();
                }
              } catch (IOException e) {
                throw new IllegalStateException(e);
              }
              System.out.println("the step is done");
              return null;
            });
      }
    }
  }

  /** Ending under it would destroy what the step works with: a crash, one time in six. */
  @Test
  void theEndWaitsForTheStepUnderWay() throws Exception {
    Process process =
        new ProcessBuilder(
                List.of(
                    Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                    "-Xmx512m",
                    "-cp",
                    System.getProperty("java.class.path"),
                    "-Dwhetstream.log=" + temp.resolve("whetstream.log"),
                    Stepping.class.getName()))
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    try (BufferedReader said = process.inputReader()) {
      awaitLine(said, "in a step");
      // Not of the process itself, which would close the streams too.
      process.toHandle().destroy();
      assertFalse(process.waitFor(500, TimeUnit.MILLISECONDS), "it ended under the step");
      process.getOutputStream().close();
      awaitLine(said, "the step is done");
      assertTrue(process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS));
      assertEquals(ENDED_BY_TERM, process.exitValue());
    } finally {
      process.destroyForcibly();
    }
  }

  /** Libraries say things of their own between. */
  private static void awaitLine(BufferedReader said, String wanted) throws IOException {
    String line;
    do {
      line = said.readLine();
      assertNotNull(line, () -> "the process ended before it said: " + wanted);
    } while (!line.equals(wanted));
  }
}
