package io.whetstream.model.pairs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class PairsFileTest {
  @TempDir Path scratch;

  private static final String GOOD = "{\"id\":\"a\",\"image\":\"images/a.png\",\"caption\":\"A\"}";

  private Path file(String... lines) throws IOException {
    return Files.writeString(scratch.resolve("pairs.jsonl"), String.join("\n", lines));
  }

  private static List<CaptionedImage> read(Path file) {
    try (Stream<CaptionedImage> pairs = PairsFile.read(file)) {
      return pairs.toList();
    }
  }

  @Test
  void readsWhatIsThereAndResolvesImagesAgainstTheFile() throws IOException {
    Path file =
        file(
            "\ufeff" + GOOD,
            "",
            "{\"id\":7,\"image\":\"/abs/b.jpg\",\"caption\":\"B\",\"caption_long\":\"B at length\","
                + "\"captions\":[\"C\",\"B\"],\"group\":3,\"license\":{\"x\":[]}}",
            "{\"id\":\"c\",\"image\":\"c\",\"captions\":[\"D\",\"E\"],\"caption\":null}",
            "{\"id\":\"d\",\"image\":\"d\",\"caption_long\":\"long only\"}",
            "");
    List<CaptionedImage> pairs = read(file);
    assertEquals(
        new CaptionedImage("a", scratch.resolve("images/a.png"), "A", null, List.of("A"), null, 1),
        pairs.get(0));
    assertEquals(
        new CaptionedImage(
            "7", Path.of("/abs/b.jpg"), "B", "B at length", List.of("C", "B"), "3", 3),
        pairs.get(1));
    assertEquals("D", pairs.get(2).caption());
    assertEquals(List.of("D", "E"), pairs.get(2).captions());
    assertNull(pairs.get(3).caption());
    assertEquals(List.of(), pairs.get(3).captions());
    assertEquals(4, pairs.size());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "not json | not valid JSON",
        "['a'] | not a JSON object",
        "{'id':'a','image':'x','caption':'y'} {} | not valid JSON",
        "{'image':'x','caption':'y'} | \"id\"",
        "{'id':'a','caption':'y'} | \"image\"",
        "{'id':'a','image':'x'} | no caption",
        "{'id':'a','image':'x','caption':''} | \"caption\" is empty",
        "{'id':'a','image':'x','caption':'  '} | \"caption\" is empty",
        "{'id':'a','image':'x','caption':'y','caption_long':''} | \"caption_long\" is empty",
        "{'id':'a','image':'x','captions':['y',' ']} | \"captions\" is empty",
        "{'id':'a','image':'x','captions':'y'} | not a list",
        "{'id':'a','image':'x','captions':[1]} | \"captions\" holds 1",
        "{'id':'a','image':'x','caption':['y']} | \"caption\" is",
        "{'id':'a','image':'','caption':'y'} | \"image\" is empty",
        "{'id':'a','image':'\\u0000','caption':'y'} | no path",
        "{'id':'','image':'x','caption':'y'} | \"id\" is empty",
      })
  void namesTheLineOfABadPair(String line, String reason) throws IOException {
    Path file = file(GOOD, "", line.replace('\'', '"'), GOOD);
    BadInputException e = assertThrows(BadInputException.class, () -> read(file));
    assertTrue(e.getMessage().startsWith(file + ": line 3: "), e.getMessage());
    assertTrue(e.getMessage().contains(reason), e.getMessage());

    List<BadInputException> bad = new ArrayList<>();
    try (Stream<CaptionedImage> pairs = PairsFile.read(file, bad::add)) {
      assertEquals(List.of(1, 4), pairs.map(CaptionedImage::line).toList());
    }
    assertEquals(1, bad.size());
  }

  @Test
  void refusesAMissingFileAndOneThatIsNotText() throws IOException {
    assertThrows(BadInputException.class, () -> read(scratch.resolve("none.jsonl")));
    Path file = scratch.resolve("latin.jsonl");
    Files.write(file, new byte[] {'{', (byte) 0xe9, '}', '\n'});
    BadInputException e = assertThrows(BadInputException.class, () -> read(file));
    assertTrue(e.getMessage().contains("UTF-8"), e.getMessage());
  }

  @Test
  void readsCompositionalItems() throws IOException {
    Path file =
        file(
            "{\"image\":\"a.png\",\"positive\":\"a red dog\",\"negatives\":[\"a blue dog\"],"
                + "\"kind\":\"replace\"}",
            "{\"image\":\"a.png\",\"positive\":\"a red dog\",\"negatives\":[],\"kind\":\"swap\"}");
    List<BadInputException> bad = new ArrayList<>();
    try (Stream<CompositionalQuestion> items = PairsFile.readCompositional(file, bad::add)) {
      assertEquals(
          List.of(
              new CompositionalQuestion(
                  scratch.resolve("a.png"), "a red dog", List.of("a blue dog"), "replace", 1)),
          items.toList());
    }
    assertTrue(bad.get(0).getMessage().contains("line 2"), bad.toString());
  }
}
