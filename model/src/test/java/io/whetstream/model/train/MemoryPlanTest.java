package io.whetstream.model.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.BadInputException;
import io.whetstream.model.Golden;
import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.lvlm.Row;
import io.whetstream.model.text.TextTokenizer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MemoryPlanTest {
  private static final int PAIRS = 1024;

  @TempDir Path temp;

  @Test
  void theLargestChunkThatFitsIsTakenAndNoneWhereNoneFits() {
    try (Fixture f = new Fixture();
        Trainer trainer = Trainer.create(f.model, f.tokenizer, TrainingConfig.defaults())) {
      ImageGeometry picture = f.picture();
      List<Row> rows = MemoryPlan.rows(trainer.sequences(), picture, PAIRS, 16, 64);
      List<ImageGeometry> images = Collections.nCopies(PAIRS, picture);
      Architecture architecture = f.model.architecture();
      long whole = step(architecture, rows, images, 0);
      assertEquals(0, chunk(architecture, rows, images, whole));
      int below = chunk(architecture, rows, images, whole - 1);
      for (int chunk = below; chunk >= 1; chunk /= 2) {
        long needed = step(architecture, rows, images, chunk);
        assertTrue(needed < whole, chunk + " rows take " + needed + " of " + whole);
        assertEquals(chunk, chunk(architecture, rows, images, needed));
      }
      assertTrue(below >= 1, "no chunk saves memory");
      assertEquals(-1, chunk(architecture, rows, images, step(architecture, rows, images, 1) - 1));
    }
  }

  @Test
  void chunksThatFollowFromMemoryLeaveAStepAsItIsWhereAllFits() {
    try (Fixture f = new Fixture();
        Trainer plain = Trainer.create(f.model, f.tokenizer, TrainingConfig.defaults());
        Trainer auto =
            Trainer.create(
                f.model, f.tokenizer, TrainingConfig.defaults().withChunk(TrainingConfig.AUTO))) {
      assertEquals(0, auto.plannedChunk(f.picture(), 4));
      plain.step(f.pairs());
      auto.step(f.pairs());
      assertEquals(plain.weights().digest(), auto.weights().digest());
    }
  }

  @Test
  void aBatchThatCannotFitIsRefusedWithTheNumbersAndOneThatWould() {
    try (Fixture f = new Fixture();
        Trainer trainer =
            Trainer.create(
                f.model, f.tokenizer, TrainingConfig.defaults().withChunk(TrainingConfig.AUTO))) {
      BadInputException refused =
          assertThrows(
              BadInputException.class, () -> trainer.plannedChunk(f.picture(), 1024, 320L << 20));
      assertTrue(
          refused.getMessage().matches("a step on 1024 pairs takes .* GB .*would fit"),
          refused.getMessage());
    }
  }

  @Test
  void whatAContainerMayTakeIsLessThanWhatTheMachineHas() throws Exception {
    Path meminfo =
        Files.writeString(temp.resolve("meminfo"), "MemFree: 1 kB\nMemAvailable: 8 kB\n");
    assertEquals(8192, AvailableMemory.ofMachine(meminfo));
    assertEquals(Long.MAX_VALUE, AvailableMemory.ofGroup(temp.resolve("none")));
    Files.writeString(temp.resolve("memory.max"), "max\n");
    assertEquals(Long.MAX_VALUE, AvailableMemory.ofGroup(temp));
    Files.writeString(temp.resolve("memory.max"), "1000\n");
    Files.writeString(temp.resolve("memory.current"), "900\n");
    Files.writeString(temp.resolve("memory.stat"), "anon 600\ninactive_file 250\n");
    assertEquals(350, AvailableMemory.ofGroup(temp));
  }

  private static long step(
      Architecture architecture, List<Row> rows, List<ImageGeometry> images, int chunk) {
    return MemoryPlan.of(architecture, 0, 0, 16, rows, images, chunk, Precision.FP32).step();
  }

  private static int chunk(
      Architecture architecture, List<Row> rows, List<ImageGeometry> images, long available) {
    return MemoryPlan.chunk(architecture, 16, rows, images, Precision.FP32, available);
  }

  private static final class Fixture implements AutoCloseable {
    private final Checkpoint checkpoint;
    private final Lvlm model;
    private final TextTokenizer tokenizer;
    private final ImageProcessor images;

    Fixture() {
      Path directory =
          Golden.directories(Golden.holding("model.safetensors").and(Golden.holding("e2e.json")))
              .get(0);
      checkpoint = Checkpoint.open(directory);
      model = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP32, "cpu", 1));
      tokenizer = TextTokenizer.open(directory);
      images = ImageProcessor.open(directory);
    }

    ImageGeometry picture() {
      return images.geometry(images.side(), images.side());
    }

    List<PreparedPair> pairs() {
      List<PreparedPair> pairs = new ArrayList<>();
      for (int i = 0; i < 4; i++) {
        float[] pixels = new float[(int) picture().values()];
        Arrays.fill(pixels, i / 4f);
        long[] ids = {5 + i, 20 + i, 30 + i};
        String id = "pair-" + i;
        pairs.add(new PreparedPair(id, new ModelImage(picture(), pixels), ids, ids, id, id));
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
