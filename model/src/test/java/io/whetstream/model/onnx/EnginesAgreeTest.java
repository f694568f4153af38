package io.whetstream.model.onnx;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.BadInputException;
import io.whetstream.model.Golden;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.DType;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.Embedder;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.PromptTemplates;
import io.whetstream.model.lvlm.Row;
import io.whetstream.model.text.TextTokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** ONNX Runtime and DJL embed alike, with and without adapters, however a model is stored. */
@Tag("golden")
class EnginesAgreeTest {
  private static final List<String> CAPTIONS =
      List.of("a red cross", "", "a small striped star left of a very large blue hollow circle");

  @TempDir Path directory;

  static Stream<Path> models() {
    return Golden.directories(
            Golden.holding("tokenizer.json").and(Golden.holding("batch.json").negate()))
        .stream()
        .filter(Golden.holding("model.safetensors"));
  }

  static Stream<Arguments> variants() {
    return models()
        .flatMap(
            model ->
                Stream.of(
                    Arguments.of(
                        "bf16 in shards", ModelVariant.of(model).storedAs(DType.BF16).inShards(3)),
                    Arguments.of("f16", ModelVariant.of(model).storedAs(DType.F16)),
                    Arguments.of(
                        "attention bias",
                        ModelVariant.of(model)
                            .withBiases("self_attn\\.._proj")
                            .text(text -> text.put("attention_bias", true))),
                    Arguments.of(
                        "mlp bias",
                        ModelVariant.of(model)
                            .withBiases("mlp\\..*_proj")
                            .text(text -> text.put("mlp_bias", true))),
                    Arguments.of(
                        "attention biases that nobody asked for",
                        ModelVariant.of(model).withBiases("self_attn\\.._proj")),
                    Arguments.of(
                        "mlp biases that nobody asked for",
                        ModelVariant.of(model).withBiases("mlp\\..*_proj")),
                    Arguments.of(
                        "linear rope",
                        ModelVariant.of(model)
                            .text(
                                text ->
                                    text.putObject("rope_scaling")
                                        .put("rope_type", "linear")
                                        .put("factor", 2.5))),
                    Arguments.of(
                        "llama3 rope",
                        ModelVariant.of(model)
                            .text(
                                text ->
                                    text.putObject("rope_scaling")
                                        .put("rope_type", "llama3")
                                        .put("factor", 8.0)
                                        .put("low_freq_factor", 1.0)
                                        .put("high_freq_factor", 4.0)
                                        .put("original_max_position_embeddings", 32))),
                    Arguments.of(
                        "images that patches do not fill",
                        ModelVariant.of(model)
                            .vision(
                                vision ->
                                    vision.put(
                                        "image_size", vision.get("image_size").asInt() + 5))),
                    Arguments.of(
                        "last vision layer",
                        ModelVariant.of(model).top(top -> top.put("vision_feature_layer", -1)))));
  }

  @ParameterizedTest
  @MethodSource("models")
  void onAdaptersOfRanks1To64AndPromptsOf0To16(Path model) {
    try (Engines engines = new Engines(model)) {
      engines.compare(null);
      int[][] cases = {
        {1, 0, 0}, {2, 1, 0}, {3, 0, 1}, {8, 16, 16}, {16, 6, 6}, {64, 3, 5}, {0, 4, 2}, {0, 0, 0}
      };
      for (int[] c : cases) {
        List<String> modules =
            c[0] == 3 ? List.of("self_attn.q_proj", "mlp.down_proj") : AdapterConfig.MODULES;
        engines.compare(
            RandomAdapters.weights(engines.scorer.config(), 7 + c[0], c[0], modules, c[1], c[2]));
      }
    }
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("variants")
  void onOtherStorageAndOptionsOfTheArchitecture(String name, ModelVariant variant) {
    Path model = variant.write(directory.resolve("model"));
    try (Engines engines = new Engines(model)) {
      engines.compare(null);
      engines.compare(
          RandomAdapters.weights(engines.scorer.config(), 3, 8, AdapterConfig.MODULES, 2, 3));
    }
  }

  /**
   * No image, one, two, and one twice; between words; images shared by rows; both sides at once.
   */
  @ParameterizedTest
  @MethodSource("models")
  void onRowsOfAnyNumberOfImages(Path model) {
    try (Engines engines = new Engines(model)) {
      ModelConfig config = engines.scorer.config();
      List<ModelImage> images =
          IntStream.range(0, 3).mapToObj(i -> RandomAdapters.image(config, i)).toList();
      List<Row> rows =
          List.of(
              row(config, false, 0),
              row(config, true),
              row(config, false, 2, 0),
              row(config, false, 1, 1),
              row(config, false),
              row(config, true, 1));
      AdapterWeights weights = RandomAdapters.weights(config, 5, 4, AdapterConfig.MODULES, 2, 2);
      try (ScorerAdapter adapter =
          engines.scorer.load(RandomAdapters.artifact(weights, engines.scorer.baseDigest()))) {
        float[][] vectors = engines.scorer.embedRows(adapter, rows, images);
        Engines.assertClose(engines.djl.embed(weights, rows, images), vectors);
        for (int i = 0; i < rows.size(); i++) {
          float[] alone = engines.scorer.embedRows(adapter, rows.subList(i, i + 1), images)[0];
          assertArrayEquals(vectors[i], alone, 1e-6f, "row " + i);
        }
        BadInputException e =
            assertThrows(
                BadInputException.class,
                () ->
                    engines.djl.embed(
                        weights, List.of(Row.embedding(rows.get(2).ids(), false, 1)), images));
        assertTrue(e.getMessage().contains("its images have"), e.getMessage());
      }
    }
  }

  /** BOS, words between images, and a soft vector at the end. */
  private static Row row(ModelConfig config, boolean text, int... images) {
    LongStream ids = LongStream.of(1, 5);
    for (int image : images) {
      LongStream tokens = LongStream.generate(config::imageTokenId).limit(config.imageTokens());
      ids = LongStream.concat(ids, LongStream.concat(tokens, LongStream.of(7, 8 + image)));
    }
    return Row.embedding(LongStream.concat(ids, LongStream.of(-1, -2)).toArray(), text, images);
  }

  @Test
  void onADirectoryOfLinksLikeTheHubsCache() throws IOException {
    Path model = models().findFirst().orElseThrow();
    Path blobs = Files.createDirectories(directory.resolve("blobs"));
    Path stored = ModelVariant.of(model).inShards(2).write(directory.resolve("stored"));
    Path snapshot = Files.createDirectories(directory.resolve("snapshots").resolve("main"));
    List<Path> files;
    try (Stream<Path> list = Files.list(stored)) {
      files = list.toList();
    }
    for (Path file : files) {
      Path blob = blobs.resolve("blob-" + files.indexOf(file));
      Files.move(file, blob);
      Files.createSymbolicLink(
          snapshot.resolve(file.getFileName()), Path.of("../../blobs", blob.getFileName() + ""));
    }
    try (Engines engines = new Engines(snapshot)) {
      engines.compare(null);
    }
  }

  /** The two engines on one model. */
  private final class Engines implements AutoCloseable {
    private final Checkpoint checkpoint;
    private final Lvlm lvlm;
    private final TextTokenizer tokenizer;
    private final Embedder djl;
    private final Scorer scorer;

    Engines(Path model) {
      checkpoint = Checkpoint.open(model);
      lvlm = Lvlm.open(checkpoint, LvlmOptions.defaults());
      tokenizer = TextTokenizer.open(model);
      djl = new Embedder(lvlm, tokenizer, PromptTemplates.defaults(), 8);
      scorer =
          Scorer.open(
              model, ScorerOptions.defaults().withThreads(1).withCache(directory.resolve("cache")));
      assertEquals(lvlm.baseDigest(), scorer.baseDigest());
    }

    void compare(AdapterWeights weights) {
      List<ModelImage> images = new ArrayList<>();
      for (int i = 0; i < 3; i++) {
        images.add(RandomAdapters.image(scorer.config(), i));
      }
      List<long[]> captions = CAPTIONS.stream().map(tokenizer::encode).toList();
      try (ScorerAdapter adapter =
          weights == null
              ? scorer.base().retain()
              : scorer.load(RandomAdapters.artifact(weights, scorer.baseDigest()))) {
        assertClose(djl.embedImages(weights, images), scorer.embedImages(adapter, images));
        assertClose(djl.embedTexts(weights, captions), scorer.embedTexts(adapter, CAPTIONS));
        float[][] all = scorer.embedTexts(adapter, CAPTIONS);
        assertArrayEquals(all, scorer.embedTexts(adapter, CAPTIONS), "equal batches, equal bits");
        for (int i = 0; i < all.length; i++) {
          float[] alone = scorer.embedTexts(adapter, CAPTIONS.subList(i, i + 1))[0];
          assertArrayEquals(all[i], alone, 1e-6f);
        }
      }
    }

    static void assertClose(float[][] expected, float[][] actual) {
      assertEquals(expected.length, actual.length);
      for (int i = 0; i < expected.length; i++) {
        assertArrayEquals(expected[i], actual[i], 1e-4f);
        double norm = 0;
        for (float value : actual[i]) {
          norm += value * value;
        }
        assertTrue(Math.abs(norm - 1) < 1e-4, "unit length");
      }
    }

    @Override
    public void close() {
      scorer.close();
      tokenizer.close();
      lvlm.close();
      checkpoint.close();
    }
  }
}
