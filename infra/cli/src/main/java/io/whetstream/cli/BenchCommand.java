package io.whetstream.cli;

import io.whetstream.bench.Bench;
import io.whetstream.model.BadInputException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code whetstream bench}: the figures that are compared between versions. */
@Command(
    name = "bench",
    description =
        "Measures this machine: the whole fine-tune job over its bare step, the scoring job over"
            + " a bare session, int8 and bf16 over fp32, mining, matching, recovery, freshness."
            + " What is compared takes turns in one run; nothing else should run meanwhile."
            + " S is vision 64 px/8, d 128 x 4, text d 128 x 4; M is vision 112 px/14, d 384 x 6,"
            + " text d 512 x 8, random weights. With --json the last line is one object of dotted"
            + " names.")
final class BenchCommand implements Callable<Integer> {
  @Mixin private ResultOptions result;

  @Option(names = "--quick", description = "Some minutes instead of half an hour: fewer turns.")
  private boolean quick;

  @Option(
      names = "--only",
      split = ",",
      paramLabel = "PART",
      completionCandidates = Parts.class,
      description = "Measure these parts alone: ${COMPLETION-CANDIDATES}.")
  private List<String> only = List.of();

  @Option(
      names = "--threads",
      paramLabel = "N",
      defaultValue = "2",
      description = "Of libtorch in training (default: ${DEFAULT-VALUE}).")
  private int threads;

  /** For help. */
  static final class Parts extends ArrayList<String> {
    private static final long serialVersionUID = 1L;

    Parts() {
      super(Bench.parts());
    }
  }

  @Override
  public Integer call() throws Exception {
    for (String part : only) {
      if (!Bench.parts().contains(part)) {
        throw new BadInputException(
            "--only " + part + ": there is no such part; parts are " + Bench.parts());
      }
    }
    Bench.Result measured =
        Bench.run(
            only,
            quick,
            threads,
            line -> {
              result.err().println(line);
              result.err().flush();
            });
    result.print(
        measured.figures(),
        measured.figures().entrySet().stream()
            .map(
                entry ->
                    String.format(Locale.ROOT, "%-36s %10.3f", entry.getKey(), entry.getValue()))
            .collect(Collectors.joining("\n")));
    if (!measured.failed().isEmpty()) {
      result.err().println("whetstream: not measured: " + String.join(", ", measured.failed()));
      return Main.FAILED;
    }
    return 0;
  }
}
