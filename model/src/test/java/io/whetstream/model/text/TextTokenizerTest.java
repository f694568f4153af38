package io.whetstream.model.text;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TextTokenizerTest {
  @TempDir Path scratch;

  @ParameterizedTest
  @ValueSource(strings = {"{", "[]", "{}", "{\"model\":{\"type\":\"Magic\"}}"})
  void namesAFileThatIsNoTokenizer(String content) throws IOException {
    Files.writeString(scratch.resolve("tokenizer.json"), content);
    BadInputException e =
        assertThrows(BadInputException.class, () -> TextTokenizer.open(scratch).close());
    assertTrue(e.getMessage().contains("tokenizer.json"), e.getMessage());
  }

  @Test
  void namesAMissingFile() {
    BadInputException e =
        assertThrows(BadInputException.class, () -> TextTokenizer.open(scratch).close());
    assertTrue(e.getMessage().contains("tokenizer.json"), e.getMessage());
  }
}
