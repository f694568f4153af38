package io.whetstream.model.adapter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.BadInputException;
import io.whetstream.model.checkpoint.FloatTensor;
import io.whetstream.model.checkpoint.SafeTensorsWriter;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AdapterCodecTest {
  private static final String TENSORS = "lora/adapter_model.safetensors";

  @TempDir Path directory;

  @Test
  void readsBackWhatItWrote() {
    for (boolean older : List.of(false, true)) {
      AdapterArtifact artifact = Adapters.artifact(Adapters.random(1, 4, 3, 2), 5);
      Path target = directory.resolve("a" + older);
      AdapterCodec.write(target, artifact, older);
      AdapterArtifact read = AdapterCodec.read(target);
      assertEquals(artifact.weights(), read.weights());
      assertEquals(artifact.manifest(), read.manifest());
      assertEquals(artifact.digest(), read.weights().digest());
    }
  }

  @Test
  void writesTheSameBytesForEqualArtifacts() {
    Map<String, byte[]> one =
        AdapterCodec.encode(Adapters.artifact(Adapters.random(1, 4, 3, 2), 5));
    Map<String, byte[]> two =
        AdapterCodec.encode(Adapters.artifact(Adapters.random(1, 4, 3, 2), 5));
    assertEquals(one.keySet(), two.keySet());
    one.forEach((path, bytes) -> assertArrayEquals(bytes, two.get(path), path));
  }

  @Test
  void holdsAdaptersOfPromptsAlone() {
    AdapterArtifact artifact = Adapters.artifact(Adapters.random(1, 0, 3, 0), 1);
    assertEquals(
        List.of(
            "manifest.json",
            "prompt_image/adapter_config.json",
            "prompt_image/adapter_model.safetensors"),
        List.copyOf(AdapterCodec.encode(artifact).keySet()));
    AdapterCodec.write(directory.resolve("a"), artifact);
    assertEquals(artifact.weights(), AdapterCodec.read(directory.resolve("a")).weights());
  }

  @Test
  void digestsContentsAndConfigurationButNotTheLogitScale() {
    AdapterWeights weights = Adapters.random(1, 4, 3, 2);
    AdapterWeights warmer =
        new AdapterWeights(
            weights.config(), weights.lora(), weights.softImage(), weights.softText(), 1);
    assertEquals(weights.digest(), warmer.digest());
    AdapterWeights other = copyWith(weights, 1f);
    assertNotEquals(weights.digest(), other.digest());
    AdapterConfig c = weights.config();
    AdapterConfig scaled =
        new AdapterConfig(
            c.rank(), 32, false, 0.1, c.targetModules(), c.imageTemplate(), c.textTemplate(), 3, 2);
    assertNotEquals(
        weights.digest(),
        new AdapterWeights(scaled, weights.lora(), weights.softImage(), weights.softText(), 1)
            .digest());
  }

  @Test
  void namesTheNewerLayoutUnlessAsked() {
    AdapterArtifact artifact = Adapters.artifact(Adapters.random(1, 4, 0, 0), 1);
    String newer = new String(AdapterCodec.encode(artifact).get(TENSORS), StandardCharsets.UTF_8);
    String older =
        new String(AdapterCodec.encode(artifact, true).get(TENSORS), StandardCharsets.UTF_8);
    String tail = "layers.0.mlp.down_proj.lora_A.weight\"";
    assertTrue(newer.contains("\"base_model.model.model.language_model." + tail));
    assertTrue(older.contains("\"base_model.model.language_model.model." + tail));
  }

  @Test
  void writesAnExpressionThatLeavesTheVisionTowerAlone() throws IOException {
    AdapterArtifact artifact = Adapters.artifact(Adapters.random(1, 4, 0, 0), 1);
    for (boolean older : List.of(false, true)) {
      byte[] json = AdapterCodec.encode(artifact, older).get("lora/adapter_config.json");
      String expression =
          new com.fasterxml.jackson.databind.ObjectMapper()
              .readTree(json)
              .get("target_modules")
              .asText();
      String root = older ? "language_model.model." : "model.language_model.";
      assertTrue((root + "layers.1.self_attn.q_proj").matches(expression), expression);
      assertFalse((root + "layers.1.self_attn.k_proj").matches(expression), expression);
      assertFalse(
          "vision_tower.vision_model.encoder.layers.1.self_attn.q_proj".matches(expression));
    }
  }

  @Test
  void neverRewritesAManifestButKeepsAnotherOfTheSameTensorsBesideIt() throws IOException {
    AdapterWeights weights = Adapters.random(1, 4, 3, 2);
    AdapterArtifact first = Adapters.artifact(weights, 1);
    AdapterArtifact second = Adapters.artifact(weights, 2);
    Path target = directory.resolve("a");
    AdapterCodec.write(target, first);
    AdapterCodec.write(target, first);
    assertFalse(Files.exists(target.resolve("manifests")));
    AdapterCodec.write(target, second);
    AdapterCodec.write(target, second);
    assertArrayEquals(
        first.manifest().toBytes(), Files.readAllBytes(target.resolve("manifest.json")));
    assertArrayEquals(
        second.manifest().toBytes(),
        Files.readAllBytes(
            target.resolve("manifests").resolve(second.manifest().manifestDigest() + ".json")));
    assertEquals(List.of(target), children(directory));
  }

  @Test
  void refusesToWriteOverAnotherAdapter() {
    Path target = directory.resolve("a");
    AdapterCodec.write(target, Adapters.artifact(Adapters.random(1, 4, 0, 0), 1));
    assertRefused(
        "already holds adapter",
        () -> AdapterCodec.write(target, Adapters.artifact(Adapters.random(2, 4, 0, 0), 1)));
    assertEquals(Adapters.random(1, 4, 0, 0), AdapterCodec.read(target).weights());
  }

  @Test
  void completesADirectoryWithoutAValidManifest() throws IOException {
    AdapterArtifact artifact = Adapters.artifact(Adapters.random(1, 4, 3, 2), 1);
    Path target = directory.resolve("a");
    AdapterCodec.write(target, artifact);
    Files.delete(target.resolve("manifest.json"));
    Files.write(target.resolve(TENSORS), new byte[10]);
    assertRefused("no manifest.json", () -> AdapterCodec.read(target));
    AdapterCodec.write(target, artifact);
    assertEquals(artifact.weights(), AdapterCodec.read(target).weights());
  }

  @Test
  void refusesDamagedMembers() {
    AdapterArtifact artifact = Adapters.artifact(Adapters.random(1, 4, 3, 2), 1);
    SortedMap<String, byte[]> members = AdapterCodec.encode(artifact);
    for (String path : members.keySet()) {
      if (!path.startsWith("prompt_") || path.endsWith(".safetensors")) {
        assertRefused(path, () -> AdapterCodec.decode(without(members, path)::get));
        byte[] bytes = members.get(path);
        for (int length : new int[] {0, 5, bytes.length / 2, bytes.length - 3}) {
          assertRefused(
              path,
              () -> AdapterCodec.decode(with(members, path, Arrays.copyOf(bytes, length))::get));
        }
      }
    }
    byte[] flipped = members.get(TENSORS).clone();
    flipped[flipped.length - 1] ^= 1;
    assertRefused("damaged", () -> AdapterCodec.decode(with(members, TENSORS, flipped)::get));
  }

  @Test
  void refusesTensorsThatAreUnknownOrOfTwoRanksOrNotFinite() {
    AdapterArtifact artifact = Adapters.artifact(Adapters.random(1, 4, 3, 2), 1);
    SortedMap<String, byte[]> members = AdapterCodec.encode(artifact);
    SortedMap<String, FloatTensor> lora = new TreeMap<>(artifact.weights().lora());
    String a = "language_model.model.layers.0.mlp.down_proj.lora_A.weight";
    String b = "language_model.model.layers.0.mlp.down_proj.lora_B.weight";

    lora.put("language_model.model.layers.0.mlp.down_proj.lora_magnitude", lora.get(a));
    assertRefused("unknown tensor", () -> decode(members, lora));
    lora.remove("language_model.model.layers.0.mlp.down_proj.lora_magnitude");

    FloatTensor was = lora.put(b, Adapters.tensor(new java.util.Random(1), 8, 5));
    assertRefused("has rank 5", () -> decode(members, lora));
    float[] values = was.data().clone();
    values[7] = Float.NaN;
    lora.put(b, new FloatTensor(was.shape(), values));
    assertRefused("holds NaN at index 7", () -> decode(members, lora));
    lora.remove(b);
    assertRefused("has no partner", () -> decode(members, lora));
    lora.put(b, was);
    assertEquals(artifact.weights(), decode(members, lora).weights());
  }

  @Test
  void refusesAPeftConfigurationThatContradictsTheManifest() {
    SortedMap<String, byte[]> members =
        AdapterCodec.encode(Adapters.artifact(Adapters.random(1, 4, 0, 0), 1));
    String path = "lora/adapter_config.json";
    String json = new String(members.get(path), StandardCharsets.UTF_8);
    byte[] changed =
        json.replace("\"lora_alpha\": 16", "\"lora_alpha\": 32").getBytes(StandardCharsets.UTF_8);
    assertRefused(
        "the manifest says", () -> AdapterCodec.decode(with(members, path, changed)::get));
  }

  @Test
  void refusesAManifestOfALaterSchema() {
    String json =
        new String(
            Adapters.artifact(Adapters.random(1, 4, 0, 0), 1).manifest().toBytes(),
            StandardCharsets.UTF_8);
    byte[] later =
        json.replace("\"schemaVersion\": 1", "\"schemaVersion\": 2")
            .getBytes(StandardCharsets.UTF_8);
    assertRefused("schemaVersion 2", () -> AdapterManifest.parse(later, "manifest"));
  }

  @Test
  void interpolatesThresholdsOverTheLogarithmOfTheRate() {
    Calibration.Curve curve =
        new Calibration.Curve(1000, List.of(0.001, 0.01, 0.1), List.of(0.9, 0.8, 0.5));
    assertEquals(0.9, curve.threshold(1e-6));
    assertEquals(0.8, curve.threshold(0.01), 1e-12);
    assertEquals(0.65, curve.threshold(Math.sqrt(0.01 * 0.1)), 1e-12);
    assertEquals(0.5, curve.threshold(0.5));
  }

  private static AdapterArtifact decode(
      SortedMap<String, byte[]> members, SortedMap<String, FloatTensor> lora) {
    SafeTensorsWriter writer = new SafeTensorsWriter();
    lora.forEach(
        (name, tensor) -> writer.add(LoraNames.toPeft(name, LoraNames.USUAL_ROOT), tensor));
    return AdapterCodec.decode(with(members, TENSORS, writer.toBytes())::get);
  }

  private static AdapterWeights copyWith(AdapterWeights weights, float first) {
    FloatTensor soft = weights.softImage();
    float[] values = soft.data().clone();
    values[0] = first;
    return new AdapterWeights(
        weights.config(),
        weights.lora(),
        new FloatTensor(soft.shape(), values),
        weights.softText(),
        weights.logitScale());
  }

  private static Map<String, byte[]> with(Map<String, byte[]> members, String path, byte[] bytes) {
    Map<String, byte[]> changed = new TreeMap<>(members);
    changed.put(path, bytes);
    return changed;
  }

  private static Map<String, byte[]> without(Map<String, byte[]> members, String path) {
    Map<String, byte[]> changed = new TreeMap<>(members);
    changed.remove(path);
    return changed;
  }

  private static void assertRefused(String reason, org.junit.jupiter.api.function.Executable call) {
    BadInputException refusal = assertThrows(BadInputException.class, call);
    assertTrue(refusal.getMessage().contains(reason), refusal.getMessage());
  }

  private static List<Path> children(Path directory) throws IOException {
    try (Stream<Path> list = Files.list(directory)) {
      return list.toList();
    }
  }
}
