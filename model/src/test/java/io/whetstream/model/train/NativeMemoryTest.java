package io.whetstream.model.train;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.Golden;
import io.whetstream.model.NativeMemory;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.text.TextTokenizer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Native memory of long runs; figures are printed for the documentation. */
class NativeMemoryTest {
  private static final long MEGABYTE = 1 << 20;

  /** What trainers that come and go may leave in the allocator's hands. */
  private static final long ALLOWED = 48 * MEGABYTE;

  private static final int WARM_UP = 2000;
  private static final int STEPS = 14_000;
  private static final int EVERY = 500;

  /** Less than any native array that is forgotten each step would add: of 512 floats, 2 KB. */
  private static final double BYTES_A_STEP = 1024;

  @Test
  @Tag("slow")
  void aStepLeavesNoNativeMemoryBehind() {
    try (Fixture f = new Fixture()) {
      double slope = bytesAStep(f, () -> {});
      assertTrue(slope < BYTES_A_STEP, slope + " bytes a step");
    }
  }

  /** The measure must see what it is there for. */
  @Test
  @Tag("slow")
  void twoKilobytesThatAreForgottenEachStepAreSeen() {
    try (Fixture f = new Fixture()) {
      double slope = bytesAStep(f, () -> f.model.manager().create(new float[512]));
      assertTrue(slope > BYTES_A_STEP, slope + " bytes a step");
    }
  }

  /** The slope of a line through what is resident, least squares, after the allocator is warm. */
  private static double bytesAStep(Fixture f, Runnable afterEach) {
    try (Trainer trainer = Trainer.create(f.model, f.tokenizer, TrainingConfig.defaults())) {
      double n = 0;
      double sumX = 0;
      double sumY = 0;
      double sumXy = 0;
      double sumXx = 0;
      for (int step = 1; step <= STEPS; step++) {
        trainer.step(f.batch(step % 50));
        afterEach.run();
        if (step >= WARM_UP && step % EVERY == 0) {
          double resident = NativeMemory.resident();
          n++;
          sumX += step;
          sumY += resident;
          sumXy += step * resident;
          sumXx += (double) step * step;
        }
      }
      double slope = (n * sumXy - sumX * sumY) / (n * sumXx - sumX * sumX);
      System.out.printf(
          "resident memory without the heap: %.0f MB on average, %.0f bytes more with each step%n",
          sumY / n / MEGABYTE, slope);
      return slope;
    }
  }

  @Test
  void trainersThatAreClosedLeaveNothingBehind() {
    try (Fixture f = new Fixture()) {
      long first = 0;
      long last = 0;
      for (int round = 0; round < 6; round++) {
        try (Trainer trainer =
            Trainer.create(f.model, f.tokenizer, TrainingConfig.defaults().withChunk(4))) {
          for (int step = 0; step < 10; step++) {
            trainer.step(f.batch(step));
          }
        }
        last = NativeMemory.resident();
        if (round == 0) {
          first = last;
        }
      }
      System.out.printf(
          "resident memory without the heap after the first trainer %d MB, after five more %d MB%n",
          first / MEGABYTE, last / MEGABYTE);
      assertTrue(last - first < ALLOWED, (last - first) / MEGABYTE + " MB more");
    }
  }

  private static final class Fixture implements AutoCloseable {
    private final Checkpoint checkpoint;
    private final Lvlm model;
    private final TextTokenizer tokenizer;

    Fixture() {
      Path directory =
          Golden.directories(Golden.holding("model.safetensors").and(Golden.holding("e2e.json")))
              .get(0);
      checkpoint = Checkpoint.open(directory);
      model = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP32, "cpu", 1));
      tokenizer = TextTokenizer.open(directory);
    }

    List<PreparedPair> batch(int number) {
      Random random = new Random(number);
      int edge = model.config().vision().imageSize();
      ImageGeometry picture = ImageGeometry.whole(edge, edge, model.config().imageTokens());
      List<PreparedPair> pairs = new ArrayList<>();
      for (int i = 0; i < 8; i++) {
        float[] pixels = new float[3 * edge * edge];
        for (int j = 0; j < pixels.length; j++) {
          pixels[j] = random.nextFloat();
        }
        long[] ids = random.longs(6 + random.nextInt(6), 3, 200).toArray();
        String id = number + "-" + i;
        pairs.add(new PreparedPair(id, new ModelImage(picture, pixels), ids, ids, id, id));
      }
      return pairs;
    }

    @Override
    public void close() {
      tokenizer.close();
      model.close();
      checkpoint.close();
    }
  }
}
