package io.whetstream.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.charset.Charset;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.CleanupMode;
import org.junit.jupiter.api.io.TempDir;

/**
 * {@code whetstream job both} as a process of its own, in a country whose letters are not ours and
 * a directory that people name.
 */
@Tag("cluster")
class JobProcessTest {
  private static final Duration PATIENCE = Duration.ofMinutes(4);
  private static final Pattern KAFKA = Pattern.compile("^Kafka (\\S+),", Pattern.MULTILINE);

  // What the processes said is in it.
  @TempDir(cleanup = CleanupMode.ON_SUCCESS)
  private static Path temp;

  private final List<Process> started = new ArrayList<>();

  @AfterEach
  void endWhatIsLeft() throws InterruptedException {
    for (Process process : started) {
      process.destroyForcibly().waitFor(30, TimeUnit.SECONDS);
    }
  }

  @Test
  void everythingThatLastsIsInTheDirectoryAndBothJobsGoOnFromIt() throws Exception {
    Files.writeString(
        temp.resolve("finetune.yaml"),
        """
        name: shop
        training: {globalBatch: 8}
        mining: {candidates: 8, depth: 0, tables: 1, idleFlush: 1s}
        publish: {everySteps: 2}
        heldOut: {share: 0.2}
        gate: {minSample: 2, minChange: -1}
        checkpoint: {interval: 500ms, directory: /nowhere/of/a/cluster}
        """);
    Files.writeString(
        temp.resolve("score.yaml"),
        """
        name: shop-score
        adapterStream: shop
        """);
    Path pairs = temp.resolve("pairs");
    assertEquals(0, run("scenes", "--out", pairs.toString(), "--count", "150", "--spread").code());

    Process first = both("first");
    await("Kafka's address", first, () -> kafka("first") != null);
    Ran sent =
        run(
            "produce",
            "--topic",
            "pairs",
            "--from",
            pairs.resolve("pairs.jsonl").toString(),
            "--bootstrap-servers",
            kafka("first"));
    assertEquals(0, sent.code(), sent.err());
    await("an adapter", first, () -> adapters() > 0);
    // Only then has the scoring job taken it up, and can stop with a savepoint.
    await("a checkpoint of the scoring job", first, () -> hasCheckpoint("score"));
    assertTrue(said("first").contains("job finetune started"), said("first"));
    assertTrue(said("first").contains("job score started"), said("first"));
    interrupt(first, "first");
    assertTrue(said("first").contains("job finetune stopped at " + data()), said("first"));
    assertTrue(said("first").contains("job score stopped at " + data()), said("first"));
    assertFalse(Files.readString(temp.resolve("first.log")).contains("Name collision"));
    int published = adapters();

    Process second = both("second");
    await("going on", second, () -> said("second").contains("job score goes on from "));
    assertTrue(said("second").contains("job finetune goes on from " + data()), said("second"));
    assertFalse(said("second").contains(" started"), said("second"));
    interrupt(second, "second");
    assertTrue(adapters() >= published);

    delete(data().resolve("checkpoints"));
    delete(data().resolve("savepoints"));
    Process third = both("third");
    assertTrue(third.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS), () -> said("third"));
    assertEquals(Main.BAD_INPUT, third.exitValue(), said("third"));
    assertTrue(said("third").contains("--without-state"), said("third"));
    // Nothing lies where the process was started but what this test put there.
    try (Stream<Path> left = Files.list(temp.resolve("started here"))) {
      assertEquals(List.of(), left.toList());
    }
  }

  private static Path data() {
    Charset names = Charset.forName(System.getProperty("sun.jnu.encoding"));
    String name = "my data, 100% c#1 q?x%20y";
    return temp.resolve(names.newEncoder().canEncode('ö') ? name + " größe" : name);
  }

  private Process both(String name) throws IOException {
    Path here = Files.createDirectories(temp.resolve("started here"));
    List<String> command =
        List.of(
            "env",
            "--default-signal=INT",
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            System.getProperty("test.jvm", "-XX:+TieredCompilation"),
            "-Xmx1g",
            "-Duser.language=tr",
            "-Duser.country=TR",
            "-cp",
            System.getProperty("java.class.path"),
            "-Dwhetstream.log=" + temp.resolve(name + ".log"),
            Main.class.getName(),
            "job",
            "both",
            "--finetune",
            temp.resolve("finetune.yaml").toString(),
            "--score",
            temp.resolve("score.yaml").toString(),
            "-D",
            "base.threads=1",
            "--data",
            data().toString());
    Process process =
        new ProcessBuilder(command)
            .directory(here.toFile())
            .redirectErrorStream(true)
            .redirectOutput(temp.resolve(name).toFile())
            .start();
    started.add(process);
    return process;
  }

  private static void interrupt(Process process, String name) throws Exception {
    new ProcessBuilder("kill", "-INT", Long.toString(process.pid())).start().waitFor();
    assertTrue(process.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS), () -> said(name));
    assertEquals(0, process.exitValue(), said(name));
  }

  private static void await(String what, Process process, Callable<Boolean> condition)
      throws Exception {
    long end = System.nanoTime() + PATIENCE.toNanos();
    while (!condition.call()) {
      assertTrue(process.isAlive(), () -> "the process ended before " + what + ", see " + temp);
      assertTrue(System.nanoTime() < end, () -> "waited in vain for " + what + ", see " + temp);
      process.waitFor(100, TimeUnit.MILLISECONDS);
    }
  }

  private static String kafka(String name) {
    Matcher found = KAFKA.matcher(said(name));
    return found.find() ? found.group(1) : null;
  }

  private static String said(String name) {
    try {
      return Files.readString(temp.resolve(name));
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }

  /** What {@code adapters list} finds in the data directory. */
  private static int adapters() throws IOException {
    Ran listed =
        run("adapters", "list", "--registry", data().resolve("adapters").toString(), "--json");
    assertEquals(0, listed.code(), listed.err());
    JsonNode all = new ObjectMapper().readTree(listed.out());
    return (all.isArray() ? all : all.path("adapters")).size();
  }

  private static boolean hasCheckpoint(String job) throws IOException {
    Path all = data().resolve("checkpoints").resolve(job);
    if (!Files.exists(all)) {
      return false;
    }
    try (Stream<Path> found = Files.find(all, 3, (f, a) -> f.endsWith("_metadata"))) {
      return found.findAny().isPresent();
    } catch (UncheckedIOException e) {
      // A checkpoint was deleted under the walk: it was not the first.
      return true;
    }
  }

  private record Ran(int code, String out, String err) {}

  private static Ran run(String... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = Main.run(arguments, new PrintWriter(out, true), new PrintWriter(err, true));
    return new Ran(code, out.toString(), err.toString());
  }

  private static void delete(Path directory) throws IOException {
    try (Stream<Path> paths = Files.walk(directory)) {
      for (Path each : paths.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(each);
      }
    }
  }
}
