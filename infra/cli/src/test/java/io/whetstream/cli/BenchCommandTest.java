package io.whetstream.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** {@code whetstream bench}: that it ends, and what scripts find in its last line. */
class BenchCommandTest {
  private static final List<String> NAMES =
      List.of(
          "training.pairsPerSecond.S",
          "training.pairsPerSecond.M",
          "training.jobOverBare.S",
          "training.jobOverBare.M",
          "training.bf16OverFp32.M",
          "scoring.jobOverSession",
          "scoring.int8OverFp32",
          "mining.pairsPerSecondPerCore",
          "mining.siblingShare.defaults",
          "matching.microsPerItem.1000",
          "matching.microsPerItem.100000",
          "matching.flipP99Millis.100000",
          "recovery.firstStepSeconds",
          "freshness.pairToScoredSeconds");

  @Test
  @Tag("slow")
  void theQuickRunEndsWithOneObjectOfDottedNames() throws Exception {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = run(out, err, "bench", "--quick", "--json");
    assertEquals(0, code, err::toString);
    List<String> lines = out.toString().lines().toList();
    JsonNode figures = new ObjectMapper().readTree(lines.get(lines.size() - 1));
    for (String name : NAMES) {
      assertTrue(figures.path(name).isNumber(), () -> name + " in " + figures + "\n" + err);
      assertTrue(figures.path(name).doubleValue() > 0, () -> name + " in " + figures);
    }
  }

  @Test
  void aPartThatThereIsNotIsRefusedWithThoseThereAre() {
    StringWriter err = new StringWriter();
    int code = run(new StringWriter(), err, "bench", "--only", "trainin.S");
    assertEquals(Main.BAD_INPUT, code, err::toString);
    assertTrue(err.toString().contains("training.S, training.M"), err::toString);
  }

  private static int run(StringWriter out, StringWriter err, String... arguments) {
    return Main.run(arguments, new PrintWriter(out, true), new PrintWriter(err, true));
  }
}
