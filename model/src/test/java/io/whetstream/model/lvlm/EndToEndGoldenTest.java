package io.whetstream.model.lvlm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.Golden;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.checkpoint.SafeTensors;
import io.whetstream.model.image.ImageDecoder;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.text.TextTokenizer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;

/** From an image file and a prompt to embedding and logits, through every part of the library. */
@Tag("golden")
class EndToEndGoldenTest {

  @TestFactory
  Stream<DynamicTest> filesBecomeTheRecordedEmbeddingsAndLogits() {
    List<Path> found =
        Golden.directories(Golden.holding("e2e.json").and(Golden.holding("batch.json").negate()));
    assertFalse(found.isEmpty(), "no golden e2e.json under " + Golden.root());
    return found.stream()
        .map(directory -> dynamicTest(directory.getFileName().toString(), () -> check(directory)));
  }

  private static void check(Path directory) throws Exception {
    JsonNode cases = new ObjectMapper().readTree(directory.resolve("e2e.json").toFile());
    ImageProcessor processor = ImageProcessor.open(directory);
    ImageDecoder decoder = new ImageDecoder(ImageDecoder.DEFAULT_MAX_PIXELS);
    try (Checkpoint checkpoint = Checkpoint.open(directory);
        TextTokenizer tokenizer = TextTokenizer.open(directory);
        SafeTensors expected = SafeTensors.open(directory.resolve("e2e_expected.safetensors"));
        Lvlm model = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP32, "cpu", 1))) {
      assertTrue(cases.size() > 0);
      for (JsonNode one : cases) {
        String key = one.get("key").asText();
        List<ModelImage> images = List.of();
        if (!one.get("image").isNull()) {
          Path file = directory.resolve(one.get("image").asText());
          images =
              List.of(processor.process(decoder.decode(Files.readAllBytes(file), file.toString())));
        }
        long[] ids = ids(model.config(), tokenizer, one.get("prompt").asText(), images);
        assertEquals(one.get("n_ids").asInt(), ids.length, key);
        compare(model, new Input(ids, images), expected, key);
      }
    }
  }

  /** The prompt as a template of the image side, or as a caption. */
  private static long[] ids(
      ModelConfig config, TextTokenizer tokenizer, String prompt, List<ModelImage> images) {
    String template = prompt.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]");
    SequenceBuilder sequences =
        new SequenceBuilder(
            tokenizer,
            config,
            new PromptTemplates(images.isEmpty() ? "<image>" : template, "<text>"),
            0,
            0);
    return images.isEmpty()
        ? sequences.textRow(tokenizer.encode(prompt), false)
        : sequences.imageRow(images.get(0).geometry(), false);
  }

  private record Input(long[] ids, List<ModelImage> images) {}

  private static void compare(Lvlm model, Input input, SafeTensors expected, String key) {
    model.step(
        step -> {
          ImageFeatures features = model.features(step, input.images(), 1);
          List<Row> rows =
              List.of(
                  Row.embedding(
                      input.ids(), false, IntStream.range(0, input.images().size()).toArray()));
          Lvlm.NativeAdapter none = model.adapter(step, null, null, 0);
          float[] embedding = model.unit(step, rows, features, none).embeddings().toFloatArray();
          near(expected.floats(key + "/embedding"), embedding, key + "/embedding");
          float[] logits =
              model.traceDecoder(step, rows, features, none).get("logits").toFloatArray();
          float[] want = expected.floats(key + "/last_logits");
          near(
              want,
              Arrays.copyOfRange(logits, logits.length - want.length, logits.length),
              key + "/last_logits");
          return null;
        });
  }

  private static void near(float[] want, float[] got, String what) {
    assertEquals(want.length, got.length, what);
    for (int i = 0; i < want.length; i++) {
      assertEquals(want[i], got[i], 1e-4f, what);
    }
  }
}
