package io.whetstream.model.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.PromptEncoding;
import java.io.File;
import java.io.IOException;
import java.lang.reflect.Constructor;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Adapters, savepoints and announcements name their base and their configuration by these values,
 * so they are frozen: a change here makes all of them invalid, everywhere.
 */
class IdentityTest {
  private static final Path RESOURCES = Path.of("src", "test", "resources");

  /** Of the first release. */
  private static final Map<String, String> FIRST =
      Map.of(
          "golden/llava-tiny", "9efd820a255c2257ea39089e53166cdcec15dbd187d6dce21fd156d293edad40",
          "golden/llava-mha-tiny",
              "b7cc460460a640e3fb6c99d725538c11e00f2f55567da821b119f2728c08965c",
          "golden/llava-siglip-tiny",
              "a2e095f551bb319514cf17c8c8298a4a6ff1264dfdc8572f89315d65f111ae9c",
          "golden/llava-v5layout-tiny",
              "bcf0a2bc33baf6822938bc6d3dc060738b5824bfe1cb821ae4aff923a1cf081d");

  /** Of the families that came after it. */
  private static final Map<String, String> SECOND =
      Map.of(
          "golden/llava-next-e2e-tiny",
              "a9d9dd9876c0e9bf6affb5125eb6ab53fde7279a4b67e088f38ab5150994fdbf",
          "golden/llava-onevision-tiny",
              "31646ff24106405411a33aa55d2afb5cfca7072deed2019602ee525d8db9cd91",
          "golden/qwen2vl-e2e-tiny",
              "ca4ee9acd469ef56ce756e440a2c3e98e52ecef7c4bc4ab7b635b767120d88e4",
          "golden/qwen2_5vl-tiny",
              "6759bd7e78c770157119da7bf914f60aa16b14d75ac50ec8e841ec8d8783cded",
          "golden/qwen3vl-tiny", "e1eeab828b7ab7a6a582472f488d75550c3631e75e49defcbe1dffd1b55f0a47",
          "golden/smolvlm-e2e-tiny",
              "25665a9c421150093c742224fdc42dc946e28b60beb9074f70c0b7685b59ffd0");

  private static final List<String> RECORDS =
      List.of(
          "ModelConfig",
          "TextConfig",
          "VisionConfig",
          "RopeScaling",
          "MultimodalRope",
          "DynamicVision",
          "Canvases",
          "AdapterConfig");

  @TempDir Path scratch;

  @Test
  void digestsOfBasesAreThoseOfTheFirstRelease() {
    FIRST.forEach((name, digest) -> assertEquals(digest, digest(RESOURCES.resolve(name)), name));
  }

  @Test
  void digestsOfLaterFamiliesAreThoseTheyCameWith() {
    SECOND.forEach((name, digest) -> assertEquals(digest, digest(RESOURCES.resolve(name)), name));
  }

  /** What the tests here hold still is no constant: another number is another base. */
  @Test
  void whatChangesNumbersChangesTheDigest() throws IOException {
    Path base = RESOURCES.resolve("golden/llava-tiny");
    Path other = Files.createDirectories(scratch.resolve("other"));
    Files.copy(base.resolve("model.safetensors"), other.resolve("model.safetensors"));
    String config = Files.readString(base.resolve("config.json"));
    Files.writeString(other.resolve("config.json"), config);
    assertEquals(digest(base), digest(other));
    String changed = config.replaceFirst("\"rms_norm_eps\": *[^,\\s}]+", "\"rms_norm_eps\": 2e-5");
    assertNotEquals(config, changed);
    Files.writeString(other.resolve("config.json"), changed);
    assertNotEquals(digest(base), digest(other));
  }

  private static String digest(Path directory) {
    try (Checkpoint checkpoint = Checkpoint.open(directory)) {
      return checkpoint.digest();
    }
  }

  @Test
  void theFormOfAConfigurationIsWrittenKeyByKey() {
    assertEquals(
        "{\"family\":\"llava\",\"imageTokenId\":378,\"imageTokens\":16,\"padTokenId\":379,"
            + "\"projectorActivation\":\"gelu\",\"projectorBias\":true,\"text\":{\"activation\":"
            + "\"silu\",\"attentionBias\":false,\"bosTokenId\":1,\"eosTokenId\":2,\"headDim\":16,"
            + "\"heads\":4,\"hiddenSize\":64,\"intermediateSize\":136,\"keyValueHeads\":2,"
            + "\"layers\":2,\"maxPositions\":4096,\"mlpBias\":false,\"rmsNormEps\":1.0E-5,"
            + "\"ropeScaling\":{\"factor\":8.0,\"highFrequencyFactor\":4.0,\"lowFrequencyFactor\":"
            + "1.0,\"originalMaxPositions\":64,\"type\":\"llama3\"},\"ropeTheta\":10000.0,"
            + "\"vocabSize\":380},\"tiedEmbeddings\":false,\"vision\":{\"activation\":"
            + "\"quick_gelu\",\"heads\":2,\"hiddenSize\":32,\"imageSize\":64,\"intermediateSize\":"
            + "72,\"layerNormEps\":1.0E-5,\"layers\":3,\"patchSize\":16,\"type\":\"clip\"},"
            + "\"visionFeatureLayer\":-2,\"visionFeatureSelectStrategy\":\"default\"}",
        CanonicalForm.version1(
                ModelConfig.read(RESOURCES.resolve("golden/llava-v5layout-tiny/config.json")))
            .toString());
  }

  @Test
  void theKeyOfTheTrainersStateIsThatOfTheFirstRelease() {
    assertEquals(
        "AdapterConfig[rank=16, alpha=16.0, rsLora=false, dropout=0.05, targetModules=[q_proj,"
            + " down_proj], imageTemplate=<image>[in one word :], textTemplate=null, softImage=6,"
            + " softText=0]",
        adapterConfig().stateKey());
  }

  private static AdapterConfig adapterConfig() {
    return new AdapterConfig(
        16,
        16,
        false,
        0.05,
        List.of("q_proj", "down_proj"),
        "<image>[in one word :]",
        null,
        6,
        0,
        PromptEncoding.PIECES);
  }

  /** Compiles the two packages with one more component in each record, and asks them. */
  @Test
  void anotherComponentOfARecordChangesNothing() throws Exception {
    Path changed = Files.createDirectories(scratch.resolve("classes"));
    List<String> arguments = new ArrayList<>(List.of("-proc:none", "-nowarn", "-d", changed + ""));
    arguments.addAll(List.of("-cp", System.getProperty("java.class.path")));
    arguments.addAll(sourcesWithOneMoreComponent());
    assertEquals(
        0,
        ToolProvider.getSystemJavaCompiler()
            .run(null, null, null, arguments.toArray(String[]::new)));

    List<URL> urls = new ArrayList<>(List.of(changed.toUri().toURL()));
    for (String entry : System.getProperty("java.class.path").split(File.pathSeparator)) {
      urls.add(Path.of(entry).toUri().toURL());
    }
    try (URLClassLoader library =
        new URLClassLoader(urls.toArray(URL[]::new), ClassLoader.getPlatformClassLoader())) {
      Class<?> checkpoint = library.loadClass(Checkpoint.class.getName());
      Map<String, String> all = new TreeMap<>(FIRST);
      all.putAll(SECOND);
      for (Map.Entry<String, String> base : all.entrySet()) {
        Object open =
            checkpoint.getMethod("open", Path.class).invoke(null, RESOURCES.resolve(base.getKey()));
        assertEquals(base.getValue(), checkpoint.getMethod("digest").invoke(open));
        assertTrue(checkpoint.getMethod("config").invoke(open).toString().contains("oneMore=more"));
        checkpoint.getMethod("close").invoke(open);
      }
      Class<?> config = library.loadClass(AdapterConfig.class.getName());
      Object adapter =
          Arrays.stream(config.getConstructors())
              .max(Comparator.comparingInt(Constructor::getParameterCount))
              .orElseThrow()
              .newInstance(
                  "more",
                  16,
                  16.0,
                  false,
                  0.05,
                  List.of("q_proj", "down_proj"),
                  "<image>[in one word :]",
                  null,
                  6,
                  0,
                  null);
      assertEquals(adapterConfig().stateKey(), config.getMethod("stateKey").invoke(adapter));
    }
  }

  private List<String> sourcesWithOneMoreComponent() throws IOException {
    Path sources = Path.of("src", "main", "java");
    List<String> changed = new ArrayList<>();
    for (Class<?> each : List.of(Checkpoint.class, AdapterConfig.class)) {
      Path directory = sources.resolve(each.getPackageName().replace('.', '/'));
      try (Stream<Path> files = Files.list(directory)) {
        for (Path file : files.toList()) {
          String text = Files.readString(file);
          for (String name : RECORDS) {
            text =
                text.replaceAll("\\brecord " + name + "\\(", "record " + name + "(String oneMore,")
                    .replaceAll("\\bpublic " + name + "\\(", "public " + name + "(String oneMore,")
                    .replaceAll("\\bnew " + name + "\\(", "new " + name + "(\"more\",");
            if (file.endsWith(name + ".java")) {
              text = text.replaceAll("\\bthis\\(", "this(oneMore,");
            }
          }
          Path copy = scratch.resolve("sources").resolve(sources.relativize(file));
          Files.createDirectories(copy.getParent());
          Files.writeString(copy, text);
          changed.add(copy.toString());
        }
      }
    }
    return changed;
  }
}
