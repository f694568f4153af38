package io.whetstream.model.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.BadInputException;
import io.whetstream.model.Golden;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

@Tag("golden")
class CheckpointGoldenTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir Path scratch;

  private static boolean isLlava(Path directory) {
    try {
      return JSON.readTree(directory.resolve("config.json").toFile())
          .path("model_type")
          .asText()
          .equals("llava");
    } catch (java.io.IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  private static List<Path> llava() {
    List<Path> found =
        Golden.directories(Golden.holding("config.json").and(CheckpointGoldenTest::isLlava));
    assertTrue(!found.isEmpty(), "no llava directory under " + Golden.root());
    return found;
  }

  @TestFactory
  Stream<DynamicTest> aConfigurationWithoutItsDefaultsIsTheSameModel() {
    return llava().stream()
        .filter(Golden.holding("config.minimal.json"))
        .map(
            directory ->
                dynamicTest(
                    directory.getFileName().toString(),
                    () ->
                        assertEquals(
                            ModelConfig.read(directory.resolve("config.json")),
                            ModelConfig.read(directory.resolve("config.minimal.json")))));
  }

  @TestFactory
  Stream<DynamicTest> imageTokensAreAsManyAsTheModelWasMadeWith() {
    return llava().stream()
        .map(
            directory ->
                dynamicTest(
                    directory.getFileName().toString(),
                    () -> {
                      JsonNode config = JSON.readTree(directory.resolve("config.json").toFile());
                      assertEquals(
                          config.get("image_seq_length").asInt(),
                          ModelConfig.read(directory.resolve("config.json")).imageTokens());
                    }));
  }

  @TestFactory
  Stream<DynamicTest> otherArchitecturesAreRefusedWithWhatIsSupported() {
    return llava().stream()
        .map(
            directory ->
                dynamicTest(
                    directory.getFileName().toString(),
                    () -> {
                      Path other = scratch.resolve("other-" + directory.getFileName());
                      Files.createDirectories(other);
                      ObjectNode config =
                          (ObjectNode) JSON.readTree(directory.resolve("config.json").toFile());
                      config.putArray("architectures").add("Qwen3VLMoeForConditionalGeneration");
                      config.put("model_type", "qwen3_vl_moe");
                      Files.write(other.resolve("config.json"), JSON.writeValueAsBytes(config));
                      BadInputException e =
                          assertThrows(
                              BadInputException.class, () -> Checkpoint.open(other).close());
                      for (String word :
                          List.of(
                              "qwen3_vl_moe",
                              "LlavaForConditionalGeneration",
                              "Qwen3VLForConditionalGeneration",
                              "config.json")) {
                        assertTrue(e.getMessage().contains(word), e.getMessage());
                      }
                    }));
  }

  @TestFactory
  Stream<DynamicTest> shardsAndTheNewerLayoutAreTheSameModel() {
    return llava().stream()
        .map(
            directory ->
                dynamicTest(
                    directory.getFileName().toString(),
                    () -> {
                      Path whole = Files.createDirectories(scratch.resolve("whole"));
                      Path sharded = scratch.resolve(directory.getFileName());
                      Files.createDirectories(sharded);
                      for (Path target : List.of(whole, sharded)) {
                        Files.write(
                            target.resolve("config.json"),
                            Files.readAllBytes(directory.resolve("config.json")));
                      }
                      try (SafeTensors source =
                          SafeTensors.open(directory.resolve("model.safetensors"))) {
                        rewrite(source, sharded, name -> newer(TensorNames.llava(name)));
                      }
                      try (Checkpoint expected = Checkpoint.open(directory);
                          Checkpoint actual = Checkpoint.open(sharded)) {
                        assertEquals(expected.names(), actual.names());
                        for (String name : expected.names()) {
                          assertArrayEquals(expected.floats(name), actual.floats(name), name);
                        }
                        assertNotEquals(
                            expected.fileOf(expected.names().iterator().next()).file(),
                            actual.fileOf(expected.names().iterator().next()).file());
                        assertEquals(expected.digest(), actual.digest());
                      }
                    }));
  }

  @TestFactory
  Stream<DynamicTest> anotherWeightOrEpsilonIsAnotherDigest() {
    return llava().stream()
        .map(
            directory ->
                dynamicTest(
                    directory.getFileName().toString(),
                    () -> {
                      Path copy = scratch.resolve("copy-" + directory.getFileName());
                      Files.createDirectories(copy);
                      byte[] config = Files.readAllBytes(directory.resolve("config.json"));
                      byte[] weights = Files.readAllBytes(directory.resolve("model.safetensors"));
                      Files.write(copy.resolve("config.json"), config);
                      Files.write(copy.resolve("model.safetensors"), weights);
                      String original = digest(directory);
                      assertEquals(original, digest(copy));

                      weights[weights.length - 1] ^= 1;
                      Files.write(copy.resolve("model.safetensors"), weights);
                      assertNotEquals(original, digest(copy));

                      weights[weights.length - 1] ^= 1;
                      Files.write(copy.resolve("model.safetensors"), weights);
                      ObjectNode changed = (ObjectNode) JSON.readTree(config);
                      ((ObjectNode) changed.get("text_config")).put("rms_norm_eps", 0.5);
                      Files.write(copy.resolve("config.json"), JSON.writeValueAsBytes(changed));
                      assertNotEquals(original, digest(copy));
                    }));
  }

  private static String digest(Path directory) {
    try (Checkpoint checkpoint = Checkpoint.open(directory)) {
      return checkpoint.digest();
    }
  }

  /** The name the releases of transformers since 4.52 give a tensor of this canonical name. */
  private static String newer(String name) {
    if (name.equals("language_model.lm_head.weight")) {
      return "lm_head.weight";
    }
    return "model." + name.replaceFirst("^language_model\\.model\\.", "language_model.");
  }

  private static void rewrite(SafeTensors source, Path target, UnaryOperator<String> rename)
      throws java.io.IOException {
    List<SafeTensorsWriter> shards =
        new ArrayList<>(List.of(new SafeTensorsWriter(), new SafeTensorsWriter()));
    Map<String, String> weightMap = new TreeMap<>();
    int i = 0;
    for (TensorInfo info : source.tensors().values()) {
      String name = rename.apply(info.name());
      int shard = i++ % shards.size();
      shards.get(shard).add(name, info.dtype(), info.shape(), source.bytes(info.name()));
      weightMap.put(name, "part-" + shard + ".safetensors");
    }
    for (int shard = 0; shard < shards.size(); shard++) {
      shards.get(shard).write(target.resolve("part-" + shard + ".safetensors"));
    }
    JSON.writeValue(
        target.resolve("model.safetensors.index.json").toFile(), Map.of("weight_map", weightMap));
  }
}
