package io.whetstream.jobs.config;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.jobs.finetune.FineTuneConfig;
import io.whetstream.jobs.score.ScoreConfig;
import io.whetstream.model.BadInputException;
import io.whetstream.scenes.DemoBase;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BaseSettingsTest {
  @TempDir Path damaged;

  private BaseSettings base(boolean verify) {
    return new BaseSettings(damaged.toString(), "fp32", "cpu", 1, verify);
  }

  @Test
  void weightsAreReadAgainWhereVerificationIsAskedFor() throws IOException {
    try (Stream<Path> files = Files.list(DemoBase.directory())) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        Files.copy(file, damaged.resolve(file.getFileName()));
      }
    }
    assertEquals(damaged, base(true).weights());
    Path weights = damaged.resolve("model.safetensors");
    byte[] bytes = Files.readAllBytes(weights);
    Arrays.fill(bytes, bytes.length - 4, bytes.length, (byte) 0xff); // NaN in every type
    Files.write(weights, bytes);

    assertEquals(damaged, base(false).weights());
    String refusal = assertThrows(BadInputException.class, () -> base(true).weights()).getMessage();
    assertTrue(refusal.contains(weights.toString()), refusal);
    assertTrue(refusal.contains("not finite"), refusal);
  }

  @Test
  void aDirectoryWithoutAModelIsRefusedByItsKey() {
    String refusal =
        assertThrows(BadInputException.class, () -> base(false).directory()).getMessage();
    assertTrue(refusal.contains("base.model: " + damaged), refusal);
  }

  @Test
  void bothJobsKnowTheKey() {
    List<String> key = List.of("base.verify=true");
    assertTrue(FineTuneConfig.loader().parse("", "finetune.yaml", key).base().verify());
    assertTrue(ScoreConfig.loader().parse("", "score.yaml", key).base().verify());
  }
}
