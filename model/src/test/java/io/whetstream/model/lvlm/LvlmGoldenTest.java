package io.whetstream.model.lvlm;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import io.whetstream.model.Golden;
import io.whetstream.model.GoldenBatch;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.checkpoint.SafeTensors;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ModelImage;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;

/** Every tensor that the reference implementation recorded, at every golden model. */
@Tag("golden")
class LvlmGoldenTest {
  private static final double TOLERANCE = 1e-4;

  @TestFactory
  Stream<DynamicTest> everyRecordedTensorIsReproduced() {
    return models().flatMap(directory -> tests(directory, Precision.FP32));
  }

  @TestFactory
  Stream<DynamicTest> greedyContinuationIsTheSame() {
    return models()
        .map(directory -> dynamicTest(directory.getFileName().toString(), () -> greedy(directory)));
  }

  /**
   * The comparison must be able to fail: another first token moves the embedding past tolerance.
   */
  @TestFactory
  Stream<DynamicTest> anotherFirstTokenIsNoticed() {
    return models()
        .limit(1)
        .map(
            directory ->
                dynamicTest(
                    directory.getFileName().toString(),
                    () -> {
                      Map<String, float[]> actual =
                          run(directory, "", Precision.FP32, ids -> ids[0][0]++);
                      try (SafeTensors expected =
                          SafeTensors.open(directory.resolve("expected.safetensors"))) {
                        assertTrue(
                            largest(expected.floats("embedding"), actual.get("embedding"))
                                > TOLERANCE);
                      }
                    }));
  }

  private static Stream<Path> models() {
    List<Path> found = GoldenBatch.plainDirectories();
    assertFalse(found.isEmpty(), "no golden model under " + Golden.root());
    return found.stream();
  }

  private static Stream<DynamicTest> tests(Path directory, Precision precision) {
    String model = directory.getFileName().toString();
    return Stream.of("", "text.", "single.")
        .map(
            prefix ->
                dynamicTest(
                    model + " " + (prefix.isEmpty() ? "batch" : prefix),
                    () -> compare(directory, prefix, precision)));
  }

  private static void compare(Path directory, String prefix, Precision precision) {
    Map<String, float[]> actual = run(directory, prefix, precision, ids -> {});
    int compared = 0;
    try (SafeTensors expected = SafeTensors.open(directory.resolve("expected.safetensors"));
        SafeTensors inputs = SafeTensors.open(directory.resolve("inputs.safetensors"))) {
      long[] mask = inputs.longs(prefix + "attention_mask");
      for (String name : expected.tensors().keySet()) {
        boolean other = name.startsWith("text.") || name.startsWith("single.");
        if (prefix.isEmpty() ? other : !name.startsWith(prefix)) {
          continue;
        }
        String plain = name.substring(prefix.length());
        if (plain.equals("greedy_new_ids") || ofAnUnusedLayer(directory, plain)) {
          continue;
        }
        float[] want = expected.floats(name);
        float[] got = actual.get(plain);
        assertTrue(got != null, "nothing computed for " + name);
        assertEquals(want.length, got.length, name);
        boolean sequence =
            plain.startsWith("decoder.") || plain.equals("logits") || plain.equals("inputs_embeds");
        double largest = 0;
        int width = want.length / mask.length;
        for (int i = 0; i < want.length; i++) {
          if (!sequence || mask[i / width] == 1) {
            double difference = Math.abs(want[i] - got[i]);
            largest = Double.isNaN(difference) ? Double.NaN : Math.max(largest, difference);
          }
        }
        assertTrue(largest <= TOLERANCE, directory + " " + name + " differs by " + largest);
        compared++;
      }
    }
    assertTrue(compared >= 3, "compared only " + compared + " tensors");
  }

  /** Layers of the tower whose output reaches nobody are not run. */
  static boolean ofAnUnusedLayer(Path directory, String name) {
    String prefix = "vision.hidden_states.";
    int used = ModelConfig.read(directory.resolve("config.json")).visionLayersUsed();
    return name.startsWith(prefix) && Integer.parseInt(name.substring(prefix.length())) > used;
  }

  private interface Edit {
    void apply(long[][] ids);
  }

  private static Map<String, float[]> run(
      Path directory, String prefix, Precision precision, Edit edit) {
    try (Checkpoint checkpoint = Checkpoint.open(directory);
        SafeTensors inputs = SafeTensors.open(directory.resolve("inputs.safetensors"));
        Lvlm model = Lvlm.open(checkpoint, new LvlmOptions(precision, "cpu", 1))) {
      long[][] ids =
          rows(
              inputs.longs(prefix + "input_ids"),
              inputs.longs(prefix + "attention_mask"),
              inputs.tensors().get(prefix + "input_ids").shape());
      edit.apply(ids);
      boolean images = inputs.tensors().containsKey(prefix + "pixel_values");
      float[] pixels = images ? inputs.floats(prefix + "pixel_values") : new float[0];
      return trace(model, ids, pixels, (int) inputs.tensors().get(prefix + "input_ids").shape()[1]);
    }
  }

  private static Map<String, float[]> trace(
      Lvlm model, long[][] ids, float[] pixels, int paddedLength) {
    ModelConfig config = model.config();
    Map<String, float[]> result = new TreeMap<>();
    model.step(
        step -> {
          int side = config.vision().imageSize();
          ImageGeometry picture = ImageGeometry.whole(side, side, config.imageTokens());
          int size = picture.values();
          int images = pixels.length / size;
          List<ModelImage> list = new ArrayList<>();
          for (int i = 0; i < images; i++) {
            list.add(new ModelImage(picture, Arrays.copyOfRange(pixels, i * size, (i + 1) * size)));
          }
          ImageFeatures features = model.features(step, list, 2);
          if (images > 0) {
            model
                .traceVision(step, list)
                .forEach((name, array) -> result.put(name, array.toFloatArray()));
          }
          List<Row> rows = new ArrayList<>();
          for (int r = 0; r < ids.length; r++) {
            rows.add(Row.embedding(ids[r], images == 0, images > 0 ? new int[] {r} : new int[0]));
          }
          Lvlm.NativeAdapter none = model.adapter(step, null, null, 0);
          model
              .traceDecoder(step, rows, features, none)
              .forEach((name, array) -> result.put(name, array.toFloatArray()));
          result.put(
              "embedding", model.unit(step, rows, features, none).embeddings().toFloatArray());
          return null;
        });
    assertEquals(paddedLength, Arrays.stream(ids).mapToInt(row -> row.length).max().orElseThrow());
    return result;
  }

  private static long[][] rows(long[] ids, long[] mask, long[] shape) {
    long[][] rows = new long[(int) shape[0]][];
    int length = (int) shape[1];
    for (int r = 0; r < rows.length; r++) {
      int begin = r * length;
      int real = (int) Arrays.stream(mask, begin, begin + length).sum();
      rows[r] = Arrays.copyOfRange(ids, begin, begin + real);
    }
    return rows;
  }

  private static void greedy(Path directory) {
    try (Checkpoint checkpoint = Checkpoint.open(directory);
        SafeTensors inputs = SafeTensors.open(directory.resolve("inputs.safetensors"));
        SafeTensors expected = SafeTensors.open(directory.resolve("expected.safetensors"));
        Lvlm model = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP32, "cpu", 1))) {
      long[] want = expected.longs("single.greedy_new_ids");
      long[] ids = inputs.longs("single.input_ids");
      long[] got = new long[want.length];
      for (int i = 0; i < want.length; i++) {
        float[] logits =
            trace(model, new long[][] {ids}, inputs.floats("single.pixel_values"), ids.length)
                .get("logits");
        int vocabulary = model.config().text().vocabSize();
        int best = -1;
        int base = logits.length - vocabulary;
        for (int v = 0; v < vocabulary; v++) {
          if (best < 0 || logits[base + v] > logits[base + best]) {
            best = v;
          }
        }
        got[i] = best;
        ids = Arrays.copyOf(ids, ids.length + 1);
        ids[ids.length - 1] = best;
      }
      assertArrayEquals(want, got);
    }
  }

  private static double largest(float[] a, float[] b) {
    double largest = 0;
    for (int i = 0; i < a.length; i++) {
      largest = Math.max(largest, Math.abs(a[i] - b[i]));
    }
    return largest;
  }
}
