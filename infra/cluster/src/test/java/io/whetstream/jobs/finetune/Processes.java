package io.whetstream.jobs.finetune;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Java processes that all end when this is closed, or when this process ends. */
final class Processes implements AutoCloseable {
  private static final long END_SECONDS = 30;

  private final Path logs;
  private final Map<String, String> environment;
  private final List<Process> started = new ArrayList<>();
  private final Thread atExit = new Thread(this::kill, "kill-processes");

  /**
   * A process of its own.
   *
   * @param log all that it writes, a file
   */
  record Running(Process process, Path log) {
    String text() {
      try {
        return Files.readString(log);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    /** As {@code kill -9} does; waits until the process is gone. */
    void kill() throws InterruptedException {
      process.destroyForcibly();
      if (!process.waitFor(END_SECONDS, TimeUnit.SECONDS)) {
        throw new IllegalStateException("process " + process.pid() + " does not end");
      }
    }
  }

  Processes(Path logs, Map<String, String> environment) {
    this.logs = logs;
    this.environment = environment;
    Runtime.getRuntime().addShutdownHook(atExit);
  }

  /**
   * Starts a main class.
   *
   * @param name of the log
   * @param classPath as for {@code java -cp}
   */
  Running start(String name, String classPath, List<String> jvmOptions, List<String> mainAndArgs) {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.add(System.getProperty("test.jvm", "-XX:+TieredCompilation"));
    command.addAll(jvmOptions);
    command.add("-cp");
    command.add(classPath);
    command.addAll(mainAndArgs);
    Path log = logs.resolve(name + ".txt");
    ProcessBuilder builder =
        new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile());
    // What the build sets for its own tests is not set on a user's cluster.
    builder.environment().keySet().removeAll(List.of("OPT_OUT_TRACKING", "ORT_DISABLE_TELEMETRY"));
    builder.environment().putAll(environment);
    try {
      Running running = new Running(builder.start(), log);
      started.add(running.process());
      return running;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Runs a main class to its end, which is near, and gives what it wrote. */
  String run(String name, String classPath, List<String> jvmOptions, List<String> mainAndArgs)
      throws InterruptedException {
    List<String> options = new ArrayList<>(jvmOptions);
    options.add("-XX:TieredStopAtLevel=1");
    Running running = start(name, classPath, options, mainAndArgs);
    if (!running.process().waitFor(2, TimeUnit.MINUTES) || running.process().exitValue() != 0) {
      throw new IllegalStateException(name + " failed:\n" + running.text());
    }
    return running.text();
  }

  private void kill() {
    started.forEach(Process::destroyForcibly);
  }

  @Override
  public void close() throws InterruptedException {
    kill();
    for (Process process : started) {
      process.waitFor(END_SECONDS, TimeUnit.SECONDS);
    }
    Runtime.getRuntime().removeShutdownHook(atExit);
  }
}
