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

  /** What a step that leaks only one hidden state would add per step at this shape, in bytes. */
  private static final long ALLOWED = 48 * MEGABYTE;

  @Test
  @Tag("slow")
  void residentMemoryIsFlatOverThreeThousandSteps() {
    try (Fixture f = new Fixture();
        Trainer trainer = Trainer.create(f.model, f.tokenizer, TrainingConfig.defaults())) {
      long early = 0;
      long late = 0;
      for (int step = 1; step <= 3000; step++) {
        trainer.step(f.batch(step));
        if (step == 500) {
          early = NativeMemory.resident();
        }
        if (step == 3000) {
          late = NativeMemory.resident();
        }
      }
      System.out.printf(
          "resident memory without the heap after 500 steps %d MB, after 3000 steps %d MB%n",
          early / MEGABYTE, late / MEGABYTE);
      assertTrue(late - early < ALLOWED, (late - early) / MEGABYTE + " MB more");
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
