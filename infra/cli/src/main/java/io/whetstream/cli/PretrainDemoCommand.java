package io.whetstream.cli;

import io.whetstream.scenes.DemoBase;
import io.whetstream.scenes.DemoPretraining;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code whetstream pretrain-demo}: makes the demo base's weights again. */
@Command(
    name = "pretrain-demo",
    description = "Pretrains the demo base from scratch on drawn scenes, next-token losses only.")
final class PretrainDemoCommand implements Callable<Integer> {
  private static final int WINDOW = 50;

  /** The result with {@code --json}: means over the last steps. */
  record Result(String file, int steps, double loss, double accuracy, double seconds) {}

  @Mixin private ResultOptions result;

  @Option(
      names = "--out",
      required = true,
      paramLabel = "FILE",
      description = "The safetensors file to write; bfloat16, about 3 MB.")
  private Path out;

  @Option(
      names = "--steps",
      paramLabel = "N",
      description = "Optimizer steps (default: those of the weights in the library).")
  private Integer steps;

  @Option(names = "--seed", paramLabel = "N", description = "Another seed, another model.")
  private Long seed;

  @Option(
      names = "--threads",
      paramLabel = "N",
      description = "Threads of one matrix product (default: 1; sums differ in the last bits).")
  private Integer threads;

  @Override
  public Integer call() {
    DemoPretraining.Settings d = DemoPretraining.Settings.defaults();
    DemoPretraining.Settings settings =
        new DemoPretraining.Settings(
            steps == null ? d.steps() : steps,
            d.batch(),
            d.learningRate(),
            seed == null ? d.seed() : seed,
            threads == null ? d.threads() : threads);
    double[] sums = new double[2];
    double[] last = new double[2];
    long start = System.nanoTime();
    DemoPretraining.run(
        DemoBase.directory(),
        out,
        settings,
        report -> {
          sums[0] += report.loss();
          sums[1] += report.accuracy();
          if (report.step() % WINDOW == 0) {
            last[0] = sums[0] / WINDOW;
            last[1] = sums[1] / WINDOW;
            sums[0] = 0;
            sums[1] = 0;
            result
                .err()
                .printf(
                    Locale.ROOT,
                    "step %d of %d: loss %.4f, tokens right %.1f %%, %.0f s%n",
                    report.step(),
                    settings.steps(),
                    last[0],
                    100 * last[1],
                    (System.nanoTime() - start) / 1e9);
            result.err().flush();
          }
        });
    double seconds = (System.nanoTime() - start) / 1e9;
    result.print(
        new Result(out.toString(), settings.steps(), last[0], last[1], seconds),
        String.format(Locale.ROOT, "wrote %s after %.0f s", out, seconds));
    return 0;
  }
}
