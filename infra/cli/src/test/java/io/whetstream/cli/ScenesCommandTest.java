package io.whetstream.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ScenesCommandTest {
  @TempDir Path directory;

  private static String run(int expectedCode, String... args) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = Main.run(args, new PrintWriter(out, true), new PrintWriter(err, true));
    assertEquals(expectedCode, code, err.toString());
    return code == 0 ? out.toString() : err.toString();
  }

  private List<String> pairs(String name, String... options) throws IOException {
    Path out = directory.resolve(name);
    String[] args = new String[options.length + 3];
    System.arraycopy(new String[] {"scenes", "--out", out.toString()}, 0, args, 0, 3);
    System.arraycopy(options, 0, args, 3, options.length);
    run(0, args);
    return Files.readAllLines(out.resolve("pairs.jsonl"));
  }

  @Test
  void writesPairsAndCompositionalItemsAndSaysHowMany() throws IOException {
    Path out = directory.resolve("scenes");
    String printed =
        run(0, "scenes", "--out", out.toString(), "--count", "5", "--compositional", "2", "--json");
    JsonNode result = new ObjectMapper().readTree(printed);
    assertEquals(5, result.get("pairs").asInt());
    assertEquals(8, result.get("compositional").asInt());
    assertEquals(5, Files.readAllLines(out.resolve("pairs.jsonl")).size());
    assertEquals(8, Files.readAllLines(out.resolve("compositional.jsonl")).size());
    for (String line : Files.readAllLines(out.resolve("pairs.jsonl"))) {
      JsonNode pair = new ObjectMapper().readTree(line);
      assertTrue(Files.exists(out.resolve(pair.get("image").asText())));
    }
  }

  @Test
  void aFolderCanBeContinued() throws IOException {
    for (String order : List.of("--hard-groups", "--spread")) {
      List<String> whole = pairs("whole" + order, order, "--count", "20");
      List<String> rest = pairs("rest" + order, order, "--count", "8", "--first", "12");
      assertEquals(whole.subList(12, 20), rest);
    }
    assertEquals(
        pairs("whole", "--count", "20").subList(12, 20),
        pairs("rest", "--count", "8", "--first", "12"));
  }

  @Test
  void driftShowsOtherColours() throws IOException {
    assertFalse(String.join("", pairs("a", "--count", "30")).matches(".*(pink|brown|lime|navy).*"));
    for (String line : pairs("b", "--count", "30", "--drift")) {
      assertTrue(line.matches(".*(pink|brown|lime|navy).*"), line);
      assertFalse(line.matches(".*\\b(red|green|blue|yellow)\\b.*"), line);
    }
  }

  @Test
  void refusesWhatItCannotDo() throws IOException {
    assertEquals(3, pairs("full", "--count", "3", "--held-out").size());
    String out = directory.resolve("full").toString();
    assertTrue(run(2, "scenes", "--out", out).contains("is there already"));
    String other = directory.resolve("other").toString();
    assertTrue(run(2, "scenes", "--out", other, "--look", "nice").contains("unseen-colours"));
    assertTrue(run(2, "scenes", "--out", other, "--count", "-1").contains("negative"));
    assertTrue(run(2, "scenes", "--out", other, "--hard-groups", "--spread").contains("mutually"));
    assertFalse(Files.exists(directory.resolve("other")));
  }
}
