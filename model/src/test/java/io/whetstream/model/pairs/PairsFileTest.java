package io.whetstream.model.pairs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.BadInputException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
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
        new CaptionedImage(
            "a", LineImage.of(scratch.resolve("images/a.png")), "A", null, List.of("A"), null, 1),
        pairs.get(0));
    assertEquals(
        new CaptionedImage(
            "7",
            LineImage.of(Path.of("/abs/b.jpg")),
            "B",
            "B at length",
            List.of("C", "B"),
            "3",
            3),
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
  void aBadByteSpoilsItsOwnLineOnly() throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    for (int line = 1; line <= 1000; line++) {
      // Latin-1, and a surrogate as CESU-8 writes it.
      byte[] caption =
          line == 900
              ? new byte[] {(byte) 0xe9}
              : line == 950
                  ? new byte[] {(byte) 0xed, (byte) 0xa0, (byte) 0xbd}
                  : "é".getBytes(StandardCharsets.UTF_8);
      bytes.writeBytes(
          "{\"id\":\"%d\",\"image\":\"x\",\"caption\":\""
              .formatted(line)
              .getBytes(StandardCharsets.UTF_8));
      bytes.writeBytes(caption);
      bytes.writeBytes("\"}\r\n".getBytes(StandardCharsets.UTF_8));
    }
    Path file = Files.write(scratch.resolve("mixed.jsonl"), bytes.toByteArray());
    BadInputException e = assertThrows(BadInputException.class, () -> read(file));
    assertTrue(e.getMessage().startsWith(file + ": line 900: not UTF-8"), e.getMessage());
    List<BadInputException> bad = new ArrayList<>();
    try (Stream<CaptionedImage> pairs = PairsFile.read(file, bad::add)) {
      assertEquals(998, pairs.count());
    }
    assertTrue(bad.get(1).getMessage().contains("line 950"), bad.toString());
    assertEquals(2, bad.size());
  }

  @Test
  void linesEndAsEverySystemEndsThem() throws IOException {
    Path file = Files.writeString(scratch.resolve("mac.jsonl"), GOOD + "\r" + GOOD + "\r\n" + GOOD);
    assertEquals(List.of(1, 2, 3), read(file).stream().map(CaptionedImage::line).toList());
  }

  @Test
  @EnabledOnOs({OS.LINUX, OS.MAC})
  void readsFromAPipeWithImagesRelativeToTheWorkingDirectory() throws Exception {
    Path pipe = scratch.resolve("pipe");
    assertEquals(0, new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor());
    Process writer =
        new ProcessBuilder("sh", "-c", "printf '%s\\n' \"$1\" >\"$2\"", "sh", GOOD, pipe.toString())
            .start();
    assertEquals(LineImage.of(Path.of("images/a.png")), read(pipe).get(0).image());
    assertEquals(0, writer.waitFor());
  }

  @Test
  void aLineMayHoldItsImage() throws IOException {
    byte[] png = Files.readAllBytes(Path.of("src/test/resources/images/rgb.png"));
    String plain = Base64.getEncoder().encodeToString(png);
    List<String> forms =
        List.of(
            plain,
            Base64.getMimeEncoder().encodeToString(png).replace("\r\n", "\\r\\n"),
            Base64.getUrlEncoder().withoutPadding().encodeToString(png),
            "data:image/png;base64," + plain,
            "data:;base64," + plain);
    Path file =
        file(
            forms.stream()
                .map(form -> "{\"id\":\"a\",\"image\":\"" + form + "\",\"caption\":\"A\"}")
                .toArray(String[]::new));
    for (CaptionedImage pair : read(file)) {
      assertNull(pair.image().file());
      assertArrayEquals(png, pair.image().read("it"));
    }
    assertEquals(forms.size(), read(file).size());
  }

  /** In base64 each begins as a picture does. */
  @Test
  void aPathOfRandomLettersStaysAPath() throws IOException {
    String letters = "Qk1" + "aZ09_-".repeat(7);
    for (String path :
        List.of(letters.substring(0, 43), letters + ".jpg", "/9j/" + letters + "/a.png")) {
      CaptionedImage pair =
          read(file("{\"id\":\"a\",\"image\":\"" + path + "\",\"caption\":\"A\"}")).get(0);
      assertEquals(LineImage.of(scratch.resolve(path)), pair.image());
    }
  }

  @Test
  void whatIsWrongWithALongImageIsSaidInShort() throws IOException {
    byte[] png = Files.readAllBytes(Path.of("src/test/resources/images/rgb.png"));
    String broken = Base64.getEncoder().encodeToString(png) + "!" + "x".repeat(500_000);
    for (String image :
        List.of(broken, "data:image/png;base64," + broken, "data:image/svg,<svg/>")) {
      Path file = file("{\"id\":\"a\",\"image\":\"" + image + "\",\"caption\":\"A\"}");
      BadInputException e = assertThrows(BadInputException.class, () -> read(file));
      assertTrue(e.getMessage().startsWith(file + ": line 1: "), e.getMessage());
      assertTrue(e.getMessage().length() < 400, e.getMessage());
    }
    LineImage deep = LineImage.of(scratch.resolve("folder/".repeat(500) + "x.png"));
    BadInputException e = assertThrows(BadInputException.class, () -> deep.read("pairs: line 3"));
    assertTrue(e.getMessage().startsWith("pairs: line 3: "), e.getMessage());
    assertTrue(e.getMessage().length() < 400, e.getMessage());
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
                  LineImage.of(scratch.resolve("a.png")),
                  "a red dog",
                  List.of("a blue dog"),
                  "replace",
                  1)),
          items.toList());
    }
    assertTrue(bad.get(0).getMessage().contains("line 2"), bad.toString());
  }
}
