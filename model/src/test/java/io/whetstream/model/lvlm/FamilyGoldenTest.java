package io.whetstream.model.lvlm;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import ai.djl.ndarray.NDArray;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.Golden;
import io.whetstream.model.GoldenBatch;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.checkpoint.SafeTensors;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.image.RgbImage;
import io.whetstream.model.onnx.Scorer;
import io.whetstream.model.onnx.ScorerOptions;
import io.whetstream.model.text.TextTokenizer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/**
 * Models whose rows hold any number of images of any size: every recorded tensor, and from image
 * file to embedding, in both engines.
 */
@Tag("golden")
class FamilyGoldenTest {
  private static final double TOLERANCE = 1e-4;

  @TempDir Path scratch;

  private interface Check {
    void run(Path directory) throws Exception;
  }

  private static Stream<DynamicTest> each(Check check) {
    return each(directory -> true, check);
  }

  private static Stream<DynamicTest> each(Predicate<Path> filter, Check check) {
    return GoldenBatch.directories().stream()
        .filter(filter)
        .map(
            directory ->
                dynamicTest(directory.getFileName().toString(), () -> check.run(directory)));
  }

  private List<String> batches(Path directory) {
    try (SafeTensors inputs = SafeTensors.open(directory.resolve("inputs.safetensors"))) {
      return Stream.of("", "text.", "nosplit.")
          .filter(prefix -> inputs.tensors().containsKey(prefix + "input_ids"))
          .toList();
    }
  }

  @TestFactory
  Stream<DynamicTest> everyRecordedTensorIsReproduced() {
    return each(
        directory -> {
          try (Checkpoint checkpoint = Checkpoint.open(directory);
              Lvlm model = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP32, "cpu", 1))) {
            for (String prefix : batches(directory)) {
              GoldenBatch batch = GoldenBatch.read(directory, prefix, scratch);
              compare(directory, prefix, batch, trace(model, batch));
            }
          }
        });
  }

  private static Map<String, float[]> trace(Lvlm model, GoldenBatch batch) {
    Map<String, List<float[]>> parts = new TreeMap<>();
    Map<String, float[]> result = new TreeMap<>();
    model.step(
        step -> {
          for (ModelImage image : batch.images()) {
            model
                .traceVision(step, List.of(image))
                .forEach(
                    (name, array) ->
                        parts
                            .computeIfAbsent(name, key -> new ArrayList<>())
                            .add(array.toFloatArray()));
          }
          parts.forEach((name, arrays) -> result.put(name, joined(arrays)));
          ImageFeatures features = model.features(step, batch.images(), 8);
          Lvlm.NativeAdapter none = model.adapter(step, null, null, 0);
          model
              .traceDecoder(step, batch.rows(), features, none)
              .forEach((name, array) -> result.put(name, array.toFloatArray()));
          NDArray embeddings = model.unit(step, batch.rows(), features, none).embeddings();
          result.put("embedding", embeddings.toFloatArray());
          return null;
        });
    return result;
  }

  private static float[] joined(List<float[]> arrays) {
    float[] all = new float[arrays.stream().mapToInt(array -> array.length).sum()];
    int at = 0;
    for (float[] array : arrays) {
      System.arraycopy(array, 0, all, at, array.length);
      at += array.length;
    }
    return all;
  }

  private static void compare(
      Path directory, String prefix, GoldenBatch batch, Map<String, float[]> actual) {
    int longest = batch.ids().stream().mapToInt(row -> row.length).max().orElseThrow();
    int compared = 0;
    try (SafeTensors expected = SafeTensors.open(directory.resolve("expected.safetensors"))) {
      for (String name : expected.tensors().keySet()) {
        boolean other = name.startsWith("text.") || name.startsWith("nosplit.");
        if (prefix.isEmpty() ? other : !name.startsWith(prefix)) {
          continue;
        }
        String plain = name.substring(prefix.length());
        if (!expected.tensors().get(name).dtype().isFloat() || plain.startsWith("vision.interp")) {
          continue; // Integers, exact: FamilyGeometryGoldenTest
        }
        if (LvlmGoldenTest.ofAnUnusedLayer(directory, plain)) {
          continue;
        }
        float[] want = expected.floats(name);
        float[] got = actual.get(plain.equals("last_logits") ? "logits" : plain);
        assertTrue(got != null, "nothing computed for " + name);
        boolean sequence = plain.matches("decoder\\..*|logits|inputs_embeds");
        double largest = 0;
        if (plain.equals("last_logits")) {
          int width = want.length / batch.ids().size();
          for (int i = 0; i < want.length; i++) {
            int row = i / width;
            int last = row * longest + batch.ids().get(row).length - 1;
            largest = larger(largest, want[i] - got[last * width + i % width]);
          }
        } else {
          assertEquals(want.length, got.length, name);
          int width = want.length / (longest * batch.ids().size());
          for (int i = 0; i < want.length; i++) {
            boolean attended =
                sequence
                    ? i / width % longest < batch.ids().get(i / width / longest).length
                        && !batch.masked().get(i / width / longest)
                    : batch.compared(plain, i, want.length);
            largest = attended ? larger(largest, want[i] - got[i]) : largest;
          }
        }
        assertTrue(largest <= TOLERANCE, directory + " " + name + " differs by " + largest);
        compared++;
      }
    }
    assertTrue(compared >= 5, "compared only " + compared + " tensors");
  }

  private static double larger(double largest, double difference) {
    return Double.isNaN(difference) ? Double.NaN : Math.max(largest, Math.abs(difference));
  }

  @TestFactory
  Stream<DynamicTest> scoresLikeHuggingFaceAloneAndInBatches() {
    return each(
        directory -> {
          try (Scorer scorer =
                  Scorer.open(
                      directory,
                      ScorerOptions.defaults().withThreads(1).withCache(scratch.resolve("onnx")));
              SafeTensors expected = SafeTensors.open(directory.resolve("expected.safetensors"))) {
            for (String prefix : batches(directory)) {
              GoldenBatch batch = GoldenBatch.read(directory, prefix, scratch);
              float[] want = expected.floats(prefix + "embedding");
              float[][] got = scorer.embedRows(scorer.base(), batch.rows(), batch.images());
              for (int r = 0; r < got.length; r++) {
                if (batch.masked().get(r)) {
                  continue;
                }
                String what = prefix + "embedding " + r;
                int width = got[r].length;
                assertArrayEquals(
                    Arrays.copyOfRange(want, r * width, (r + 1) * width), got[r], 1e-4f, what);
                float[] alone =
                    scorer
                        .embedRows(scorer.base(), batch.rows().subList(r, r + 1), batch.images())[
                        0];
                assertArrayEquals(got[r], alone, 1e-6f, what + " alone");
              }
            }
          }
        });
  }

  @TestFactory
  Stream<DynamicTest> int8StaysCloseAndARowDoesNotDependOnItsNeighbours() {
    return each(
        directory -> {
          ScorerOptions options =
              ScorerOptions.defaults()
                  .withThreads(1)
                  .withCache(scratch.resolve("onnx"))
                  .withInt8(true);
          try (Scorer scorer = Scorer.open(directory, options);
              SafeTensors expected = SafeTensors.open(directory.resolve("expected.safetensors"))) {
            for (String prefix : batches(directory)) {
              GoldenBatch batch = GoldenBatch.read(directory, prefix, scratch);
              float[] want = expected.floats(prefix + "embedding");
              float[][] got = scorer.embedRows(scorer.base(), batch.rows(), batch.images());
              for (int r = 0; r < got.length; r++) {
                Row row = batch.rows().get(r);
                String what = prefix + "embedding " + r;
                float[] exact =
                    Arrays.copyOfRange(want, r * got[r].length, (r + 1) * got[r].length);
                if (!batch.masked().get(r)) {
                  double cosine = 0;
                  for (int i = 0; i < exact.length; i++) {
                    cosine += exact[i] * got[r][i];
                  }
                  assertTrue(cosine > 0.99, what + ": int8 is far from fp32, cosine " + cosine);
                  assertFalse(Arrays.equals(exact, got[r]), what + ": int8 was not used");
                }
                float[] alone = scorer.embedRows(scorer.base(), List.of(row), batch.images())[0];
                assertArrayEquals(got[r], alone, 1e-6f, what + " alone");
              }
            }
          }
        });
  }

  @TestFactory
  Stream<DynamicTest> aTemplateBecomesTheRecordedIds() {
    return each(
        Golden.holding("e2e.json"),
        directory -> {
          JsonNode cases = new ObjectMapper().readTree(directory.resolve("e2e.json").toFile());
          ModelConfig config = ModelConfig.read(directory.resolve("config.json"));
          int compared = 0;
          try (TextTokenizer tokenizer = TextTokenizer.open(directory)) {
            for (JsonNode one : cases) {
              String template =
                  one.get("prompt")
                      .asText()
                      .replace("<|vision_start|><|image_pad|><|vision_end|>", "<image>");
              if (one.has("refused")
                  || one.get("images").size() != 1
                  || !template.contains("<image>")) {
                continue;
              }
              RgbImage picture =
                  GoldenBatch.picture(directory.resolve(one.get("images").get(0).asText()));
              ImageProcessor processor =
                  GoldenBatch.processor(
                      directory, one.path("do_image_splitting").asBoolean(true), scratch);
              long[] ids =
                  new SequenceBuilder(
                          tokenizer, config, new PromptTemplates(template, "<text>"), 0, 0)
                      .imageRow(processor.geometry(picture.width(), picture.height()), true);
              assertEquals(
                  one.get("ids").toString().replace(" ", ""),
                  Arrays.toString(ids).replace(" ", ""),
                  one.get("key").asText());
              compared++;
            }
          }
          assertTrue(compared > 5, "compared only " + compared);
        });
  }

  @TestFactory
  Stream<DynamicTest> filesBecomeTheRecordedEmbeddingsInBothEngines() {
    return each(
        Golden.holding("e2e.json"),
        directory -> {
          JsonNode cases = new ObjectMapper().readTree(directory.resolve("e2e.json").toFile());
          int compared = 0;
          try (Checkpoint checkpoint = Checkpoint.open(directory);
              SafeTensors expected =
                  SafeTensors.open(directory.resolve("e2e_expected.safetensors"));
              Lvlm model = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP32, "cpu", 1));
              Scorer scorer =
                  Scorer.open(
                      directory,
                      ScorerOptions.defaults().withThreads(1).withCache(scratch.resolve("onnx")))) {
            for (JsonNode one : cases) {
              if (one.has("refused")) {
                continue; // FamilyPixelsGoldenTest
              }
              ImageProcessor processor =
                  GoldenBatch.processor(
                      directory, one.path("do_image_splitting").asBoolean(true), scratch);
              List<RgbImage> pictures = new ArrayList<>();
              one.get("images")
                  .forEach(
                      file -> pictures.add(GoldenBatch.picture(directory.resolve(file.asText()))));
              List<ModelImage> images = processor.process(pictures);
              for (ModelImage image : images) {
                assertTrue(
                    image.tokens() <= processor.mostTokens(),
                    () -> image.geometry() + " is beyond " + processor.mostTokens());
              }
              long[] ids =
                  IntStream.range(0, one.get("ids").size())
                      .mapToLong(i -> one.get("ids").get(i).asLong())
                      .toArray();
              Row row = Row.embedding(ids, false, IntStream.range(0, images.size()).toArray());
              String key = one.get("key").asText() + "/embedding";
              float[] want = expected.floats(key);
              float[] trained =
                  model.step(
                      step ->
                          model
                              .unit(
                                  step,
                                  List.of(row),
                                  model.features(step, images, 8),
                                  model.adapter(step, null, null, 0))
                              .embeddings()
                              .toFloatArray());
              assertArrayEquals(want, trained, 1e-4f, key);
              float[] scored = scorer.embedRows(scorer.base(), List.of(row), images)[0];
              assertArrayEquals(want, scored, 1e-4f, key + " scored");
              compared++;
            }
          }
          assertTrue(compared > 10, "compared only " + compared);
        });
  }
}
