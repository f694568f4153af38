package io.whetstream.model.scenes;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DemoTokenizerTest {
  @TempDir static Path cache;
  private static HuggingFaceTokenizer tokenizer;

  @BeforeAll
  static void open() throws IOException {
    tokenizer =
        HuggingFaceTokenizer.newInstance(
            DemoBase.unpack(cache).resolve("tokenizer.json"),
            Map.of("truncation", "DO_NOT_TRUNCATE", "padding", "DO_NOT_PAD"));
  }

  @AfterAll
  static void close() {
    tokenizer.close();
  }

  private static long[] encode(String text) {
    return tokenizer.encode(text, false, false).getIds();
  }

  @Test
  void theFilesInTheLibraryAreWhatTheirWriterWrites() throws IOException {
    for (Map.Entry<String, byte[]> file : DemoFiles.all().entrySet()) {
      assertArrayEquals(
          file.getValue(),
          Files.readAllBytes(DemoBase.unpack(cache).resolve(file.getKey())),
          file.getKey());
    }
  }

  @Test
  void everyWordIsOneToken() {
    List<String> tokens = DemoFiles.tokens();
    for (String word : Vocabulary.WORDS) {
      assertArrayEquals(new long[] {tokens.indexOf("\u2581" + word)}, encode(word), word);
    }
    assertEquals(6, encode(PretrainingStream.IMAGE_PROMPT).length);
    assertEquals(6, encode(PretrainingStream.TEXT_PROMPT).length);
    assertArrayEquals(new long[] {tokens.indexOf("<image>")}, encode("<image>"));
    assertEquals(tokens.size(), tokens.stream().distinct().count());
  }

  @Test
  void allThatIsSaidOfScenesIsMadeOfWordsAndMarks() {
    for (SceneLook look : SceneLook.all()) {
      SceneGenerator generator = new SceneGenerator(3, look);
      for (int i = 0; i < 500; i++) {
        Scene scene = generator.scene(i);
        for (String text :
            List.of(
                Captioner.shortCaption(scene),
                Captioner.longCaption(scene),
                Captioner.gridCaption(generator.grid(i)))) {
          String[] pieces = text.replaceAll("([.,:])", " $1").split(" ", -1);
          assertEquals(pieces.length, encode(text).length, text);
        }
      }
    }
  }

  @Test
  void theLinesOfTextUseEveryWord() {
    boolean[] seen = new boolean[DemoFiles.tokens().size()];
    PretrainingStream stream = new PretrainingStream(5, 40_000);
    for (int i = 0; i < 6_000; i++) {
      PretrainingExample example = stream.text(i, new Draws(i));
      for (long id : encode(example.prompt() + ' ' + example.text())) {
        seen[(int) id] = true;
      }
    }
    for (String word : Vocabulary.WORDS) {
      assertTrue(seen[DemoFiles.tokens().indexOf("\u2581" + word)], word + " was never read");
    }
  }

  @Test
  void anyTextComesBackInLowerCase() {
    for (String text :
        List.of(
            "A Small RED cross",
            "naïve café, 東京タワー; Привет — мир!",
            "emoji 😀👩‍👩‍👧 and \u0000 control \u007f",
            "  two  leading,\ttab\nnewline \r\n end ",
            "left-of/right_of (a){b}[c]",
            "ﷺ ẞ İ",
            "")) {
      assertEquals(text.toLowerCase(Locale.ROOT), tokenizer.decode(encode(text), true), text);
    }
  }

  @Test
  void textBeginsWithTheBeginOfSequenceToken() {
    long[] ids = tokenizer.encode("red", true, false).getIds();
    assertArrayEquals(new long[] {1, DemoFiles.tokens().indexOf("\u2581red")}, ids);
  }
}
