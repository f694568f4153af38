package io.whetstream.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.jobs.finetune.FineTuneConfig;
import io.whetstream.jobs.score.ScoreConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/**
 * docs/configuration.md is what the code says, from its first heading on. {@code
 * -Dconfiguration.write=true} writes it anew.
 */
class ConfigurationDocTest {
  private static final Path FILE = Path.of("..", "..", "docs", "configuration.md");

  @Test
  void theFileIsWhatTheCodeSays() throws IOException {
    String text = Files.readString(FILE);
    String generated =
        text.substring(0, text.indexOf("## "))
            + "## Fine-tune job\n\n"
            + ConfigurationDoc.table(FineTuneConfig.defaults())
            + "\n## Scoring job\n\n"
            + ConfigurationDoc.table(ScoreConfig.defaults());
    if (Boolean.getBoolean("configuration.write")) {
      Files.writeString(FILE, generated);
    }
    assertEquals(
        generated,
        Files.readString(FILE),
        "docs/configuration.md is not what the code says; write it with mvn test -pl infra/cli -am"
            + " -Dtest=ConfigurationDocTest -Dsurefire.failIfNoSpecifiedTests=false"
            + " -Dconfiguration.write=true");
  }

  @Test
  void noMeaningIsCutAndMapsAreThere() throws IOException {
    String text = Files.readString(FILE);
    for (String line : text.lines().filter(each -> each.startsWith("| `")).toList()) {
      assertFalse(line.contains("{@"), line);
      assertFalse(line.endsWith("{ |"), line);
      assertEquals(0, line.chars().filter(each -> each == '`').count() % 2, line);
    }
    for (String map : new String[] {"fields", "properties", "schemaRegistry.properties"}) {
      assertTrue(text.contains("| `kafka." + map + "` | `{}` |"), map);
    }
  }
}
