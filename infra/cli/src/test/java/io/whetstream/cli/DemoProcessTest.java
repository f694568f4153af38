package io.whetstream.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.connectors.registry.AdapterRegistry;
import io.whetstream.connectors.registry.RegistryOptions;
import io.whetstream.scenes.DemoBase;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.CleanupMode;
import org.junit.jupiter.api.io.TempDir;

/** The demo as a process of its own, ended as people end processes. */
@Tag("cluster")
class DemoProcessTest {
  private static final Duration PATIENCE = Duration.ofMinutes(4);
  private static final Pattern TRAINER =
      Pattern.compile(
          "Trainer of demo: (new|restored|closed),.*? step (\\d+), weights ([0-9a-f]+)");

  /** A progress line after the first look at the trainer. */
  private static final Pattern KNOWN_STEP = Pattern.compile("trained  step [1-9]");

  // What the processes said and logged is in it.
  @TempDir(cleanup = CleanupMode.ON_SUCCESS)
  Path temp;

  private final List<Process> started = new ArrayList<>();

  @AfterEach
  void endWhatIsLeft() {
    started.forEach(Process::destroyForcibly);
  }

  /** What the trainer logged at its start or end. */
  private record TrainerLine(String what, long step, String weights) {}

  @Test
  void interruptLeavesASavepointOfTheSameWeightsAndKillSaysWhatIsTrainedAgain() throws Exception {
    Process first = demo("first");
    awaitStep("first", first, 3);
    signal(first, "INT");
    awaitEnd("first", first);
    assertEquals(0, first.exitValue(), said("first"));
    assertTrue(said("first").contains("job finetune stopped at "), said("first"));
    TrainerLine closed = last("closed");
    assertTrue(closed.step() >= 3, closed.toString());

    Process second = demo("second");
    awaitStep("second", second, closed.step() + 3);
    TrainerLine restored = last("restored");
    assertEquals(closed.step(), restored.step());
    assertEquals(closed.weights(), restored.weights(), "the savepoint holds other weights");
    assertTrue(said("second").contains("job finetune goes on from "), said("second"));
    assertFalse(said("second").contains("trained again"), said("second"));
    signal(second, "KILL");
    awaitEnd("second", second);

    long reached = Long.parseLong(Files.readString(data().resolve("demo/step")).strip());
    Process third = demo("third");
    awaitSaid("third", third, text -> KNOWN_STEP.matcher(text).find());
    TrainerLine again = last("restored");
    assertTrue(
        again.step() >= closed.step() && again.step() <= reached, again + " after " + reached);
    assertEquals(
        again.step() < reached,
        said("third")
            .contains("steps " + (again.step() + 1) + " to " + reached + " are trained again"),
        said("third"));
    signal(third, "TERM");
    awaitEnd("third", third);
    assertEquals(0, third.exitValue(), said("third"));
  }

  @Test
  void ownPairsOnAnOwnModelAreCountedAndNothingIsSaidThatNobodyKnows() throws Exception {
    Path pairs = ownPairs(300);
    Path model = DemoBase.unpack(temp.resolve("own-model"));
    Path report = temp.resolve("report.json");
    String[] options = {
      "--pairs", pairs.toString(), "--model", model.toString(), "--report", report.toString()
    };
    Process demo = demo("own", 12, options);
    awaitEnd("own", demo);
    assertEquals(0, demo.exitValue(), said("own"));
    JsonNode read = new ObjectMapper().readTree(report.toFile());
    JsonNode counts = read.get("pairs");
    assertEquals(302, counts.get("consumed").asLong(), counts.toString());
    assertEquals(1, counts.get("deadLettered").asLong(), counts.toString());
    assertEquals(1, counts.get("duplicates").asLong(), counts.toString());
    assertEquals(0, counts.get("unaccounted").asLong(), counts.toString());
    assertTrue(counts.get("trained").asLong() > 0, counts.toString());
    assertTrue(read.at("/heldOut/published").isNumber(), read.toString());
    assertTrue(read.at("/heldOut/publishedPairs").asLong() >= 32, read.toString());
    // There are no scenes, so no figure of scenes, and nobody said what is a wrong alert.
    read.get("recallAt1").forEach(figure -> assertTrue(figure.isNull(), read.toString()));
    read.get("compositionalAccuracy")
        .forEach(figure -> assertTrue(figure.isNull(), read.toString()));
    assertTrue(read.at("/alerts/precision").isNull(), read.toString());
    assertTrue(said("own").contains("of the pairs kept apart"), said("own"));
    assertFalse(said("own").contains("scenes"), said("own"));

    Set<String> bases = new HashSet<>();
    for (AdapterRegistry.Entry adapter :
        AdapterRegistry.open(RegistryOptions.of(data().resolve("adapters").toString())).list()) {
      bases.add(adapter.manifest().baseName());
    }
    assertEquals(Set.of(model.toString()), bases);

    Process again = demo("again", 12, options);
    awaitEnd("again", again);
    assertEquals(0, again.exitValue(), said("again"));
    assertTrue(said("again").contains("all pairs of the file were sent before"), said("again"));
    JsonNode left = new ObjectMapper().readTree(report.toFile()).get("pairs");
    assertEquals(302, left.get("consumed").asLong(), left.toString());
    assertEquals(0, left.get("unaccounted").asLong(), left.toString());
  }

  /** A file of drawn scenes, one that comes twice and one whose image is none beside them. */
  private Path ownPairs(int count) throws IOException {
    Path folder = temp.resolve("own-pairs");
    String[] scenes = {
      "scenes", "--out", folder.toString(), "--count", Integer.toString(count), "--spread"
    };
    PrintWriter ignored = new PrintWriter(Writer.nullWriter());
    assertEquals(0, Main.run(scenes, ignored, ignored));
    Path file = folder.resolve("pairs.jsonl");
    List<String> lines = new ArrayList<>(Files.readAllLines(file));
    lines.add(lines.get(0));
    lines.add(5, "{\"id\":\"broken\",\"image\":\"broken.png\",\"caption\":\"a broken image\"}");
    Files.writeString(folder.resolve("broken.png"), "no image");
    return Files.write(file, lines);
  }

  private Path data() {
    return temp.resolve("data");
  }

  private Process demo(String name) throws IOException {
    return demo(name, 3600);
  }

  private Process demo(String name, int seconds, String... more) throws IOException {
    List<String> command =
        new ArrayList<>(
            List.of(
                // A shell starts what runs in its background with interrupts ignored, and that is
                // passed on; a terminal's Ctrl-C arrives.
                "env",
                "--default-signal=INT",
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                System.getProperty("test.jvm", "-XX:+TieredCompilation"),
                "-Xmx1g",
                "-cp",
                System.getProperty("java.class.path"),
                "-Dwhetstream.log=" + temp.resolve("log"),
                Main.class.getName(),
                "demo",
                "--headless",
                "--seconds",
                Integer.toString(seconds),
                "--data",
                data().toString()));
    command.addAll(List.of(more));
    Process process =
        new ProcessBuilder(command)
            .redirectErrorStream(true)
            .redirectOutput(temp.resolve(name).toFile())
            .start();
    started.add(process);
    return process;
  }

  private void awaitStep(String name, Process process, long step) throws Exception {
    Path noted = data().resolve("demo/step");
    awaitSaid(
        name,
        process,
        text -> {
          try {
            return Files.exists(noted) && Long.parseLong(Files.readString(noted).strip()) >= step;
          } catch (IOException e) {
            throw new IllegalStateException(e);
          }
        });
  }

  private void awaitSaid(String name, Process process, Predicate<String> condition)
      throws Exception {
    long end = System.nanoTime() + PATIENCE.toNanos();
    while (!condition.test(said(name))) {
      assertTrue(process.isAlive(), () -> "the demo ended: " + said(name));
      assertTrue(System.nanoTime() < end, () -> "waited for too long: " + said(name));
      process.waitFor(100, TimeUnit.MILLISECONDS);
    }
  }

  private void awaitEnd(String name, Process process) throws InterruptedException {
    assertTrue(
        process.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS), () -> "still runs: " + said(name));
  }

  private static void signal(Process process, String name) throws Exception {
    assertEquals(
        0,
        new ProcessBuilder("kill", "-" + name, Long.toString(process.pid())).start().waitFor(),
        "kill -" + name);
  }

  private String said(String name) {
    try {
      return Files.readString(temp.resolve(name));
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }

  private TrainerLine last(String what) throws IOException {
    try (Stream<String> lines = Files.lines(temp.resolve("log"))) {
      return lines
          .flatMap(line -> TRAINER.matcher(line).results())
          .filter(match -> match.group(1).equals(what))
          .map(DemoProcessTest::line)
          .reduce((a, b) -> b)
          .orElseThrow(() -> new AssertionError("the trainer logged no line '" + what + "'"));
    }
  }

  private static TrainerLine line(MatchResult match) {
    return new TrainerLine(match.group(1), Long.parseLong(match.group(2)), match.group(3));
  }
}
