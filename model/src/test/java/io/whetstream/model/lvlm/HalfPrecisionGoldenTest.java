package io.whetstream.model.lvlm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import io.whetstream.model.Golden;
import io.whetstream.model.GoldenBatch;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.SafeTensors;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** Embeddings in bfloat16 against those that Hugging Face made in 32 bits. */
@Tag("golden")
class HalfPrecisionGoldenTest {
  /**
   * How far from 1 a cosine may be. bfloat16 keeps 8 bits, so what a layer adds is off by some 2^-8
   * of itself; the layers' errors are independent of each other, and the square of what they sum up
   * to, halved, is what the cosine loses.
   */
  private static final double TOLERANCE = 1e-3;

  @TempDir Path scratch;

  @TestFactory
  Stream<DynamicTest> embeddingsPointWhereTheRecordedOnesDo() {
    List<Path> found =
        Stream.concat(
                GoldenBatch.plainDirectories().stream(),
                GoldenBatch.directories().stream().filter(Golden.holding("batch.json")))
            .toList();
    assertFalse(found.isEmpty(), "no golden model under " + Golden.root());
    return found.stream()
        .map(directory -> dynamicTest(directory.getFileName().toString(), () -> check(directory)));
  }

  private void check(Path directory) {
    try (Checkpoint checkpoint = Checkpoint.open(directory);
        SafeTensors expected = SafeTensors.open(directory.resolve("expected.safetensors"));
        Lvlm model = Lvlm.open(checkpoint, new LvlmOptions(Precision.BF16, "cpu", 1))) {
      GoldenBatch batch = GoldenBatch.read(directory, "", scratch);
      float[] got =
          model.step(
              step ->
                  model
                      .unit(
                          step,
                          batch.rows(),
                          model.features(step, batch.images(), 8),
                          model.adapter(step, null, null, 0))
                      .embeddings()
                      .toFloatArray());
      float[] want = expected.floats("embedding");
      assertEquals(want.length, got.length);
      int width = want.length / batch.ids().size();
      double most = 0;
      for (int row = 0; row < batch.ids().size(); row++) {
        double cosine = 0;
        for (int i = row * width; i < (row + 1) * width; i++) {
          cosine += (double) want[i] * got[i];
        }
        most = Math.max(most, 1 - cosine);
      }
      System.out.printf(
          Locale.ROOT, "%s in bf16: cosines at least 1 - %.1e%n", directory.getFileName(), most);
      assertTrue(most <= TOLERANCE, directory + ": a cosine of 1 - " + most);
      assertTrue(most > 1e-7, "as near as 32 bits: is it in 16?");
    }
  }
}
