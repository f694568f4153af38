package io.whetstream.cli;

import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.lvlm.AdapterLayout;
import io.whetstream.model.lvlm.Flops;
import io.whetstream.model.lvlm.Row;
import io.whetstream.model.lvlm.SequenceBuilder;
import io.whetstream.model.train.MemoryPlan;
import io.whetstream.model.train.TrainingConfig;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.IntFunction;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code whetstream plan}: what a training step would take, without taking it. */
@Command(
    name = "plan",
    description = "Predicts memory, operations and checkpoint size of training, before training.")
final class PlanCommand implements Callable<Integer> {

  /**
   * The result with {@code --json}.
   *
   * @param parameters of the base model's files
   * @param trainable of the adapter
   * @param imageSize of the pictures that are planned for, width x height in pixels
   * @param imageTokens that one of them takes
   * @param mostImageTokens that a picture of any size takes at most: the model's pixel budget
   * @param rowTokens of all rows of a step
   * @param flopsPerStep useful operations, as {@code train} counts them
   * @param chunk rows at once; 0 for all
   * @param fits whether the memory that is free here would do; always true with a given chunk
   * @param checkpointBytes of the trainer's state: weights and both moments
   * @param adapterBytes of the adapter's tensors
   */
  record Result(
      long parameters,
      long trainable,
      String imageSize,
      int imageTokens,
      int mostImageTokens,
      int rowTokens,
      double flopsPerStep,
      int chunk,
      boolean fits,
      MemoryPlan memoryBytes,
      long checkpointBytes,
      long adapterBytes) {}

  @Mixin private ModelOptions model;
  @Mixin private TrainingOptions training;
  @Mixin private ComputeOptions compute;
  @Mixin private ResultOptions result;

  @Option(
      names = "--caption-tokens",
      paramLabel = "N",
      defaultValue = "16",
      description = "Length of a short caption; 0: pairs have none (default: 16).")
  private int shortTokens;

  @Option(
      names = "--long-caption-tokens",
      paramLabel = "N",
      defaultValue = "64",
      description = "Length of a long caption; 0: pairs have none (default: 64).")
  private int longTokens;

  @Option(
      names = "--image-size",
      paramLabel = "WxH",
      description =
          "Size of the pictures in pixels (default: one that the model takes as it is, or nearly).")
  private String imageSize;

  @Override
  public Integer call() {
    if (shortTokens < 0 || longTokens < 0 || shortTokens + longTokens == 0) {
      throw new BadInputException(
          "--caption-tokens and --long-caption-tokens must not be negative, nor both 0");
    }
    try (OfflineModel base = OfflineModel.open(model.directory())) {
      TrainingConfig config = training.config(1);
      AdapterConfig adapter = config.adapter();
      AdapterLayout layout = new AdapterLayout(base.config(), adapter);
      SequenceBuilder sequences = SequenceBuilder.of(base.tokenizer(), base.config(), adapter);
      int[] size = size(base.processor().side());
      ImageGeometry picture = base.processor().geometry(size[0], size[1]);
      List<Row> rows =
          MemoryPlan.rows(sequences, picture, training.batch(), shortTokens, longTokens);
      Architecture architecture = base.config().architecture();
      List<ImageGeometry> images = Collections.nCopies(training.batch(), picture);
      IntFunction<MemoryPlan> of =
          chunk ->
              MemoryPlan.of(
                  architecture,
                  bytes(base.checkpoint()),
                  layout.size(),
                  adapter.rank(),
                  rows,
                  images,
                  chunk,
                  compute.precision());
      int chunk = training.chunk().rows();
      if (chunk == TrainingConfig.AUTO) {
        MemoryPlan whole = of.apply(0);
        long left = MemoryPlan.budget() - (whole.total() - whole.step());
        chunk =
            MemoryPlan.chunk(architecture, adapter.rank(), rows, images, compute.precision(), left);
      }
      boolean fits = chunk >= 0;
      MemoryPlan memory = of.apply(fits ? chunk : 1);
      Result planned =
          new Result(
              architecture.parameters(),
              layout.size(),
              size[0] + "x" + size[1],
              picture.tokens(),
              base.processor().mostTokens(),
              rows.stream().mapToInt(Row::length).sum(),
              new Flops(architecture).step(rows, images, layout),
              fits ? chunk : 1,
              fits,
              memory,
              12L * layout.size(),
              4L * (layout.size() - 1));
      result.print(planned, text(planned));
    }
    return 0;
  }

  private int[] size(int side) {
    if (imageSize == null) {
      return new int[] {side, side};
    }
    Matcher parts = Pattern.compile("([1-9]\\d{0,5})x([1-9]\\d{0,5})").matcher(imageSize);
    if (!parts.matches()) {
      throw new BadInputException(
          "--image-size must be WIDTHxHEIGHT in pixels, like 1024x768, not " + imageSize);
    }
    return new int[] {Integer.parseInt(parts.group(1)), Integer.parseInt(parts.group(2))};
  }

  private static long bytes(Checkpoint checkpoint) {
    return checkpoint.names().stream()
        .map(checkpoint::info)
        .mapToLong(info -> info.end() - info.begin())
        .sum();
  }

  private static String text(Result r) {
    MemoryPlan m = r.memoryBytes();
    return String.format(
        Locale.ROOT,
        "base: %,d parameters; trainable: %,d%n"
            + "an image of %s: %,d tokens; of any size: at most %,d%n"
            + "a step: %,d tokens, %.1f GFLOP, %s%n"
            + "memory: about %s (base %s, adapter and optimizer %s, activations %s, images %s,"
            + " process %s, allocator %s)%n"
            + "trainer state in a checkpoint: %s; an adapter: %s",
        r.parameters(),
        r.trainable(),
        r.imageSize(),
        r.imageTokens(),
        r.mostImageTokens(),
        r.rowTokens(),
        r.flopsPerStep() / 1e9,
        (r.chunk() == 0 ? "all rows at once" : r.chunk() + " rows at once")
            + (r.fits() ? "" : ", which is too much for the memory that is free here"),
        size(m.total()),
        size(m.weights()),
        size(m.adapter()),
        size(m.activations()),
        size(m.images()),
        size(m.process()),
        size(m.allocator()),
        size(r.checkpointBytes()),
        size(r.adapterBytes()));
  }

  private static String size(long bytes) {
    return bytes >= 1L << 30
        ? String.format(Locale.ROOT, "%.1f GiB", bytes / (double) (1L << 30))
        : String.format(Locale.ROOT, "%.0f MiB", bytes / (double) (1L << 20));
  }
}
