package io.whetstream.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.whetstream.jobs.config.ConfigLoader;
import io.whetstream.jobs.finetune.FineTuneConfig;
import io.whetstream.jobs.score.ScoreConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** The tables of docs/configuration.md name every key with its default, and no other. */
class ConfigurationDocTest {
  private static final Pattern ROW =
      Pattern.compile(
          "^\\| `([A-Za-z0-9.]+)` \\| (?:`(.*?)`)? ?\\| (.*\\S) \\|$", Pattern.MULTILINE);

  private static Map<String, String> documented(String heading) throws IOException {
    String text = Files.readString(Path.of("..", "..", "docs", "configuration.md"));
    String section = text.substring(text.indexOf("## " + heading));
    int next = section.indexOf("\n## ");
    Matcher rows = ROW.matcher(next < 0 ? section : section.substring(0, next));
    Map<String, String> found = new TreeMap<>();
    while (rows.find()) {
      found.put(rows.group(1), rows.group(2) == null ? "" : rows.group(2));
    }
    return found;
  }

  @Test
  void fineTuneJob() throws IOException {
    assertEquals(
        new TreeMap<>(ConfigLoader.flatten(FineTuneConfig.defaults())),
        documented("Fine-tune job"));
  }

  @Test
  void scoringJob() throws IOException {
    assertEquals(
        new TreeMap<>(ConfigLoader.flatten(ScoreConfig.defaults())), documented("Scoring job"));
  }
}
