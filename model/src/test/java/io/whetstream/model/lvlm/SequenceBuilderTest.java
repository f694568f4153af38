package io.whetstream.model.lvlm;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.BadInputException;
import io.whetstream.model.Golden;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.PromptEncoding;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.text.TextTokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class SequenceBuilderTest {
  private static final Path MODEL = Path.of("src", "test", "resources", "golden", "llava-tiny");

  private static final ImageGeometry PICTURE = ImageGeometry.whole(64, 64, 16);

  private static boolean isLlava(Path directory) {
    try {
      return Files.readString(directory.resolve("config.json"))
          .contains("LlavaForConditionalGeneration");
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  private static String escaped(String text) {
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]");
  }

  private static SequenceBuilder sequences(TextTokenizer tokenizer, String image, String text) {
    return sequences(tokenizer, image, text, 0);
  }

  private static SequenceBuilder sequences(
      TextTokenizer tokenizer, String image, String text, int soft) {
    return new SequenceBuilder(
        tokenizer,
        ModelConfig.read(MODEL.resolve("config.json")),
        new PromptTemplates(image, text),
        soft,
        soft);
  }

  /** Every prompt with one image, of which Hugging Face's own ids are recorded. */
  @TestFactory
  Stream<DynamicTest> promptsAreTheIdsOfHuggingFace() {
    List<Path> found =
        Golden.directories(
            Golden.holding("tokenizer_expected.json")
                .and(Golden.holding("config.json"))
                .and(SequenceBuilderTest::isLlava));
    assertFalse(found.isEmpty(), "no golden directory under " + Golden.root());
    return found.stream()
        .map(directory -> dynamicTest(directory.getFileName().toString(), () -> check(directory)));
  }

  private static void check(Path directory) throws IOException {
    ModelConfig config = ModelConfig.read(directory.resolve("config.json"));
    JsonNode cases =
        new ObjectMapper().readTree(directory.resolve("tokenizer_expected.json").toFile());
    ImageGeometry picture = ImageGeometry.whole(64, 64, config.imageTokens());
    int images = 0;
    try (TextTokenizer tokenizer = TextTokenizer.open(directory)) {
      for (JsonNode one : cases) {
        String text = one.get("text").asText();
        long[] ids = LongStream.range(0, one.get("ids").size()).map(i -> id(one, i)).toArray();
        long placeholders = Arrays.stream(ids).filter(id -> id == config.imageTokenId()).count();
        if (placeholders == 1) {
          images++;
          SequenceBuilder sequences =
              new SequenceBuilder(
                  tokenizer, config, new PromptTemplates(escaped(text), "<text>"), 0, 0);
          long[] expanded =
              Arrays.stream(ids)
                  .flatMap(
                      id ->
                          id == config.imageTokenId()
                              ? LongStream.generate(() -> id).limit(config.imageTokens())
                              : LongStream.of(id))
                  .toArray();
          assertArrayEquals(expanded, sequences.imageRow(picture, false), text);
          assertArrayEquals(expanded, sequences.imageRow(picture, true), text);
        } else if (placeholders == 0 && !text.isEmpty() && ids.length > 1) {
          SequenceBuilder sequences =
              new SequenceBuilder(
                  tokenizer, config, new PromptTemplates("<image>", "<text>"), 0, 0);
          long[] caption = tokenizer.encodePrompt(text);
          assertArrayEquals(ids, sequences.textRow(caption, false), text);
        }
      }
    }
    assertTrue(images > 0, directory + " holds no prompt with an image");
  }

  private static long id(JsonNode one, long i) {
    return one.get("ids").get((int) i).asLong();
  }

  /**
   * Whatever part of a text is the caption and whatever the template, the row is Hugging Face's of
   * the whole text, also where a token stands for the end of the one and the beginning of the
   * other.
   */
  @TestFactory
  Stream<DynamicTest> captionAndTemplateAreEncodedAsOneTextWhereverTheSeamIs() {
    List<Path> found =
        Golden.directories(
            Golden.holding("tokenizer_expected.json").and(Golden.holding("config.json")));
    assertFalse(found.isEmpty(), "no golden directory under " + Golden.root());
    return found.stream()
        .map(directory -> dynamicTest(directory.getFileName().toString(), () -> seams(directory)));
  }

  private static void seams(Path directory) throws IOException {
    ModelConfig config = ModelConfig.read(directory.resolve("config.json"));
    JsonNode cases =
        new ObjectMapper().readTree(directory.resolve("tokenizer_expected.json").toFile());
    int compared = 0;
    int joined = 0;
    try (TextTokenizer tokenizer = TextTokenizer.open(directory)) {
      for (JsonNode one : cases) {
        String text = one.get("text").asText();
        long[] ids = LongStream.range(0, one.get("ids").size()).map(i -> id(one, i)).toArray();
        if (!Arrays.equals(tokenizer.encode(text), tokenizer.encodePrompt(text))) {
          continue; // It spells special tokens, which captions cannot.
        }
        for (int at = 1; at < text.length(); at++) {
          String before = text.substring(0, at / 2);
          String caption = text.substring(at / 2, at);
          if (!tokenizer.decode(tokenizer.encode(caption)).equals(caption)) {
            continue; // Half a character, or a blank that the tokenizer takes for its own.
          }
          String template = escaped(before) + "<text>" + everyEscaped(text.substring(at));
          SequenceBuilder sequences =
              new SequenceBuilder(
                  tokenizer, config, new PromptTemplates("<image>", template), 0, 0);
          long[] row = sequences.textRow(tokenizer.encode(caption), false);
          assertArrayEquals(ids, row, template + " of '" + caption + "'");
          compared++;
          joined += row.length < apart(tokenizer, before, caption, text.substring(at)) ? 1 : 0;
        }
      }
    }
    assertTrue(compared > 50, "compared only " + compared);
    assertTrue(joined > 0, "no token of " + directory + " reaches over a seam");
  }

  private static int apart(TextTokenizer tokenizer, String... pieces) {
    int begin = tokenizer.encodeWithSpecials("a").length - tokenizer.encode("a").length;
    return begin + Arrays.stream(pieces).mapToInt(piece -> tokenizer.encode(piece).length).sum();
  }

  private static String everyEscaped(String text) {
    return text.isEmpty() ? "" : "\\" + text.charAt(0) + escaped(text.substring(1));
  }

  @Test
  void softVectorsFollowACaptionThatIsEncodedAsIfNothingDid() {
    try (TextTokenizer tokenizer = TextTokenizer.open(MODEL)) {
      long[] dog = tokenizer.encode("a dog ");
      SequenceBuilder atOnce = sequences(tokenizer, "<image>", "Say: <text>[in one word:] now", 2);
      long[] row = atOnce.textRow(dog, true);
      long[] shown = tokenizer.encodeWithSpecials("Say: a dog ");
      assertArrayEquals(shown, Arrays.copyOf(row, shown.length));
      assertEquals(shown.length, indexOf(row, -1));

      SequenceBuilder behind = sequences(tokenizer, "<image>", "<text> s [in one word:]", 2);
      row = behind.textRow(dog, true);
      shown = tokenizer.encodeWithSpecials("a dog  s");
      assertArrayEquals(shown, Arrays.copyOf(row, shown.length));
      assertEquals(shown.length, indexOf(row, -1));
    }
  }

  @Test
  void lineBreaksAndBlanksComeOutAsInOneText() {
    try (TextTokenizer tokenizer = TextTokenizer.open(MODEL)) {
      SequenceBuilder sequences =
          sequences(tokenizer, "<image>\nSummary", "<text>\n[Summary above:] now");
      long[] row = sequences.imageRow(PICTURE, false);
      long[] whole = tokenizer.encodeWithSpecials("<image>\nSummary");
      assertArrayEquals(tail(whole, whole.length - 2), tail(row, whole.length - 2));

      assertArrayEquals(
          tokenizer.encodeWithSpecials("a brown dog\nSummary above: now"),
          sequences.textRow(tokenizer.encode("a brown dog"), false));
    }
  }

  private static long[] tail(long[] ids, int length) {
    return Arrays.copyOfRange(ids, ids.length - length, ids.length);
  }

  @Test
  void aWordBehindTheCaptionIsAWordOfItsOwnUnlessItIsJoined() {
    try (TextTokenizer tokenizer = TextTokenizer.open(MODEL)) {
      long[] dog = tokenizer.encode("a dog");
      assertArrayEquals(
          tokenizer.encodeWithSpecials("a dog in one word:"),
          sequences(tokenizer, "<image>", "<text>[in one word:]").textRow(dog, false));
      assertArrayEquals(
          tokenizer.encodeWithSpecials("a dogs"),
          sequences(tokenizer, "<image>", "<text>\\s").textRow(dog, false));
      assertArrayEquals(
          tokenizer.encodeWithSpecials("a dog:"),
          sequences(tokenizer, "<image>", "<text>:").textRow(dog, false));
    }
  }

  @Test
  void softVectorsReplaceTheTokensThatHoldBracketedWords() {
    try (TextTokenizer tokenizer = TextTokenizer.open(MODEL)) {
      String image = "USER: <image>\n[Summary above image] in one word:";
      SequenceBuilder sequences = sequences(tokenizer, image, "<text>[the word:]", 2);
      long[] words = sequences.imageRow(PICTURE, false);
      long[] soft = sequences.imageRow(PICTURE, true);
      int at = indexOf(soft, -1);
      assertEquals(-2, soft[at + 1]);
      long[] replaced = Arrays.copyOfRange(words, at, words.length - (soft.length - at - 2));
      assertArrayEquals(sequences.imageWords(), replaced);
      assertEquals("Summary above image", tokenizer.decode(replaced).strip());
      assertArrayEquals(Arrays.copyOf(words, at), Arrays.copyOf(soft, at));
      assertEquals("the word:", tokenizer.decode(sequences.textWords()).strip());
    }
  }

  private static int indexOf(long[] ids, long id) {
    for (int i = 0; i < ids.length; i++) {
      if (ids[i] == id) {
        return i;
      }
    }
    throw new AssertionError(id + " is not in " + Arrays.toString(ids));
  }

  @Test
  void literalBracketsAndBackslashesCanBeWritten() {
    try (TextTokenizer tokenizer = TextTokenizer.open(MODEL)) {
      SequenceBuilder sequences =
          sequences(tokenizer, "\\[INST\\] <image>\\\\[one word] \\[/INST\\]", "<text>");
      long[] whole = tokenizer.encodeWithSpecials("[INST] <image>\\one word [/INST]");
      long[] row = sequences.imageRow(PICTURE, false);
      assertArrayEquals(
          Arrays.stream(whole).filter(id -> id != 318).toArray(),
          Arrays.stream(row).filter(id -> id != 318).toArray());
      assertEquals("one word", tokenizer.decode(sequences.imageWords()).strip());
    }
  }

  @Test
  void templatesThatCannotBeReadAreRefused() {
    for (String template :
        List.of(
            "no slot",
            "[words]<image>",
            "<image>[a][b]",
            "<image>]",
            "<image>[a",
            "<image>x<image>")) {
      BadInputException e =
          assertThrows(
              BadInputException.class, () -> new PromptTemplates(template, "<text>"), template);
      assertTrue(e.getMessage().contains(template), e.getMessage());
    }
  }

  @Test
  void endOfSequenceFollowsACaptionThatIsWhole() {
    try (TextTokenizer tokenizer = TextTokenizer.open(MODEL)) {
      SequenceBuilder sequences = sequences(tokenizer, "<image>", "<text>");
      long[] caption = new long[sequences.maxLongCaption(PICTURE, false) + 1];
      Arrays.fill(caption, 5);
      long[] cut = sequences.nextTokenRow(PICTURE, caption, false);
      assertEquals(5, cut[cut.length - 1]);
      long[] fits = Arrays.copyOf(caption, caption.length - 1);
      long[] whole = sequences.nextTokenRow(PICTURE, fits, false);
      assertEquals(2, whole[whole.length - 1]);
      assertEquals(512, whole.length);
    }
  }

  @Test
  void templatesThatReadTheSameEitherWayAreThoseOfTheFirstRelease() {
    ModelConfig model = ModelConfig.read(MODEL.resolve("config.json"));
    try (TextTokenizer tokenizer = TextTokenizer.open(MODEL)) {
      AdapterConfig same = adapter("<image>[in one word :]", "<text>[in one word :]");
      AdapterConfig settled = SequenceBuilder.settled(tokenizer, model, same);
      assertEquals(PromptEncoding.PIECES, settled.promptEncoding());
      assertEquals(same.withPromptEncoding(PromptEncoding.PIECES), settled);

      for (String template : List.of("<image>\n[in one word :]", "<image>\\[[in one word :]")) {
        AdapterConfig other = adapter(template, "<text>[in one word :]");
        assertEquals(other, SequenceBuilder.settled(tokenizer, model, other));
        assertNotEquals(
            other.stateKey(), other.withPromptEncoding(PromptEncoding.PIECES).stateKey());
      }
    }
  }

  private static AdapterConfig adapter(String image, String text) {
    return new AdapterConfig(2, 4, false, 0, List.of("q_proj"), image, text, 2, 2);
  }
}
