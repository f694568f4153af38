package io.whetstream.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.BadInputException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.net.BindException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.FileSystemException;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.Callable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

class MainTest {
  /** A command that does what the test says. */
  @Command(name = "probe", description = "For tests.")
  static final class Probe implements Callable<Integer> {
    private final Callable<Object> body;

    @Option(names = "--count")
    int count;

    @Mixin private ResultOptions result;

    Probe(Callable<Object> body) {
      this.body = body;
    }

    @Override
    public Integer call() throws Exception {
      result.err().println("progress");
      result.print(body.call(), "text for a person");
      return 0;
    }
  }

  @TempDir Path temp;

  record Ran(int code, String out, String err) {}

  private static Ran run(Callable<Object> body, String... args) {
    CommandLine line = Main.commandLine(new Probe(body));
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = Main.run(line, args, new PrintWriter(out, true), new PrintWriter(err, true));
    return new Ran(code, out.toString(), err.toString());
  }

  private static Callable<Object> failing(Exception failure) {
    return () -> {
      throw failure;
    };
  }

  @Test
  void badInputIsOneMessageAndExitCodeTwo() {
    Ran ran = run(failing(new BadInputException("pairs.jsonl line 3:\n no image")), "probe");
    assertEquals(2, ran.code());
    assertEquals("progress\nwhetstream: pairs.jsonl line 3: no image\n", ran.err());
    assertEquals("", ran.out());
  }

  @Test
  void badInputIsFoundBeneathWrappers() {
    Exception deep = new RuntimeException("job failed", new BadInputException("no such adapter"));
    Ran ran = run(failing(new IllegalStateException(deep)), "probe");
    assertEquals(2, ran.code());
    assertEquals("progress\nwhetstream: no such adapter\n", ran.err());
  }

  @Test
  void otherFailuresAreExitCodeOneWithoutStackTrace() {
    Ran ran = run(failing(new IllegalStateException("broker gone")), "probe");
    assertEquals(1, ran.code());
    assertTrue(ran.err().contains("whetstream: broker gone"), ran.err());
    assertFalse(ran.err().contains("\tat "), ran.err());
  }

  @Test
  void verboseShowsTheStackTraceWhereverItStands() {
    for (String[] args : new String[][] {{"--verbose", "probe"}, {"probe", "--verbose"}}) {
      Ran ran = run(failing(new BadInputException("no image")), args);
      assertEquals(2, ran.code());
      assertTrue(ran.err().contains("\tat "), ran.err());
    }
  }

  @Test
  void errorsOfTheMachineNameARemedy() {
    String busy =
        run(failing(new RuntimeException("x", new BindException("8081: in use"))), "probe").err();
    assertTrue(busy.contains("8081") && busy.contains("choose another"), busy);
    Exception full = new FileSystemException("/d/a", null, "No space left on device");
    String disk = run(failing(new UncheckedIOException((java.io.IOException) full)), "probe").err();
    assertTrue(disk.contains("/d/a") && disk.contains("free some space"), disk);
    Ran memory =
        run(
            () -> {
              throw new OutOfMemoryError("Java heap space");
            },
            "probe");
    assertEquals(1, memory.code());
    assertTrue(memory.err().contains("not enough memory"), memory.err());
  }

  @Test
  void wrongArgumentsAreExitCodeTwoAndNameTheRightOnes() {
    for (String[] args :
        new String[][] {{"probe", "--count", "many"}, {"probe", "--cuont", "1"}, {"prob"}, {}}) {
      Ran ran = run(() -> 1, args);
      assertEquals(2, ran.code(), String.join(" ", args));
      assertTrue(ran.err().startsWith("whetstream: "), ran.err());
      assertFalse(ran.err().contains("\tat "), ran.err());
    }
    String command = run(() -> 1, "prob").err();
    assertTrue(command.contains("probe"), command);
    String option = run(() -> 1, "probe", "--countt", "1").err();
    assertTrue(option.contains("--count") && option.contains("probe --help"), option);
  }

  @Test
  void aMissingModelFileOrFreePortIsSaidInOneLineWithoutStackTrace() throws Exception {
    try (ServerSocket busy = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      String port = Integer.toString(busy.getLocalPort());
      String data = temp.resolve("data").toString();
      for (String[] args :
          new String[][] {
            {"demo", "--headless", "--data", data, "--model", "no-such-directory"},
            {"demo", "--headless", "--data", data, "--pairs", "no-such-file.jsonl"},
            {"demo", "--headless", "--data", data, "--web-port", port},
            {"demo", "--headless", "--data", data, "--kafka-port", port},
            {"demo", "--headless", "--data", data, "--seconds", "0"},
            {"demo", "--data", data, "--console-port", port},
            {"console", "--bootstrap-servers", "127.0.0.1:" + port, "--port", "70000"},
          }) {
        StringWriter err = new StringWriter();
        int code = Main.run(args, new PrintWriter(new StringWriter()), new PrintWriter(err));
        assertEquals(2, code, String.join(" ", args) + ": " + err);
        String said =
            err.toString().lines().filter(l -> l.startsWith("whetstream: ")).toList() + "";
        assertTrue(said.length() > 30, String.join(" ", args) + ": " + err);
        assertFalse(err.toString().contains("\tat "), err.toString());
      }
    }
  }

  @Test
  void jsonIsTheLastLineOfStandardOutputAndAlone() throws Exception {
    Ran ran = run(() -> Map.of("pairs", 3), "probe", "--json");
    assertEquals(0, ran.code());
    JsonNode last = new ObjectMapper().readTree(ran.out().strip());
    assertEquals(3, last.get("pairs").asInt());
    assertEquals("progress\n", ran.err());
    assertEquals("text for a person\n", run(() -> Map.of("pairs", 3), "probe").out());
  }

  @Test
  void everyCommandHasHelpAndADescription() {
    for (Object command : Commands.all()) {
      String name = new CommandLine(command).getCommandName();
      StringWriter out = new StringWriter();
      int code =
          Main.run(new String[] {name, "--help"}, new PrintWriter(out), new PrintWriter(out));
      assertEquals(0, code, name);
      assertTrue(out.toString().contains("Usage: whetstream " + name), out.toString());
      assertTrue(
          new CommandLine(command).getCommandSpec().usageMessage().description().length > 0, name);
    }
  }

  @Test
  void versionIsThatOfTheBuild() {
    StringWriter out = new StringWriter();
    assertEquals(
        0, Main.run(new String[] {"--version"}, new PrintWriter(out), new PrintWriter(out)));
    assertTrue(out.toString().matches("whetstream \\d+\\.\\d+\\.\\d+\\S*\\s*"), out.toString());
  }

  @Test
  void aTemporaryFolderThatCannotBeUsedIsNamedWithTheRemedy() {
    String usual = System.getProperty("java.io.tmpdir");
    try {
      System.setProperty("java.io.tmpdir", temp.resolve("gone").toString());
      Ran ran = run(() -> "not reached", "probe");
      assertEquals(Main.BAD_INPUT, ran.code(), ran.err());
      assertTrue(ran.err().contains(temp.resolve("gone") + " does not exist"), ran.err());
      assertTrue(ran.err().contains("TMPDIR"), ran.err());
      assertEquals(0, run(() -> "", "probe", "--help").code());
    } finally {
      System.setProperty("java.io.tmpdir", usual);
    }
    assertTrue(TemporaryFolder.problem(Long.MAX_VALUE - 0xfffff).contains("is full"));
    assertEquals(0, run(() -> "reached", "probe").code());
  }

  /** From JDK 22 on there is a console without a terminal. */
  @Test
  void whatATestWritesToIsNoTerminal() {
    assertFalse(Terminal.attached());
  }

  @Test
  void aMessageIsNeverLongerThanAFewLines() {
    Ran ran =
        run(
            () -> {
              throw new BadInputException("begins " + "x".repeat(12_000) + " ends");
            },
            "probe");
    assertTrue(ran.err().length() < 1500, ran.err());
    assertTrue(ran.err().contains("begins") && ran.err().contains(" ends"), ran.err());
  }
}
