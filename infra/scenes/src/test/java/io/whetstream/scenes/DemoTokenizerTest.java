package io.whetstream.scenes;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.text.TextTokenizer;
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
  private static TextTokenizer tokenizer;

  @BeforeAll
  static void open() {
    tokenizer = TextTokenizer.open(DemoBase.unpack(cache));
  }

  @AfterAll
  static void close() {
    tokenizer.close();
  }

  private static long[] encode(String text) {
    return tokenizer.encode(text);
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
    assertArrayEquals(new long[] {tokens.indexOf("<image>")}, tokenizer.encodePrompt("<image>"));
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
            "names of tokens: <image>,<image> <s></s> <pad> <unk>",
            "")) {
      assertEquals(text.toLowerCase(Locale.ROOT), tokenizer.decode(encode(text)), text);
    }
  }

  @Test
  void textBeginsWithTheBeginOfSequenceToken() {
    long[] ids = tokenizer.encodeWithSpecials("red");
    assertArrayEquals(new long[] {1, DemoFiles.tokens().indexOf("\u2581red")}, ids);
  }

  @Test
  void theConfigurationIsOfASmallLlavaThatFitsTheTokenizer() {
    ModelConfig config = ModelConfig.read(DemoBase.unpack(cache).resolve("config.json"));
    assertEquals(DemoFiles.tokens().size(), config.text().vocabSize());
    assertEquals(DemoFiles.tokens().indexOf("<image>"), config.imageTokenId());
    assertEquals(DemoFiles.tokens().indexOf("<pad>"), config.padTokenId());
    assertEquals(36, config.imageTokens());
    assertEquals(3, config.visionLayersUsed());
    assertTrue(config.tiedEmbeddings());
    assertEquals(tokenizer.bosId(), config.text().bosTokenId());
    assertEquals(tokenizer.eosId(), config.text().eosTokenId());
    assertEquals(SceneRenderer.SIZE, config.vision().imageSize());
  }
}
