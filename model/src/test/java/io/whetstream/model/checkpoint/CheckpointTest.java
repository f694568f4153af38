package io.whetstream.model.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Model directories that are made here, so that they can be broken in every way. */
class CheckpointTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String CONFIG =
      """
      {"architectures":["LlavaForConditionalGeneration"],"model_type":"llava",
       "image_token_index":9,"vision_feature_layer":-1,
       "vision_config":{"hidden_size":4,"intermediate_size":6,"num_hidden_layers":1,
         "num_attention_heads":2,"image_size":4,"patch_size":2},
       "text_config":{"vocab_size":10,"hidden_size":8,"intermediate_size":12,
         "num_hidden_layers":1,"num_attention_heads":4,"num_key_value_heads":2}}
      """;

  @TempDir Path scratch;
  private Map<String, long[]> shapes;

  @BeforeEach
  void writeAModel() throws IOException {
    Files.writeString(scratch.resolve("config.json"), CONFIG);
    shapes =
        new TreeMap<>(ModelConfig.read(scratch.resolve("config.json")).architecture().tensors());
    writeWeights();
  }

  private void writeWeights() {
    SafeTensorsWriter writer = new SafeTensorsWriter();
    shapes.forEach((name, shape) -> writer.add(name, shape, values(name, shape)));
    writer.write(scratch.resolve("model.safetensors"));
  }

  private static float[] values(String name, long[] shape) {
    int size = 1;
    for (long dimension : shape) {
      size *= (int) dimension;
    }
    float[] values = new float[size];
    java.util.Arrays.fill(values, name.hashCode() % 97);
    return values;
  }

  private void configure(String path, String json) throws IOException {
    ObjectNode root = (ObjectNode) JSON.readTree(CONFIG);
    ObjectNode at = root;
    String[] keys = path.split("\\.");
    for (int i = 0; i < keys.length - 1; i++) {
      at = (ObjectNode) at.get(keys[i]);
    }
    at.set(keys[keys.length - 1], JSON.readTree(json.replace('\'', '"')));
    JSON.writeValue(scratch.resolve("config.json").toFile(), root);
  }

  private ModelConfig config() {
    return ModelConfig.read(scratch.resolve("config.json"));
  }

  private void refused(String... words) {
    BadInputException e =
        assertThrows(BadInputException.class, () -> Checkpoint.open(scratch).close());
    for (String word : words) {
      assertTrue(e.getMessage().contains(word), e.getMessage());
    }
    assertTrue(e.getMessage().contains(scratch.toString()), e.getMessage());
  }

  @Test
  void opensWhatIsWhole() {
    try (Checkpoint checkpoint = Checkpoint.open(scratch)) {
      String name = "language_model.model.norm.weight";
      assertArrayEquals(values(name, new long[] {8}), checkpoint.floats(name));
      assertEquals(64, checkpoint.digest().length());
      assertFalse(checkpoint.has("language_model.model.layers.1.input_layernorm.weight"));
    }
  }

  @Test
  void missingKeysAreTheClassDefaults() throws IOException {
    Files.writeString(
        scratch.resolve("config.json"),
        "{\"model_type\":\"llava\",\"text_config\":{\"vocab_size\":32064}}");
    assertEquals(
        new ModelConfig(
            "llava",
            new VisionConfig("clip", 1024, 4096, 24, 16, 336, 14, 1e-5, "quick_gelu"),
            new TextConfig(
                32064, 4096, 11008, 32, 32, 32, 128, 1e-6, 10000, null, 2048, "silu", false, false,
                1, 2),
            32000,
            576,
            2,
            -2,
            "default",
            "gelu",
            true,
            false),
        config());
    Files.writeString(
        scratch.resolve("config.json"),
        "{\"model_type\":\"llava\",\"image_token_index\":5,\"vision_config\":{\"model_type\":"
            + "\"siglip_vision_model\"},\"vision_feature_select_strategy\":\"full\"}");
    assertEquals(
        new VisionConfig("siglip", 768, 3072, 12, 12, 224, 16, 1e-6, "gelu_pytorch_tanh"),
        config().vision());
    assertEquals(196, config().imageTokens());
    Files.writeString(
        scratch.resolve("config.json"),
        "{\"model_type\":\"llava\",\"image_token_id\":5,\"vision_config\":{}}");
    assertEquals(
        new VisionConfig("clip", 768, 3072, 12, 12, 224, 32, 1e-5, "quick_gelu"),
        config().vision());
    assertEquals(5, config().imageTokenId());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "architectures | ['Qwen2VLForConditionalGeneration'] | LlavaForConditionalGeneration",
        "model_type | 'mllama' | LlavaForConditionalGeneration",
        "vision_config.model_type | 'vit' | siglip_vision_model",
        "text_config.model_type | 'mistral' | llama",
        "vision_config.num_channels | 1 | num_channels",
        "vision_config.hidden_act | 'mish' | quick_gelu",
        "text_config.hidden_size | -8 | text_config.hidden_size",
        "text_config.hidden_size | 'big' | text_config.hidden_size",
        "text_config.hidden_size | 1e30 | text_config.hidden_size",
        "text_config.hidden_size | 99999999999 | text_config.hidden_size",
        "text_config.num_key_value_heads | 3 | num_key_value_heads",
        "text_config.head_dim | 3 | head_dim",
        "text_config.rms_norm_eps | 0 | rms_norm_eps",
        "text_config.attention_bias | 'no' | attention_bias",
        "text_config.rope_scaling | {'type':'yarn','factor':2} | yarn",
        "text_config.rope_scaling | {'type':'linear'} | factor",
        "text_config.rope_scaling | 5 | rope_scaling",
        "text_config | [] | text_config",
        "vision_config.num_attention_heads | 3 | num_attention_heads",
        "vision_config.patch_size | 8 | image_size",
        "vision_feature_layer | 2 | vision_feature_layer",
        "vision_feature_layer | -3 | vision_feature_layer",
        "vision_feature_layer | [-2,-1] | several layers",
        "vision_feature_select_strategy | 'cls' | vision_feature_select_strategy",
        "image_token_index | 10 | image_token_index",
      })
  void refusesAConfigurationAndNamesTheKey(String key, String value, String word)
      throws IOException {
    configure(key, value);
    refused("config.json", word);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {"{ | JSON", "7 | JSON object", "{} | architecture"})
  void refusesADamagedConfiguration(String json, String word) throws IOException {
    Files.writeString(scratch.resolve("config.json"), json);
    refused("config.json", word);
  }

  @Test
  void refusesAMissingDirectoryConfigurationOrWeights() throws IOException {
    Files.delete(scratch.resolve("model.safetensors"));
    refused("model.safetensors");
    Files.delete(scratch.resolve("config.json"));
    refused("config.json");
    BadInputException e =
        assertThrows(BadInputException.class, () -> Checkpoint.open(scratch.resolve("none")));
    assertTrue(e.getMessage().contains("none"), e.getMessage());
  }

  @Test
  void readsScalingOfRotaryFrequenciesInBothSpellings() throws IOException {
    configure("text_config.rope_scaling", "{'type':'linear','factor':4.0}");
    assertEquals(new RopeScaling("linear", 4, 0, 0, 0), config().text().ropeScaling());
    assertEquals(0.25, config().text().rotaryFrequencies()[0]);
    configure("text_config.rope_parameters", "{'rope_type':'default','rope_theta':500000}");
    assertNull(config().text().ropeScaling());
    assertEquals(500000, config().text().ropeTheta());
    configure(
        "text_config.rope_scaling",
        "{'rope_type':'llama3','factor':8.0,'low_freq_factor':1.0,'high_freq_factor':4.0,"
            + "'original_max_position_embeddings':8192}");
    // Published behaviour of Llama 3.1: fast waves unchanged, slow ones divided by the factor.
    TextConfig wide =
        new TextConfig(
            10,
            8,
            12,
            1,
            4,
            2,
            128,
            1e-5,
            500000,
            config().text().ropeScaling(),
            131072,
            "silu",
            false,
            false,
            1,
            2);
    TextConfig plain =
        new TextConfig(
            10, 8, 12, 1, 4, 2, 128, 1e-5, 500000, null, 131072, "silu", false, false, 1, 2);
    double[] scaled = wide.rotaryFrequencies();
    double[] unscaled = plain.rotaryFrequencies();
    assertEquals(unscaled[0], scaled[0]);
    assertEquals(unscaled[63] / 8, scaled[63], 1e-18);
    for (int i = 0; i < 64; i++) {
      double wave = 2 * Math.PI / unscaled[i];
      double smooth = (8192 / wave - 1) / 3;
      double expected =
          wave < 8192 / 4.0
              ? unscaled[i]
              : wave > 8192
                  ? unscaled[i] / 8
                  : (1 - smooth) * unscaled[i] / 8 + smooth * unscaled[i];
      assertEquals(expected, scaled[i], 1e-12 * expected);
    }
  }

  @Test
  void namesEveryTensorThatIsMissing() {
    for (String name : Map.copyOf(shapes).keySet()) {
      long[] shape = shapes.remove(name);
      writeWeights();
      refused("no tensor " + name);
      shapes.put(name, shape);
    }
  }

  @Test
  void namesATensorOfAnotherShapeOrType() {
    String name = "multi_modal_projector.linear_1.weight";
    shapes.put(name, new long[] {4, 8});
    writeWeights();
    refused("model.safetensors", name, "[4, 8]", "[8, 4]");

    shapes.remove(name);
    SafeTensorsWriter writer = new SafeTensorsWriter();
    shapes.forEach((other, shape) -> writer.add(other, shape, values(other, shape)));
    writer.add(name, new long[] {8, 4}, new long[32]).write(scratch.resolve("model.safetensors"));
    refused("model.safetensors", name, "I64");
  }

  @Test
  void tiedEmbeddingsNeedNoHead() throws IOException {
    configure("text_config.tie_word_embeddings", "true");
    shapes.remove("language_model.lm_head.weight");
    writeWeights();
    try (Checkpoint checkpoint = Checkpoint.open(scratch)) {
      assertTrue(checkpoint.config().tiedEmbeddings());
    }
  }

  @Test
  void tyingSaidOnlyAtTheTopGivesWayToAHeadInTheFile() throws IOException {
    configure("tie_word_embeddings", "true");
    try (Checkpoint checkpoint = Checkpoint.open(scratch)) {
      assertFalse(checkpoint.config().tiedEmbeddings());
    }
    shapes.remove("language_model.lm_head.weight");
    writeWeights();
    try (Checkpoint checkpoint = Checkpoint.open(scratch)) {
      assertTrue(checkpoint.config().tiedEmbeddings());
    }
  }

  @Test
  void refusesTwoTensorsOfOneMeaning() {
    shapes.put("lm_head.weight", new long[] {10, 8});
    writeWeights();
    refused("model.safetensors", "lm_head.weight", "language_model.lm_head.weight");
  }

  private void shard(Map<String, String> weightMap) throws IOException {
    Files.move(
        scratch.resolve("model.safetensors"), scratch.resolve("model-00001-of-00001.safetensors"));
    Map<String, String> all = new TreeMap<>();
    shapes.keySet().forEach(name -> all.put(name, "model-00001-of-00001.safetensors"));
    all.putAll(weightMap);
    JSON.writeValue(
        scratch.resolve("model.safetensors.index.json").toFile(), Map.of("weight_map", all));
  }

  @Test
  void opensShards() throws IOException {
    shard(Map.of());
    Checkpoint.open(scratch).close();
  }

  @Test
  void namesAMissingShardAndATensorThatNeedsIt() throws IOException {
    shard(Map.of("language_model.model.norm.weight", "model-00002-of-00002.safetensors"));
    refused("model-00002-of-00002.safetensors", "language_model.model.norm.weight");
  }

  @Test
  void namesATensorThatIsNotInItsShard() throws IOException {
    shard(Map.of("extra.weight", "model-00001-of-00001.safetensors"));
    refused("model.safetensors.index.json", "extra.weight");
  }

  @ParameterizedTest
  @CsvSource({"../outside.safetensors", "/etc/passwd", "sub/../../x", "..", "''", "sub/x"})
  void refusesAnIndexThatPointsOutsideTheDirectory(String name) throws IOException {
    Files.copy(
        scratch.resolve("model.safetensors"),
        scratch.resolveSibling("outside.safetensors"),
        java.nio.file.StandardCopyOption.REPLACE_EXISTING);
    shard(Map.of("language_model.model.norm.weight", name));
    refused("model.safetensors.index.json", "outside the model directory");
    Files.delete(scratch.resolveSibling("outside.safetensors"));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {"{ | JSON", "{} | weight_map", "[] | weight_map"})
  void refusesADamagedIndex(String json, String word) throws IOException {
    Files.delete(scratch.resolve("model.safetensors"));
    Files.writeString(scratch.resolve("model.safetensors.index.json"), json);
    refused("model.safetensors.index.json", word);
  }

  @Test
  void damagedWeightsAreRefusedByFileName() throws IOException {
    byte[] whole = Files.readAllBytes(scratch.resolve("model.safetensors"));
    Files.write(
        scratch.resolve("model.safetensors"), java.util.Arrays.copyOf(whole, whole.length - 3));
    refused("model.safetensors", "truncated");
  }

  private void writeWeights(String broken, DType dtype, float value) {
    SafeTensorsWriter writer = new SafeTensorsWriter();
    shapes.forEach(
        (name, shape) -> {
          float[] values = values(name, shape);
          if (name.equals(broken)) {
            values[values.length - 1] = value;
          }
          writer.add(name, name.equals(broken) ? dtype : DType.F32, shape, values);
        });
    writer.write(scratch.resolve("model.safetensors"));
  }

  @ParameterizedTest
  @CsvSource({
    "language_model.model.layers.0.self_attn.q_proj.weight, F32, NaN",
    "language_model.model.norm.weight, F16, Infinity",
    "vision_tower.vision_model.encoder.layers.0.mlp.fc1.bias, BF16, -Infinity",
    "multi_modal_projector.linear_2.weight, F32, Infinity",
    "language_model.model.embed_tokens.weight, F64, NaN",
  })
  void weightsThatAreNotFiniteAreRefusedByName(String name, DType dtype, double value) {
    writeWeights(name, dtype, (float) value);
    try (Checkpoint checkpoint = Checkpoint.open(scratch)) {
      BadInputException e = assertThrows(BadInputException.class, checkpoint::digest);
      assertTrue(e.getMessage().contains(name), e.getMessage());
      assertTrue(e.getMessage().contains("not finite"), e.getMessage());
    }
  }

  @Test
  void tensorsThatAreNotUsedMayHoldAnything() throws IOException {
    shapes.put("vision_tower.vision_model.post_layernorm.weight", new long[] {4});
    writeWeights("vision_tower.vision_model.post_layernorm.weight", DType.F32, Float.NaN);
    try (Checkpoint checkpoint = Checkpoint.open(scratch)) {
      assertEquals(64, checkpoint.digest().length());
    }
  }

  @Test
  void quantisedWeightsAreCalledThat() throws IOException {
    configure("quantization_config", "{'quant_method':'bitsandbytes','load_in_4bit':true}");
    refused("quantization_config", "bitsandbytes", "before");
  }

  @Test
  void numbersAsPythonWritesThemAreRead() throws IOException {
    configure("text_config.max_position_embeddings", "512.0");
    assertEquals(512, config().text().maxPositions());
    configure("text_config.max_position_embeddings", "512.5");
    refused("max_position_embeddings", "512.5");
    String text = JSON.writeValueAsString(JSON.readTree(CONFIG));
    Files.writeString(
        scratch.resolve("config.json"),
        text.substring(0, text.length() - 1)
            + ",\"router_jitter\":NaN,\"top\":Infinity,\"low\":-Infinity}");
    Checkpoint.open(scratch).close();
    Files.writeString(
        scratch.resolve("config.json"),
        text.replace("\"vocab_size\"", "\"rms_norm_eps\":NaN,\"vocab_size\""));
    refused("rms_norm_eps", "NaN");
  }

  @Test
  void theDigestOfALargeModelIsKeptUntilItsFilesChange() throws IOException {
    Clock later = Clock.offset(Clock.systemUTC(), Duration.ofHours(1));
    KeptDigests kept = new KeptDigests(scratch.resolve("cache"), 1, later);
    String digest = digest(kept);
    Path place = only(scratch.resolve("cache").resolve("digests"));
    assertEquals(digest, Files.readString(place).strip());

    String other = "0".repeat(64);
    Files.writeString(place, other);
    assertEquals(other, digest(kept), "what is kept is not computed again");
    try (Checkpoint checkpoint = Checkpoint.open(scratch)) {
      assertEquals(digest, checkpoint.verify(kept));
    }
    assertEquals(digest, digest(kept), "verifying mends what is kept");

    Files.writeString(place, other);
    Files.setLastModifiedTime(
        scratch.resolve("model.safetensors"), FileTime.from(Instant.ofEpochSecond(1)));
    assertEquals(digest, digest(kept), "touched");
    configure("text_config.rms_norm_eps", "0.5");
    assertNotEquals(digest, digest(kept), "another configuration");
  }

  @Test
  void theDigestOfSmallAndOfNewFilesIsNotKept() {
    for (KeptDigests kept :
        List.of(
            new KeptDigests(scratch.resolve("cache")),
            new KeptDigests(
                scratch.resolve("cache"),
                1,
                Clock.offset(Clock.systemUTC(), Duration.ofHours(-1))))) {
      assertEquals(64, digest(kept).length());
      assertFalse(Files.exists(scratch.resolve("cache")));
    }
  }

  private String digest(KeptDigests kept) {
    try (Checkpoint checkpoint = Checkpoint.open(scratch)) {
      return checkpoint.digest(kept);
    }
  }

  private static Path only(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      List<Path> found = files.toList();
      assertEquals(1, found.size(), found.toString());
      return found.get(0);
    }
  }
}
