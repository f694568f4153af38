package io.whetstream.bench;

import com.sun.management.OperatingSystemMXBean;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.text.TextTokenizer;
import io.whetstream.model.train.PreparedPair;
import io.whetstream.model.train.StepReport;
import io.whetstream.model.train.Trainer;
import io.whetstream.model.train.TrainingConfig;
import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.DemoBase;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import java.io.IOException;
import java.lang.management.ManagementFactory;
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
 * Training speed: pairs/s, useful FLOP/s, and utilisation against a 2048-cube fp32 product measured
 * between the steps. On random weights with random captions at a given shape, or on the demo base
 * with drawn scenes.
 */
@Command(
    name = "training-speed",
    mixinStandardHelpOptions = true,
    description = "Measures training steps at the shape vision 112/14 384x6, text 512x8.")
public final class TrainingSpeed implements Callable<Integer> {
  private static final OperatingSystemMXBean CLOCK =
      ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);

  /** Products between two steps: the clock of processor time ticks in hundredths of a second. */
  private static final int PRODUCTS = 4;

  @Option(names = "--demo", description = "The demo base and drawn scenes instead.")
  boolean demo;

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

  @Option(
      names = "--processor-time",
      description =
          "Processor time of the process by threads instead of time, for a machine that is busy;"
              + " set OMP_WAIT_POLICY=PASSIVE with it, or waiting counts as work.")
  boolean processorTime;

  /** Pairs of one step. */
  private interface Pairs {
    List<PreparedPair> next();
  }

  /** Time and work of one step or one product. */
  private record Sample(double seconds, double flops) {
    double rate() {
      return flops / seconds / 1e9;
    }
  }

  public static void main(String[] args) {
    System.exit(
        new CommandLine(new TrainingSpeed())
            .setCaseInsensitiveEnumValuesAllowed(true)
            .execute(args));
  }

  @Override
  public Integer call() throws Exception {
    Path directory = demo ? DemoBase.directory() : randomModel();
    System.out.println(
        "| precision | pairs/s | step p50 ms | useful GFLOP/pair | GFLOP/s | roofline GFLOP/s |"
            + " utilisation |\n|---|---|---|---|---|---|---|");
    for (Precision precision : precisions) {
      try (Checkpoint checkpoint = Checkpoint.open(directory);
          TextTokenizer tokenizer = TextTokenizer.open(directory);
          Lvlm model = Lvlm.open(checkpoint, new LvlmOptions(precision, "cpu", threads));
          Trainer trainer =
              Trainer.create(model, tokenizer, TrainingConfig.defaults().withChunk(chunk))) {
        measure(precision, model, trainer, demo ? scenes(tokenizer) : random(model));
      }
    }
    return 0;
  }

  private void measure(Precision precision, Lvlm model, Trainer trainer, Pairs pairs) {
    Roofline roofline = new Roofline(model);
    for (int step = 0; step < 2; step++) {
      trainer.step(pairs.next());
    }
    List<Sample> samples = new ArrayList<>();
    List<Sample> products = new ArrayList<>();
    for (int step = 0; step < steps; step++) {
      List<PreparedPair> next = pairs.next();
      long begin = CLOCK.getProcessCpuTime();
      StepReport report = trainer.step(next);
      long middle = CLOCK.getProcessCpuTime();
      double seconds = 0;
      for (int product = 0; product < PRODUCTS; product++) {
        seconds += roofline.measure();
      }
      long end = CLOCK.getProcessCpuTime();
      samples.add(
          new Sample(
              processorTime ? (middle - begin) / 1e9 / threads : report.seconds(), report.flops()));
      products.add(
          new Sample(
              processorTime ? (end - middle) / 1e9 / threads : seconds, PRODUCTS * Roofline.FLOPS));
    }
    Sample step = median(samples);
    Sample product = median(products);
    System.out.printf(
        Locale.ROOT,
        "| %s | %.1f | %.0f | %.2f | %.0f | %.0f | %.3f |%n",
        precision,
        batch / step.seconds(),
        1000 * step.seconds(),
        step.flops() / batch / 1e9,
        step.rate(),
        product.rate(),
        step.rate() / product.rate());
    System.out.flush();
  }

  /**
   * How many times as many pairs a second in bf16 as in fp32, on random weights and captions: the
   * two take turns, and the ratio is the median of the turns'.
   */
  static double bf16OverFp32(Path model, int batch, int turns, int threads) throws IOException {
    TrainingSpeed speed = new TrainingSpeed();
    new CommandLine(speed).parseArgs("--batch", Integer.toString(batch));
    try (Checkpoint checkpoint = Checkpoint.open(model);
        TextTokenizer tokenizer = TextTokenizer.open(model);
        Lvlm full = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP32, "cpu", threads));
        Lvlm half = Lvlm.open(checkpoint, new LvlmOptions(Precision.BF16, "cpu", threads));
        Trainer exact = Trainer.create(full, tokenizer, TrainingConfig.defaults());
        Trainer brief = Trainer.create(half, tokenizer, TrainingConfig.defaults())) {
      Pairs pairs = speed.random(full);
      List<Double> ratios = new ArrayList<>();
      for (int turn = -1; turn < turns; turn++) {
        List<PreparedPair> next = pairs.next();
        double ratio = exact.step(next).seconds() / brief.step(next).seconds();
        if (turn >= 0) {
          ratios.add(ratio);
        }
      }
      ratios.sort(null);
      return ratios.get(ratios.size() / 2);
    }
  }

  private static Sample median(List<Sample> samples) {
    return samples.stream()
        .sorted((a, b) -> Double.compare(a.rate(), b.rate()))
        .toList()
        .get(samples.size() / 2);
  }

  private static Path randomModel() throws IOException {
    Path directory = Files.createTempDirectory("whetstream-speed-");
    RandomModel.write(directory, RandomModel.Shape.quoted(), 1);
    return directory;
  }

  private Pairs random(Lvlm model) {
    int edge = model.config().vision().imageSize();
    ImageGeometry picture = ImageGeometry.whole(edge, edge, model.config().imageTokens());
    Random random = new Random(1);
    return () -> {
      List<PreparedPair> pairs = new ArrayList<>();
      for (int i = 0; i < batch; i++) {
        float[] pixels = new float[3 * edge * edge];
        for (int j = 0; j < pixels.length; j++) {
          pixels[j] = (float) random.nextGaussian();
        }
        String id = "pair-" + random.nextLong();
        pairs.add(
            new PreparedPair(
                id,
                new ModelImage(picture, pixels),
                ids(random, shortCaption),
                ids(random, longCaption),
                id,
                id));
      }
      return pairs;
    };
  }

  /** Lengths spread by a fifth around the mean, as captions do. */
  private static long[] ids(Random random, int mean) {
    int length = Math.max(1, (int) Math.round(mean * (1 + 0.2 * random.nextGaussian())));
    return random.longs(length, 3, 300).toArray();
  }

  private Pairs scenes(TextTokenizer tokenizer) {
    SceneGenerator generator = new SceneGenerator(1, SceneLook.STANDARD);
    long[] index = {0};
    return () -> {
      List<PreparedPair> pairs = new ArrayList<>();
      while (pairs.size() < batch) {
        Scene scene = generator.scene(index[0]++);
        String caption = Captioner.shortCaption(scene);
        String id = "pair-" + index[0];
        pairs.add(
            new PreparedPair(
                id,
                SceneRenderer.processed(SceneRenderer.render(scene)),
                tokenizer.encode(caption),
                tokenizer.encode(Captioner.longCaption(scene)),
                id,
                caption));
      }
      return pairs;
    };
  }
}
