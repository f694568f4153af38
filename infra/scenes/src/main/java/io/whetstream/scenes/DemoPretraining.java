package io.whetstream.scenes;

import io.whetstream.model.checkpoint.DType;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.checkpoint.SafeTensorsWriter;
import io.whetstream.model.text.TextTokenizer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * How the demo base's weights were made: next-token losses only, on {@link PretrainingStream}. The
 * same settings on the same processor type, natives and number of threads give the same weights.
 */
public final class DemoPretraining {
  private static final int WARMUP_STEPS = 100;
  private static final double FINAL_RATE = 0.02;

  private DemoPretraining() {}

  /**
   * What determines the result.
   *
   * @param batch lines per step
   * @param learningRate after a warm-up of 100 steps; falls by a cosine to 2 % of it
   * @param threads of one matrix product
   */
  public record Settings(int steps, int batch, double learningRate, long seed, int threads) {
    /** What the weights in the repository were made with. */
    public static Settings defaults() {
      return new Settings(2800, 48, 1.5e-3, 1, 1);
    }
  }

  /**
   * Trains from scratch.
   *
   * @param directory holds {@code config.json} and {@code tokenizer.json}
   * @param target the safetensors file to write, bfloat16
   * @param progress called after each step
   */
  public static void run(
      Path directory, Path target, Settings settings, Consumer<Pretrainer.Report> progress) {
    ModelConfig config = ModelConfig.read(directory.resolve("config.json"));
    PretrainingStream stream =
        new PretrainingStream(settings.seed(), (long) settings.steps() * settings.batch());
    try (TextTokenizer tokenizer = TextTokenizer.open(directory);
        Pretrainer pretrainer = new Pretrainer(config, settings.seed(), settings.threads())) {
      for (int step = 0; step < settings.steps(); step++) {
        List<Pretrainer.Example> examples = new ArrayList<>();
        for (int i = 0; i < settings.batch(); i++) {
          examples.add(example(tokenizer, stream.example((long) step * settings.batch() + i)));
        }
        progress.accept(pretrainer.step(examples, rate(settings, step)));
      }
      SafeTensorsWriter writer = new SafeTensorsWriter();
      pretrainer.weights().forEach((name, t) -> writer.add(name, DType.BF16, t.shape(), t.data()));
      writer.metadata("format", "pt");
      writer.write(target);
    }
  }

  private static Pretrainer.Example example(TextTokenizer tokenizer, PretrainingExample line) {
    return new Pretrainer.Example(
        line.image() == null ? null : SceneRenderer.processed(line.image()),
        line.prompt().isEmpty() ? new long[0] : tokenizer.encode(line.prompt()),
        tokenizer.encode(line.text()));
  }

  private static double rate(Settings settings, int step) {
    double warm = Math.min(1, (step + 1) / (double) WARMUP_STEPS);
    double cosine = 0.5 * (1 + Math.cos(Math.PI * step / settings.steps()));
    return settings.learningRate() * warm * (FINAL_RATE + (1 - FINAL_RATE) * cosine);
  }
}
