package io.whetstream.model.onnx;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.Golden;
import io.whetstream.model.GoldenBatch;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.FloatTensor;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.checkpoint.SafeTensors;
import io.whetstream.model.image.ImageDecoder;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.PromptTemplates;
import io.whetstream.model.lvlm.Row;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** ONNX Runtime's embeddings against those of Hugging Face. */
@Tag("golden")
class GoldenScorerTest {
  private static final float TOLERANCE = 1e-4f;

  @TempDir Path cache;

  static Stream<Path> models() {
    return GoldenBatch.plainDirectories().stream();
  }

  static Stream<Path> adapters() {
    return Stream.concat(
        Golden.directories(Golden.holding("adapter/adapter_config.json")).stream(),
        Golden.directories(Golden.holding("lora/adapter/adapter_config.json")).stream()
            .map(family -> family.resolve("lora")));
  }

  private Scorer open(Path model) {
    return Scorer.open(model, options());
  }

  private ScorerOptions options() {
    return ScorerOptions.defaults().withThreads(1).withCache(cache).withMaxBatch(16);
  }

  @ParameterizedTest
  @MethodSource("models")
  void embedsLikeHuggingFaceAloneAndInPaddedBatches(Path model) {
    try (Scorer scorer = open(model);
        SafeTensors inputs = SafeTensors.open(model.resolve("inputs.safetensors"));
        SafeTensors expected = SafeTensors.open(model.resolve("expected.safetensors"))) {
      for (String prefix : List.of("", "text.", "single.")) {
        List<long[]> ids = ids(inputs, prefix + "input_ids", prefix + "attention_mask");
        boolean withImages = inputs.tensors().containsKey(prefix + "pixel_values");
        List<ModelImage> images =
            withImages
                ? images(scorer.config(), inputs.tensor(prefix + "pixel_values"))
                : List.of();
        List<Row> rows = rows(ids, !withImages, withImages);
        List<float[]> embeddings = split(expected.tensor(prefix + "embedding"));
        float[][] batch = scorer.embedRows(scorer.base(), rows, images);
        for (int i = 0; i < batch.length; i++) {
          assertArrayEquals(embeddings.get(i), batch[i], TOLERANCE, prefix + "embedding " + i);
          float[] alone = scorer.embedRows(scorer.base(), rows.subList(i, i + 1), images)[0];
          assertArrayEquals(batch[i], alone, 1e-6f, prefix + "row " + i + " alone");
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("models")
  void poolsTheFeaturesThatTheProjectorReads(Path model) {
    try (Scorer scorer = open(model);
        SafeTensors inputs = SafeTensors.open(model.resolve("inputs.safetensors"));
        SafeTensors expected = SafeTensors.open(model.resolve("expected.safetensors"))) {
      FloatTensor selected = expected.tensor("vision.selected");
      float[][] pooled = scorer.poolVision(images(scorer.config(), inputs.tensor("pixel_values")));
      int positions = (int) selected.shape()[1];
      int width = (int) selected.shape()[2];
      for (int image = 0; image < pooled.length; image++) {
        double[] mean = new double[width];
        for (int i = 0; i < positions * width; i++) {
          mean[i % width] += selected.data()[image * positions * width + i];
        }
        double norm = Math.sqrt(Arrays.stream(mean).map(x -> x * x).sum());
        float[] unit = new float[width];
        for (int i = 0; i < width; i++) {
          unit[i] = (float) (mean[i] / norm);
        }
        assertArrayEquals(unit, pooled[image], TOLERANCE);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("adapters")
  void embedsLikePeftWithLoraAndSoftPrompts(Path golden) throws IOException {
    Path model =
        golden
            .resolve("adapter")
            .resolve(
                new ObjectMapper()
                    .readTree(golden.resolve("adapter/adapter_config.json").toFile())
                    .get("base_model_name_or_path")
                    .asText())
            .normalize();
    AdapterArtifact artifact = withSoftPrompts(golden);
    try (Scorer scorer = open(model);
        ScorerAdapter adapter = scorer.load(artifact);
        SafeTensors inputs = SafeTensors.open(golden.resolve("inputs.safetensors"));
        SafeTensors expected = SafeTensors.open(golden.resolve("expected.safetensors"))) {
      List<ModelImage> images =
          golden.endsWith("lora")
              ? recordedImages(golden)
              : images(scorer.config(), inputs.tensor("pixel_values"));
      for (boolean text : new boolean[] {false, true}) {
        String side = text ? "text" : "image";
        int soft = text ? adapter.softText() : adapter.softImage();
        List<long[]> ids =
            ids(inputs, side + ".input_ids", side + ".attention_mask").stream()
                .map(row -> withSoftVectorsBeforeTheLast(row, soft))
                .toList();
        float[][] vectors = scorer.embedRows(adapter, rows(ids, text, !text), images);
        List<float[]> embeddings = split(expected.tensor(side + "_embedding"));
        for (int i = 0; i < vectors.length; i++) {
          assertArrayEquals(embeddings.get(i), vectors[i], TOLERANCE, side + " " + i);
        }
      }
    }
  }

  static Stream<Path> endToEnd() {
    return Golden.directories(Golden.holding("e2e.json").and(Golden.holding("batch.json").negate()))
        .stream();
  }

  /** From an image file and a prompt, through decoder, processor and tokenizer. */
  @ParameterizedTest
  @MethodSource("endToEnd")
  void embedsFilesLikeHuggingFace(Path model) throws IOException {
    JsonNode cases = new ObjectMapper().readTree(model.resolve("e2e.json").toFile());
    ImageProcessor processor = ImageProcessor.open(model);
    ImageDecoder decoder = new ImageDecoder(ImageDecoder.DEFAULT_MAX_PIXELS);
    int compared = 0;
    try (Scorer engine = open(model); // kept open for all cases
        SafeTensors expected = SafeTensors.open(model.resolve("e2e_expected.safetensors"))) {
      for (JsonNode one : cases) {
        boolean text = one.get("image").isNull();
        List<ModelImage> images = List.of();
        if (!text) {
          Path file = model.resolve(one.get("image").asText());
          images =
              List.of(processor.process(decoder.decode(Files.readAllBytes(file), file.toString())));
        }
        float[] vector = embed(model, one.get("prompt").asText(), images);
        String key = one.get("key").asText() + "/embedding";
        assertEquals(expected.floats(key).length, engine.dimension());
        assertArrayEquals(expected.floats(key), vector, TOLERANCE, key);
        compared++;
      }
    }
    assertTrue(compared > 0, "no case in " + model);
  }

  /** The prompt as a template of the image side, or as a caption. */
  private float[] embed(Path model, String prompt, List<ModelImage> images) {
    String template = prompt.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]");
    PromptTemplates prompts =
        new PromptTemplates(images.isEmpty() ? "<image>" : template, "<text>");
    try (Scorer scorer = Scorer.open(model, options().withPrompts(prompts))) {
      return images.isEmpty()
          ? scorer.embedTexts(scorer.base(), List.of(prompt))[0]
          : scorer.embedImages(scorer.base(), images)[0];
    }
  }

  private static List<ModelImage> recordedImages(Path lora) throws IOException {
    ImageProcessor processor = ImageProcessor.open(lora.getParent());
    List<ModelImage> images = new ArrayList<>();
    for (JsonNode file :
        new ObjectMapper().readTree(lora.resolve("losses.json").toFile()).get("images")) {
      images.add(processor.process(GoldenBatch.picture(lora.resolve(file.asText()))));
    }
    return images;
  }

  private static AdapterArtifact withSoftPrompts(Path golden) {
    AdapterWeights lora = AdapterCodec.read(golden.resolve("adapter")).weights();
    try (SafeTensors soft = SafeTensors.open(golden.resolve("soft_prompts.safetensors"))) {
      FloatTensor image = soft.tensor("soft_prompt.image");
      FloatTensor text = soft.tensor("soft_prompt.text");
      AdapterConfig c = lora.config();
      AdapterConfig config =
          new AdapterConfig(
              c.rank(),
              c.alpha(),
              c.rsLora(),
              c.dropout(),
              c.targetModules(),
              null,
              null,
              (int) image.shape()[0],
              (int) text.shape()[0]);
      AdapterWeights weights =
          new AdapterWeights(config, lora.lora(), image, text, soft.floats("logit_scale")[0]);
      return new AdapterArtifact(weights, AdapterManifest.builder(weights, null).build());
    }
  }

  private static long[] withSoftVectorsBeforeTheLast(long[] row, int count) {
    long[] longer = Arrays.copyOf(row, row.length + count);
    longer[longer.length - 1] = row[row.length - 1];
    for (int k = 0; k < count; k++) {
      longer[row.length - 1 + k] = -(k + 1);
    }
    return longer;
  }

  /** Rows with one image each, or none. */
  private static List<Row> rows(List<long[]> ids, boolean text, boolean images) {
    return IntStream.range(0, ids.size())
        .mapToObj(i -> Row.embedding(ids.get(i), text, images ? new int[] {i} : new int[0]))
        .toList();
  }

  private static List<ModelImage> images(ModelConfig config, FloatTensor pixels) {
    int side = config.vision().imageSize();
    ImageGeometry geometry = ImageGeometry.whole(side, side, config.imageTokens());
    return split(pixels).stream().map(image -> new ModelImage(geometry, image)).toList();
  }

  private static List<long[]> ids(SafeTensors inputs, String ids, String mask) {
    long[] values = inputs.longs(ids);
    long[] masks = inputs.longs(mask);
    int length = (int) inputs.info(ids).shape()[1];
    List<long[]> rows = new ArrayList<>();
    for (int begin = 0; begin < values.length; begin += length) {
      int real = 0;
      while (real < length && masks[begin + real] == 1) {
        real++;
      }
      rows.add(Arrays.copyOfRange(values, begin, begin + real));
    }
    return rows;
  }

  private static List<float[]> split(FloatTensor tensor) {
    int count = (int) tensor.shape()[0];
    int size = tensor.data().length / count;
    List<float[]> parts = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      parts.add(Arrays.copyOfRange(tensor.data(), i * size, (i + 1) * size));
    }
    return parts;
  }
}
