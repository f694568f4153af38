package io.whetstream.model.adapter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.BooleanNode;
import io.whetstream.model.Golden;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.checkpoint.SafeTensors;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Adapters that Hugging Face PEFT wrote load, and what we save of them is what PEFT wrote. */
@Tag("golden")
class GoldenAdapterTest {
  @TempDir Path directory;

  static Stream<Path> adapters() {
    return Stream.of("adapter", "lora/adapter")
        .flatMap(
            folder ->
                Golden.directories(Golden.holding(folder + "/adapter_config.json")).stream()
                    .map(golden -> golden.resolve(folder)));
  }

  static Stream<Path> newerAdapters() {
    return adapters().filter(golden -> !older(golden));
  }

  @ParameterizedTest
  @MethodSource("adapters")
  void savesThePeftAdapterWithTheSameKeysShapesAndFields(Path golden) throws IOException {
    AdapterArtifact artifact = AdapterCodec.read(golden);
    Path saved = directory.resolve("saved");
    AdapterCodec.write(saved, artifact, older(golden));
    try (SafeTensors theirs = SafeTensors.open(golden.resolve("adapter_model.safetensors"));
        SafeTensors ours = SafeTensors.open(saved.resolve("lora/adapter_model.safetensors"))) {
      assertEquals(theirs.tensors().keySet(), ours.tensors().keySet());
      for (String name : theirs.tensors().keySet()) {
        assertEquals(theirs.tensor(name), ours.tensor(name), name);
      }
    }
    ObjectMapper json = new ObjectMapper();
    JsonNode theirs = json.readTree(golden.resolve("adapter_config.json").toFile());
    JsonNode ours = json.readTree(saved.resolve("lora/adapter_config.json").toFile());
    theirs
        .properties()
        .forEach(
            field -> {
              // The path of the base on the machine that trained it is no property of the adapter.
              if (ours.has(field.getKey()) && !field.getKey().equals("base_model_name_or_path")) {
                assertEquals(field.getValue(), ours.get(field.getKey()), field.getKey());
              }
            });
    Set<String> newer = names(theirs);
    newer.removeAll(names(ours));
    assertTrue(names(theirs).containsAll(names(ours)));
    // What later releases of PEFT added, all of it saying nothing.
    newer.removeAll(Set.of("peft_version", "qalora_group_size"));
    newer.forEach(
        name ->
            assertTrue(
                theirs.get(name).isNull() || theirs.get(name).equals(BooleanNode.FALSE), name));
  }

  /** The names that a new adapter of a model gets are those that PEFT gives that model's. */
  @ParameterizedTest
  @MethodSource("newerAdapters")
  void aNewAdapterOfTheBaseHasTheNamesOfPeft(Path golden) {
    ModelConfig base = ModelConfig.read(golden.resolve("../../config.json"));
    AdapterArtifact read = AdapterCodec.read(golden);
    AdapterManifest manifest =
        AdapterManifest.builder(read.weights(), null).decoderModule(base.decoderModule()).build();
    Path saved = directory.resolve("new");
    AdapterCodec.write(saved, new AdapterArtifact(read.weights(), manifest));
    try (SafeTensors theirs = SafeTensors.open(golden.resolve("adapter_model.safetensors"));
        SafeTensors ours = SafeTensors.open(saved.resolve("lora/adapter_model.safetensors"))) {
      assertEquals(theirs.tensors().keySet(), ours.tensors().keySet());
    }
  }

  /** Whether transformers before 4.52 wrote it. */
  private static boolean older(Path golden) {
    try (SafeTensors theirs = SafeTensors.open(golden.resolve("adapter_model.safetensors"))) {
      return theirs.tensors().keySet().stream()
          .anyMatch(key -> key.contains(".language_model.model."));
    }
  }

  @ParameterizedTest
  @MethodSource("adapters")
  void readsBothNamesOfTheLanguageModel(Path golden) {
    AdapterArtifact artifact = AdapterCodec.read(golden);
    for (boolean older : new boolean[] {true, false}) {
      Path saved = directory.resolve("saved" + older);
      AdapterCodec.write(saved, artifact, older);
      AdapterArtifact bare = AdapterCodec.read(saved.resolve("lora"));
      assertEquals(artifact.weights().lora(), bare.weights().lora());
      assertEquals(artifact.digest(), AdapterCodec.read(saved).digest());
      assertArrayEquals(
          artifact.manifest().toBytes(), AdapterCodec.read(saved).manifest().toBytes());
    }
  }

  private static Set<String> names(JsonNode object) {
    Set<String> names = new TreeSet<>();
    object.fieldNames().forEachRemaining(names::add);
    return names;
  }
}
