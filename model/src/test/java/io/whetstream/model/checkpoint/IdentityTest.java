package io.whetstream.model.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
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
  private static final Map<String, String> DIGESTS =
      Map.of(
          "golden/llava-tiny", "9efd820a255c2257ea39089e53166cdcec15dbd187d6dce21fd156d293edad40",
          "golden/llava-mha-tiny",
              "b7cc460460a640e3fb6c99d725538c11e00f2f55567da821b119f2728c08965c",
          "golden/llava-siglip-tiny",
              "a2e095f551bb319514cf17c8c8298a4a6ff1264dfdc8572f89315d65f111ae9c",
          "frozen/llava-v5layout-tiny",
              "bcf0a2bc33baf6822938bc6d3dc060738b5824bfe1cb821ae4aff923a1cf081d");
  private static final List<String> RECORDS =
      List.of("ModelConfig", "TextConfig", "VisionConfig", "RopeScaling", "AdapterConfig");

  @TempDir Path scratch;

  @Test
  void digestsOfBasesAreThoseOfTheFirstRelease() {
    DIGESTS.forEach((name, digest) -> assertEquals(digest, digest(RESOURCES.resolve(name)), name));
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
                ModelConfig.read(RESOURCES.resolve("frozen/llava-v5layout-tiny/config.json")))
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
      for (Map.Entry<String, String> base : DIGESTS.entrySet()) {
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
