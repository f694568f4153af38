package io.whetstream.cli;

import io.whetstream.local.LocalOptions;
import io.whetstream.local.StopSignal;
import io.whetstream.local.demo.Demo;
import io.whetstream.local.demo.DemoOptions;
import io.whetstream.model.BadInputException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code whetstream demo}: the whole system in one process, on a stream of drawn scenes. */
@Command(
    name = "demo",
    description =
        "Runs Kafka, Flink and both jobs in this process on a stream of drawn scenes whose looks"
            + " change half-way, and reports what was learnt. Ctrl-C stops with savepoints; the"
            + " next start goes on from them.")
final class DemoCommand implements Callable<Integer> {
  private static final long HEADLESS_EVERY = 10;

  @Mixin private ResultOptions result;
  @Mixin private ModelOptions model;
  @Mixin private LocalRuntimeOptions local;

  @Option(
      names = "--seconds",
      paramLabel = "N",
      defaultValue = "180",
      description = "How long the stream lasts (default: ${DEFAULT-VALUE}).")
  private int seconds;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "1",
      description = "Of scenes and training (default: ${DEFAULT-VALUE}).")
  private long seed;

  @Option(
      names = "--pairs",
      paramLabel = "FILE",
      description =
          "Stream your own pairs instead, once, in the order of the file, spread over the seconds:"
              + " JSON lines {\"id\", \"image\", \"caption\", \"caption_long\"?}. Some of their"
              + " captions are watched for.")
  private Path pairs;

  @Option(
      names = "--headless",
      description =
          "For unattended runs: no console, a plain line now and then instead of a live one.")
  private boolean headless;

  @Option(
      names = "--console-port",
      paramLabel = "PORT",
      defaultValue = "0",
      description = "Port of the web console, on loopback (default: a free one).")
  private int consolePort;

  @Option(
      names = "--report",
      paramLabel = "FILE",
      description = "Write what was measured to a JSON file.")
  private Path report;

  @Override
  public Integer call() throws Exception {
    DemoOptions options = DemoOptions.of(seconds, seed);
    LocalOptions where = local.options("demo");
    Path base = model.directory();
    if (!Files.exists(base.resolve("model.safetensors"))
        && !Files.exists(base.resolve("model.safetensors.index.json"))) {
      throw new BadInputException(
          "base model directory " + base + " holds no model.safetensors; give another --model");
    }
    TemporaryFolder.require(TemporaryFolder.NATIVES);
    Demo demo = new Demo(options, where, base, report, StopSignal.install(), progress());
    if (pairs != null) {
      demo.withPairs(pairs);
    }
    Map<String, Object> outcome =
        (headless ? demo : demo.withConsole(consolePort, Terminal.attached())).run();
    if (result.json()) {
      result.print(outcome, "");
    }
    return 0;
  }

  private Demo.Progress progress() {
    boolean live = !headless && Terminal.attached();
    return live ? new LiveLine(result.err()) : new PlainLines(result.err());
  }

  /** A line that is written over again and again. */
  private static final class LiveLine implements Demo.Progress {
    private final PrintWriter out;
    private int width;

    LiveLine(PrintWriter out) {
      this.out = out;
    }

    @Override
    public void say(String line) {
      show(line);
      out.println();
      width = 0;
      out.flush();
    }

    @Override
    public void status(String line) {
      show(line);
      width = line.length();
      out.flush();
    }

    private void show(String line) {
      out.print("\r" + line + " ".repeat(Math.max(0, width - line.length())));
    }
  }

  /** Every tenth status on a line of its own. */
  private static final class PlainLines implements Demo.Progress {
    private final PrintWriter out;
    private final long start = System.nanoTime();
    private long count;

    PlainLines(PrintWriter out) {
      this.out = out;
    }

    @Override
    public void say(String line) {
      double now = (System.nanoTime() - start) / 1e9;
      out.println(line.isEmpty() ? "" : String.format(Locale.ROOT, "[%5.1f s] %s", now, line));
      out.flush();
    }

    @Override
    public void status(String line) {
      if (count++ % HEADLESS_EVERY == 0) {
        say(line);
      }
    }
  }
}
