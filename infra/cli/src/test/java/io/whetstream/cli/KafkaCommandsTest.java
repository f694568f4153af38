package io.whetstream.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.kafka.EmbeddedKafka;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The commands that speak to Kafka, on a real broker. */
class KafkaCommandsTest {
  @TempDir static Path directory;
  private static EmbeddedKafka kafka;

  @BeforeAll
  static void startBroker() {
    kafka = EmbeddedKafka.start(directory.resolve("kafka"), 0);
  }

  @AfterAll
  static void stopBroker() {
    kafka.close();
  }

  private record Ran(int code, String out, String err) {
    JsonNode json() throws Exception {
      String[] lines = out.strip().split("\n", -1);
      return new ObjectMapper().readTree(lines[lines.length - 1]);
    }
  }

  private static Ran run(String prefix, String... arguments) {
    List<String> all = new ArrayList<>(List.of(arguments));
    all.addAll(
        List.of("--bootstrap-servers", kafka.bootstrapServers(), "--prefix", prefix, "--json"));
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code =
        Main.run(
            Main.commandLine(Commands.all().toArray()),
            all.toArray(String[]::new),
            new PrintWriter(out, true),
            new PrintWriter(err, true));
    return new Ran(code, out.toString(), err.toString());
  }

  @Test
  void createsTheMissingTopicsAndThenFindsThemRight() throws Exception {
    Ran before = run("a.", "topics", "check");
    assertEquals(false, before.json().get("ok").asBoolean(), before.out());
    assertTrue(before.code() != 0);
    Ran created = run("a.", "topics", "create");
    assertEquals(0, created.code(), created.out() + created.err());
    assertTrue(created.json().get("created").size() >= 8, created.out());
    Ran after = run("a.", "topics", "check");
    assertEquals(0, after.code(), after.out() + after.err());
    assertEquals(true, after.json().get("ok").asBoolean());
    assertEquals(0, run("a.", "topics", "create").json().get("created").size());
  }

  @Test
  void producesEveryLineOfAPairsFile() throws Exception {
    create("b.");
    Path pairs = directory.resolve("pairs.jsonl");
    Files.writeString(
        pairs,
        """
        {"id":"one","image":"one.png","caption":"a red cross"}
        {"id":"two","image":"one.png","caption":"a blue star"}
        """);
    Files.write(directory.resolve("one.png"), png());
    Ran produced = run("b.", "produce", "--topic", "pairs", "--from", pairs.toString());
    assertEquals(0, produced.code(), produced.err());
    assertTrue(produced.out().contains("2"), produced.out());
  }

  @Test
  void aQueryThatIsAddedIsListedAndOneThatIsRemovedIsNot() throws Exception {
    create("c.");
    Ran added =
        run(
            "c.",
            "queries",
            "add",
            "--id",
            "q1",
            "--text",
            "a red cross",
            "--min-score",
            "0.5",
            "--wait",
            "0");
    assertEquals(0, added.code(), added.err());
    assertTrue(run("c.", "queries", "list").out().contains("q1"));
    Ran removed = run("c.", "queries", "remove", "q1");
    assertEquals(0, removed.code(), removed.err());
    assertTrue(!run("c.", "queries", "list").out().contains("\"q1\""));
  }

  @Test
  void anEmptyDeadLetterTopicListsNothing() throws Exception {
    create("d.");
    Ran listed = run("d.", "dlq", "list", "--topic", "pairs");
    assertEquals(0, listed.code(), listed.err());
  }

  private static void create(String prefix) {
    Ran created = run(prefix, "topics", "create");
    assertEquals(0, created.code(), created.out() + created.err());
  }

  private static byte[] png() {
    return io.whetstream.model.scenes.SceneRenderer.png(
        io.whetstream.model.scenes.SceneRenderer.render(
            new io.whetstream.model.scenes.SceneGenerator(
                    1, io.whetstream.model.scenes.SceneLook.STANDARD)
                .scene(0)));
  }
}
