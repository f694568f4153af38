package io.whetstream.model.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.Golden;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

@Tag("golden")
class TextTokenizerGoldenTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir Path scratch;

  private final List<TextTokenizer> open = new ArrayList<>();

  @AfterEach
  void close() {
    open.forEach(TextTokenizer::close);
  }

  /** Directories with a tokenizer and what it should say, with the file that says it. */
  private static Stream<Path> expectations() throws IOException {
    List<Path> found;
    try (Stream<Path> all = Files.walk(Golden.root(), 3)) {
      found =
          all.filter(
                  file ->
                      Files.exists(file.resolveSibling("tokenizer.json"))
                          && (file.endsWith("expected.json")
                              || file.endsWith("tokenizer_expected.json")))
              .sorted()
              .toList();
    }
    assertFalse(found.isEmpty(), "no golden tokenizer under " + Golden.root());
    return found.stream();
  }

  private static List<JsonNode> cases(Path expected) throws IOException {
    return StreamSupport.stream(JSON.readTree(expected.toFile()).spliterator(), false).toList();
  }

  private static long[] ids(JsonNode node) {
    return StreamSupport.stream(node.spliterator(), false).mapToLong(JsonNode::asLong).toArray();
  }

  @TestFactory
  Stream<DynamicTest> encodesAndDecodesAsHuggingFaceDoes() throws IOException {
    return expectations()
        .flatMap(
            file -> {
              try {
                Path directory = file.getParent();
                TextTokenizer tokenizer = TextTokenizer.open(directory);
                open.add(tokenizer);
                return cases(file).stream()
                    .map(
                        c ->
                            dynamicTest(
                                directory.getFileName() + " " + c.get("text"),
                                () -> matches(tokenizer, c)));
              } catch (IOException e) {
                throw new java.io.UncheckedIOException(e);
              }
            });
  }

  private static void matches(TextTokenizer tokenizer, JsonNode expected) {
    String text = expected.get("text").asText();
    long[] ids = ids(expected.get("ids"));
    assertArrayEquals(ids, tokenizer.encodeWithSpecials(text));
    assertArrayEquals(ids(expected.get("ids_no_special")), tokenizer.encodePrompt(text));
    assertEquals(expected.get("decoded_skip_special").asText(), tokenizer.decode(ids));
    assertEquals(expected.get("decoded_keep_special").asText(), tokenizer.decode(ids, false));
  }

  /**
   * A caption of somebody else's: whatever it spells, no special token comes of it, its characters
   * stay what they are, and text without such names has the ids Hugging Face gives it.
   */
  @TestFactory
  Stream<DynamicTest> takesNamesOfSpecialTokensInCaptionsAsPlainText() throws IOException {
    return expectations()
        .map(
            file ->
                dynamicTest(
                    file.getParent().getFileName().toString(),
                    () -> {
                      Path directory = file.getParent();
                      Map<String, Long> specials = new TreeMap<>();
                      JSON.readTree(directory.resolve("tokenizer.json").toFile())
                          .get("added_tokens")
                          .forEach(
                              t -> {
                                // Others (Qwen3's </think>) are words that are never cut.
                                if (t.get("special").asBoolean()) {
                                  specials.put(t.get("content").asText(), t.get("id").asLong());
                                }
                              });
                      try (TextTokenizer tokenizer = TextTokenizer.open(directory)) {
                        for (JsonNode c : cases(file)) {
                          String text = c.get("text").asText();
                          if (specials.keySet().stream().noneMatch(text::contains)) {
                            assertArrayEquals(ids(c.get("ids_no_special")), tokenizer.encode(text));
                          }
                        }
                        specials.forEach((name, id) -> staysText(tokenizer, specials, name, id));
                      }
                    }));
  }

  private static void staysText(
      TextTokenizer tokenizer, Map<String, Long> specials, String name, long id) {
    String almost = name.substring(0, name.length() - 1);
    boolean faithful = almost.equals(tokenizer.decode(tokenizer.encode(almost), false).strip());
    for (String text : List.of(name, "a " + name + " b", "a," + name + name + "b")) {
      assertTrue(LongStream.of(tokenizer.encodePrompt(text)).anyMatch(i -> i == id), text);
      long[] ids = tokenizer.encode(text);
      assertTrue(LongStream.of(ids).noneMatch(specials::containsValue), text);
      if (faithful) {
        assertEquals(text, tokenizer.decode(ids, false).strip());
      }
    }
  }

  @TestFactory
  Stream<DynamicTest> knowsItsBeginAndEndOfSequence() throws IOException {
    return expectations()
        .map(Path::getParent)
        .map(
            directory ->
                dynamicTest(
                    directory.getFileName().toString(),
                    () -> {
                      Path older = directory.resolve("special_tokens_map.json");
                      JsonNode map =
                          JSON.readTree(
                              (Files.exists(older)
                                      ? older
                                      : directory.resolve("tokenizer_config.json"))
                                  .toFile());
                      try (TextTokenizer tokenizer = TextTokenizer.open(directory)) {
                        if (map.hasNonNull("bos_token")) {
                          assertEquals(
                              map.get("bos_token").asText(),
                              tokenizer.decode(new long[] {tokenizer.bosId()}, false));
                        }
                        assertEquals(
                            map.get("eos_token").asText(),
                            tokenizer.decode(new long[] {tokenizer.eosId()}, false));
                      }
                    }));
  }

  @TestFactory
  Stream<DynamicTest> neitherTruncatesNorPadsWhateverTheFileSays() throws IOException {
    return expectations()
        .map(Path::getParent)
        .map(
            directory ->
                dynamicTest(
                    directory.getFileName().toString(),
                    () -> {
                      ObjectNode definition =
                          (ObjectNode) JSON.readTree(directory.resolve("tokenizer.json").toFile());
                      definition
                          .putObject("truncation")
                          .put("direction", "Right")
                          .put("max_length", 8)
                          .put("strategy", "LongestFirst")
                          .put("stride", 0);
                      ObjectNode padding = definition.putObject("padding");
                      padding.putObject("strategy").put("Fixed", 64);
                      padding
                          .put("direction", "Right")
                          .putNull("pad_to_multiple_of")
                          .put("pad_id", 0)
                          .put("pad_type_id", 0)
                          .put("pad_token", "<pad>");
                      Path copy = Files.createTempDirectory(scratch, "tokenizer");
                      JSON.writeValue(copy.resolve("tokenizer.json").toFile(), definition);
                      String text = "a picture of a dog ".repeat(300);
                      try (TextTokenizer expected = TextTokenizer.open(directory);
                          TextTokenizer actual = TextTokenizer.open(copy)) {
                        assertTrue(expected.encode(text).length > 1024);
                        assertArrayEquals(expected.encode(text), actual.encode(text));
                        assertArrayEquals(expected.encode("a dog"), actual.encode("a dog"));
                      }
                    }));
  }

  @TestFactory
  Stream<DynamicTest> servesManyThreadsAtOnce() throws IOException {
    return expectations()
        .map(
            file ->
                dynamicTest(
                    file.getParent().getFileName().toString(),
                    () -> {
                      List<JsonNode> cases = cases(file);
                      ExecutorService threads = Executors.newFixedThreadPool(4);
                      try (TextTokenizer tokenizer = TextTokenizer.open(file.getParent())) {
                        List<Callable<Void>> work = new ArrayList<>();
                        for (int i = 0; i < 20; i++) {
                          work.add(
                              () -> {
                                cases.forEach(c -> matches(tokenizer, c));
                                return null;
                              });
                        }
                        for (Future<Void> done : threads.invokeAll(work)) {
                          done.get();
                        }
                      } finally {
                        threads.shutdown();
                      }
                    }));
  }
}
