package io.whetstream.bench;

import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.lvlm.Roofline;
import io.whetstream.model.text.TextTokenizer;
import io.whetstream.model.train.PreparedPair;
import io.whetstream.model.train.StepReport;
import io.whetstream.model.train.Trainer;
import io.whetstream.model.train.TrainingConfig;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * Training speed on random weights and random captions at a given shape: pairs/s, useful FLOP/s,
 * and utilisation against a 2048-cube fp32 product measured between the steps.
 */
@Command(
    name = "training-speed",
    mixinStandardHelpOptions = true,
    description = "Measures training steps at the shape vision 112/14 384x6, text 512x8.")
public final class TrainingSpeed implements Callable<Integer> {
  @Option(names = "--precision", split = ",", defaultValue = "FP32,BF16")
  List<Precision> precisions;

  @Option(names = "--batch", defaultValue = "32")
  int batch;

  @Option(names = "--chunk", defaultValue = "0")
  int chunk;

  @Option(names = "--steps", defaultValue = "8")
  int steps;

  @Option(names = "--threads", defaultValue = "2")
  int threads;

  @Option(names = "--short-caption", defaultValue = "12", description = "Mean length in tokens.")
  int shortCaption;

  @Option(names = "--long-caption", defaultValue = "40", description = "Mean length in tokens.")
  int longCaption;

  public static void main(String[] args) {
    System.exit(
        new CommandLine(new TrainingSpeed())
            .setCaseInsensitiveEnumValuesAllowed(true)
            .execute(args));
  }

  @Override
  public Integer call() throws Exception {
    Path directory = Files.createTempDirectory("whetstream-speed-");
    RandomModel.write(directory, RandomModel.Shape.quoted(), 1);
    System.out.println(
        "| precision | pairs/s | step p50 ms | useful GFLOP/pair | GFLOP/s | roofline GFLOP/s |"
            + " utilisation |\n|---|---|---|---|---|---|---|");
    for (Precision precision : precisions) {
      try (Checkpoint checkpoint = Checkpoint.open(directory);
          TextTokenizer tokenizer = TextTokenizer.open(directory);
          Lvlm model = Lvlm.open(checkpoint, new LvlmOptions(precision, "cpu", threads));
          Trainer trainer =
              Trainer.create(model, tokenizer, TrainingConfig.defaults().withChunk(chunk))) {
        Roofline roofline = new Roofline(model);
        Random random = new Random(1);
        trainer.step(pairs(model, random));
        List<StepReport> reports = new ArrayList<>();
        for (int step = 0; step < steps; step++) {
          reports.add(trainer.step(pairs(model, random)));
          roofline.measure();
        }
        reports.sort((a, b) -> Double.compare(a.seconds() / a.flops(), b.seconds() / b.flops()));
        StepReport median = reports.get(reports.size() / 2);
        double gflops = median.flops() / median.seconds() / 1e9;
        System.out.printf(
            Locale.ROOT,
            "| %s | %.1f | %.0f | %.1f | %.0f | %.0f | %.2f |%n",
            precision,
            batch / median.seconds(),
            1000 * median.seconds(),
            median.flops() / batch / 1e9,
            gflops,
            roofline.median(),
            gflops / roofline.median());
        System.out.flush();
      }
    }
    return 0;
  }

  private List<PreparedPair> pairs(Lvlm model, Random random) {
    int edge = model.config().vision().imageSize();
    List<PreparedPair> pairs = new ArrayList<>();
    for (int i = 0; i < batch; i++) {
      float[] pixels = new float[3 * edge * edge];
      for (int j = 0; j < pixels.length; j++) {
        pixels[j] = (float) random.nextGaussian();
      }
      String id = "pair-" + random.nextLong();
      pairs.add(
          new PreparedPair(
              id, pixels, ids(random, shortCaption), ids(random, longCaption), id, id));
    }
    return pairs;
  }

  /** Lengths spread by a fifth around the mean, as captions do. */
  private static long[] ids(Random random, int mean) {
    int length = Math.max(1, (int) Math.round(mean * (1 + 0.2 * random.nextGaussian())));
    return random.longs(length, 3, 300).toArray();
  }
}
