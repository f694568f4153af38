package io.whetstream.cli;

import io.whetstream.model.BadInputException;
import io.whetstream.model.NativeWork;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Locale;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;

/** The {@code whetstream} command: parses, runs a subcommand, turns failures into messages. */
@Command(
    name = "whetstream",
    description = "Keeps vision-language embeddings sharp on a live stream.",
    mixinStandardHelpOptions = true,
    scope = ScopeType.INHERIT,
    versionProvider = Version.class,
    synopsisSubcommandLabel = "COMMAND",
    usageHelpAutoWidth = true,
    sortOptions = false)
public final class Main implements Runnable {
  /** Exit code after bad input: arguments, files, configuration. */
  public static final int BAD_INPUT = CommandLine.ExitCode.USAGE;

  /** Exit code after any other failure. */
  public static final int FAILED = CommandLine.ExitCode.SOFTWARE;

  /** Exit code after a refusal by Kafka that may pass: no answer, no leader yet, and the like. */
  public static final int TRY_AGAIN = 3;

  @Spec private CommandSpec spec;

  @Option(
      names = "--verbose",
      scope = ScopeType.INHERIT,
      description = "Show stack traces, and log to the console.")
  private boolean verbose;

  private Main() {}

  /** Runs the command line and ends the process with its exit code. */
  public static void main(String[] args) {
    // Kafka's broker parses names by the rules of the locale: in Turkish it knows no CLASSIC.
    // Before
    // its classes load.
    Locale.setDefault(Locale.ROOT);
    prepare(args);
    int code =
        run(
            args,
            new PrintWriter(System.out, true, StandardCharsets.UTF_8),
            new PrintWriter(System.err, true, StandardCharsets.UTF_8));
    // Broker threads and native pools are not daemons: a command that is done is done.
    System.exit(code);
  }

  /**
   * Runs the command line.
   *
   * @param out takes results
   * @param err takes messages and progress
   * @return the exit code: 0, {@link #BAD_INPUT}, {@link #TRY_AGAIN} or {@link #FAILED}
   */
  public static int run(String[] args, PrintWriter out, PrintWriter err) {
    CommandLine line = new CommandLine(new Main());
    for (Object command : Commands.all()) {
      line.addSubcommand(command);
    }
    return run(line, args, out, err);
  }

  /** As {@link #run(String[], PrintWriter, PrintWriter)}, for a command line built by a test. */
  static int run(CommandLine line, String[] args, PrintWriter out, PrintWriter err) {
    line.setOut(out);
    line.setErr(err);
    line.setCaseInsensitiveEnumValuesAllowed(true);
    line.setParameterExceptionHandler(Main::misused);
    line.setExecutionStrategy(
        parsed -> {
          Integer help = CommandLine.executeHelpRequest(parsed);
          if (help != null) {
            return help;
          }
          try {
            TemporaryFolder.require(TemporaryFolder.LITTLE);
          } catch (BadInputException e) {
            return Failures.report(e, verbose(args), err);
          }
          return new CommandLine.RunLast().execute(parsed);
        });
    line.setExecutionExceptionHandler(
        (failure, where, parsed) -> Failures.report(failure, verbose(args), where.getErr()));
    try {
      return line.execute(args);
    } catch (Error e) {
      return Failures.report(e, verbose(args), err);
    } finally {
      out.flush();
      err.flush();
    }
  }

  static CommandLine commandLine(Object... subcommands) {
    CommandLine line = new CommandLine(new Main());
    for (Object command : subcommands) {
      line.addSubcommand(command);
    }
    return line;
  }

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "say what to do: a command is missing");
  }

  private static int misused(ParameterException failure, String[] args) {
    CommandLine where = failure.getCommandLine();
    PrintWriter err = where.getErr();
    err.println("whetstream: " + Failures.oneLine(failure.getMessage()));
    CommandLine.UnmatchedArgumentException.printSuggestions(failure, err);
    err.println("Try '" + where.getCommandSpec().qualifiedName() + " --help'.");
    if (verbose(args)) {
      failure.printStackTrace(err);
    }
    return BAD_INPUT;
  }

  /** Before anything logs: log4j and the native libraries read these once. */
  static void prepare(String[] args) {
    NativeWork.beforeExit();
    setDefault("whetstream.log", Path.of(Homes.data().toString(), "whetstream.log").toString());
    setDefault("whetstream.console.level", verbose(args) ? "info" : "off");
    setDefault("java.awt.headless", "true");
    setDefault("ai.djl.offline", "true");
    setDefault("OPT_OUT_TRACKING", "true");
  }

  private static void setDefault(String property, String value) {
    if (System.getProperty(property) == null) {
      System.setProperty(property, value);
    }
  }

  /** Read from the raw arguments, because parsing itself may be what failed. */
  private static boolean verbose(String[] args) {
    for (String arg : args) {
      if (arg.equals("--verbose")) {
        return true;
      }
    }
    return false;
  }
}
