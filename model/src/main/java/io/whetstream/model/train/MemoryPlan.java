package io.whetstream.model.train;

import ai.djl.Device;
import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.checkpoint.Architecture.Decoder;
import io.whetstream.model.checkpoint.Architecture.Tower;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.lvlm.Row;
import io.whetstream.model.lvlm.SequenceBuilder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Memory of one training step, in bytes, counted from what the forward passes keep for the backward
 * pass (of the TorchScript parts). An estimate of what a run has resident at its peak, within a
 * fifth of it where that was measured ({@code model/RESULTS.md}).
 *
 * @param weights the frozen base, and its file as it is mapped
 * @param adapter trainable values, gradient, both moments, and their copies in a step
 * @param activations of the rows that are in memory at once, with the temporaries of one layer
 * @param images pixels, projected features, and the vision tower's temporaries
 * @param process Java, libtorch and decoded images
 * @param allocator what is freed, but not in pieces that fit what is asked for next: measured
 * @param total the sum
 */
public record MemoryPlan(
    long weights,
    long adapter,
    long activations,
    long images,
    long process,
    long allocator,
    long total) {

  /** What a run of the smallest model takes. */
  private static final long PROCESS = 400L << 20;

  /** What units one after another, each longer than the last, leave behind. */
  private static final long BETWEEN_UNITS = 300L << 20;

  /** Tokens computed at once, as in the library's step engine. */
  private static final long UNIT_TOKENS = 4096;

  /**
   * How many images go through the vision tower at once at most, as in the library's step engine.
   */
  private static final int VISION_AT_ONCE = 64;

  /**
   * The memory of a step.
   *
   * @param file bytes of the base's files
   * @param trainable values of the adapter
   * @param rank of LoRA
   * @param rows all rows of a step
   * @param images of these rows
   * @param chunk rows computed at once; 0 is all
   */
  public static MemoryPlan of(
      Architecture architecture,
      long file,
      long trainable,
      int rank,
      List<Row> rows,
      List<ImageGeometry> images,
      int chunk,
      Precision precision) {
    int element =
        switch (precision) {
          case BF16 -> 2;
          case FP32 -> 4;
          case FP64 -> 8;
        };
    Decoder decoder = architecture.decoder();
    long angles = (long) decoder.rotary().places() * decoder.headDim();
    long weights = element * (architecture.parameters() + angles) + file;
    // Four vectors that stay; gradient and cast copies of a step.
    long adapter = trainable * (4L * 4 + 4 + 2L * element);
    long activations = activations(decoder, rank, rows, chunk, element);
    int atOnce = Math.min(chunk == 0 ? VISION_AT_ONCE : chunk, VISION_AT_ONCE);
    long pictures = images(architecture, images, atOnce, element);
    boolean recomputed = chunk > 0 && chunk < rows.size();
    long allocator = activations / 5 + (recomputed ? BETWEEN_UNITS : 0);
    return new MemoryPlan(
        weights,
        adapter,
        activations,
        pictures,
        PROCESS,
        allocator,
        weights + adapter + activations + pictures + PROCESS + allocator);
  }

  /** What a step takes beside what stays: base, weights, moments and process are there already. */
  public long step() {
    return activations + images + allocator;
  }

  /** Bytes that may be planned with on this machine's processor: four fifths of what is free. */
  public static long budget() {
    return (long) (AvailableMemory.SHARE * AvailableMemory.bytes(Device.cpu()));
  }

  /**
   * The most rows at once with which a step fits.
   *
   * @param available bytes that a step may take
   * @return 0 if all rows fit at once, a power of two, or -1 if not even single rows fit
   */
  public static int chunk(
      Architecture architecture,
      int rank,
      List<Row> rows,
      List<ImageGeometry> images,
      Precision precision,
      long available) {
    if (of(architecture, 0, 0, rank, rows, images, 0, precision).step() <= available) {
      return 0;
    }
    for (int chunk = Integer.highestOneBit(Math.max(1, rows.size() - 1)); chunk >= 1; chunk /= 2) {
      if (of(architecture, 0, 0, rank, rows, images, chunk, precision).step() <= available) {
        return chunk;
      }
    }
    return -1;
  }

  /**
   * The rows of a step on pairs of given lengths, as far as memory and operations depend on them.
   *
   * @param picture of each pair's image
   * @param pairs of the batch
   * @param shortTokens of short captions; 0: there are none
   * @param longTokens of long captions; 0: there are none
   */
  public static List<Row> rows(
      SequenceBuilder sequences,
      ImageGeometry picture,
      int pairs,
      int shortTokens,
      int longTokens) {
    List<Row> rows = new ArrayList<>();
    long[] prompt = sequences.imageRow(picture, true);
    long[] image =
        longTokens == 0 ? prompt : sequences.nextTokenRow(picture, new long[longTokens], true);
    long[] targets = null;
    if (longTokens > 0) {
      targets = new long[image.length];
      Arrays.fill(targets, -1);
      Arrays.fill(targets, prompt.length - 1, image.length - 1, 0);
    }
    for (int i = 0; i < pairs; i++) {
      rows.add(new Row(image, new int[] {i}, null, false, prompt.length - 1, targets, 0));
      if (shortTokens > 0) {
        rows.add(Row.embedding(sequences.textRow(new long[shortTokens], true), true));
      }
    }
    return rows;
  }

  private static long activations(
      Decoder decoder, int rank, List<Row> rows, int chunk, int element) {
    long d = decoder.width();
    long q = decoder.queries();
    long kv = decoder.keys();
    long f = decoder.innerWidth();
    // A layer keeps: both norms' inputs and outputs (in 32 bit as well where they are cast),
    // q, k, v as attention reads them and its result, gate and up, their activation and product,
    // and LoRA's narrow products.
    long norms = 4 * d + (element == 2 ? 4 * d : 0);
    long attention = decoder.heads() == decoder.keyValueHeads() ? 3 * q + 3 * kv : 6 * q + 2 * kv;
    long kept = norms + attention + 4 * f + 7L * rank;
    long temporaries = 4 * f + 4 * d;
    // Logits in 32 bit, their log-softmax and their gradient.
    long target = 3L * 4 * decoder.vocabulary() + (element == 2 ? 2L * decoder.vocabulary() : 0);
    long tokens = 0;
    long targets = 0;
    if (chunk == 0) {
      tokens = rows.stream().mapToLong(Row::length).sum();
      targets = rows.stream().mapToLong(Row::targetCount).sum();
    } else {
      // Units hold rows of one side and of similar length.
      long longest = rows.stream().mapToLong(Row::length).max().orElse(0);
      long most = rows.stream().mapToLong(Row::targetCount).max().orElse(0);
      long count = Math.min(chunk, (rows.size() + 1) / 2);
      tokens = count * longest;
      targets = count * most;
    }
    long unit = Math.min(tokens, UNIT_TOKENS);
    return element * (tokens * decoder.layers().size() * kept + unit * temporaries)
        + targets * target;
  }

  private static long images(
      Architecture architecture, List<ImageGeometry> images, long atOnce, int element) {
    Tower tower = architecture.tower();
    long pixels = images.stream().mapToLong(ImageGeometry::values).sum();
    long tokens = images.stream().mapToLong(ImageGeometry::tokens).sum();
    long inputs = images.stream().mapToLong(ImageGeometry::inputs).sum();
    long features = tokens * architecture.featureWidth();
    long places =
        images.stream().mapToLong(i -> tower.places(i.height(), i.width())).max().orElse(0);
    long layer = places * (6L * tower.width() + 2L * tower.innerWidth());
    return 2 * 4 * pixels + 2 * element * features + Math.min(inputs, atOnce) * element * layer;
  }
}
