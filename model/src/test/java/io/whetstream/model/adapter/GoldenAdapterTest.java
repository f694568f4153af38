package io.whetstream.model.adapter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.Golden;
import io.whetstream.model.checkpoint.SafeTensors;
import java.io.IOException;
import java.nio.file.Path;
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
    return Golden.directories(Golden.holding("adapter/adapter_config.json")).stream()
        .map(golden -> golden.resolve("adapter"));
  }

  @ParameterizedTest
  @MethodSource("adapters")
  void savesThePeftAdapterWithTheSameKeysShapesAndFields(Path golden) throws IOException {
    AdapterArtifact artifact = AdapterCodec.read(golden);
    Path saved = directory.resolve("saved");
    AdapterCodec.write(saved, artifact, true);
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
              if (!field.getKey().equals("base_model_name_or_path")) {
                assertEquals(field.getValue(), ours.get(field.getKey()), field.getKey());
              }
            });
    assertEquals(names(theirs), names(ours));
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

  private static java.util.Set<String> names(JsonNode object) {
    java.util.Set<String> names = new java.util.TreeSet<>();
    object.fieldNames().forEachRemaining(names::add);
    return names;
  }
}
