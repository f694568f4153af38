package io.whetstream.model.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.BadInputException;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.lvlm.PromptTemplates;
import io.whetstream.model.lvlm.SequenceBuilder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TextTokenizerTest {
  private static final Path MODEL = Path.of("src", "test", "resources", "golden", "llava-tiny");

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

  private void copy(String configKey, String value) throws IOException {
    Files.copy(
        MODEL.resolve("tokenizer.json"),
        scratch.resolve("tokenizer.json"),
        StandardCopyOption.REPLACE_EXISTING);
    ObjectMapper json = new ObjectMapper();
    ObjectNode config = (ObjectNode) json.readTree(MODEL.resolve("config.json").toFile());
    ((ObjectNode) config.get("text_config")).set(configKey, json.readTree(value));
    json.writeValue(scratch.resolve("config.json").toFile(), config);
  }

  @ParameterizedTest
  @ValueSource(strings = {"7", "[7, 1]", "null"})
  void aConfigurationThatNamesAnotherBeginOfSequenceIsRefusedWithBothNumbers(String id)
      throws IOException {
    copy("bos_token_id", id);
    BadInputException e =
        assertThrows(BadInputException.class, () -> TextTokenizer.open(scratch).close());
    assertTrue(e.getMessage().contains("config.json"), e.getMessage());
    assertTrue(e.getMessage().contains("bos_token_id is " + id.replace(" ", "")), e.getMessage());
    assertTrue(e.getMessage().contains("with token 1"), e.getMessage());
  }

  @Test
  void theBeginOfSequenceIsTheTokenizersOwn() throws IOException {
    copy("bos_token_id", "1");
    try (TextTokenizer tokenizer = TextTokenizer.open(scratch)) {
      assertEquals(1, tokenizer.encodeWithSpecials("a")[0]);
    }
    // One that puts none: the configuration's is not used.
    ObjectMapper json = new ObjectMapper();
    ObjectNode definition = (ObjectNode) json.readTree(MODEL.resolve("tokenizer.json").toFile());
    definition.putNull("post_processor");
    json.writeValue(scratch.resolve("tokenizer.json").toFile(), definition);
    try (TextTokenizer tokenizer = TextTokenizer.open(scratch)) {
      SequenceBuilder sequences =
          new SequenceBuilder(
              tokenizer,
              ModelConfig.read(scratch.resolve("config.json")),
              new PromptTemplates("<image>", "<text>"),
              0,
              0);
      assertArrayEquals(
          tokenizer.encode("a dog"), sequences.textRow(tokenizer.encode("a dog"), false));
    }
  }

  @Test
  void aPointerToTheRealFileIsCalledThat() throws IOException {
    Files.writeString(
        scratch.resolve("tokenizer.json"),
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 17525357\n");
    BadInputException e =
        assertThrows(BadInputException.class, () -> TextTokenizer.open(scratch).close());
    assertTrue(e.getMessage().contains("Git LFS pointer"), e.getMessage());
    assertTrue(e.getMessage().contains("git lfs pull"), e.getMessage());
  }
}
