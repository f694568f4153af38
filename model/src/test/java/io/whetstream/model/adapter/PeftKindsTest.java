package io.whetstream.model.adapter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Adapters of PEFT: what means plain LoRA is read, all else is refused by its key. */
class PeftKindsTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir Path scratch;
  private Path bare;

  @BeforeEach
  void writeABarePeftAdapter() {
    AdapterCodec.write(
        scratch.resolve("adapter"), Adapters.artifact(Adapters.random(1, 2, 0, 0), 1));
    bare = scratch.resolve("adapter").resolve("lora");
  }

  private void set(String key, String json) throws IOException {
    Path file = bare.resolve("adapter_config.json");
    ObjectNode config = (ObjectNode) JSON.readTree(file.toFile());
    config.set(key, JSON.readTree(json.replace('\'', '"')));
    JSON.writeValue(file.toFile(), config);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "init_lora_weights | 'pissa'",
        "init_lora_weights | 'pissa_niter_4'",
        "init_lora_weights | 'olora'",
        "init_lora_weights | 'corda'",
        "init_lora_weights | 'loftq'",
        "init_lora_weights | 'lora_ga'",
        "init_lora_weights | 'something new'",
        "loftq_config | {'loftq_bits':4}",
        "corda_config | {'corda_method':'ipm'}",
        "target_parameters | ['mlp.experts.gate_up_proj']",
        "trainable_token_indices | [1,2]",
        "use_qalora | true",
        "use_dora | true",
        "lora_bias | true",
        "exclude_modules | ['q_proj']",
        "rank_pattern | {'q_proj':4}",
        "modules_to_save | ['lm_head']",
        "alora_invocation_tokens | [5]",
        "lora_alpha | null",
        "lora_alpha | '16'",
        "a_key_of_tomorrow | 1",
      })
  void anotherMeaningIsRefusedByItsKey(String key, String value) throws IOException {
    set(key, value);
    BadInputException e = assertThrows(BadInputException.class, () -> AdapterCodec.read(bare));
    assertTrue(e.getMessage().contains(key), e.getMessage());
    assertTrue(e.getMessage().contains("adapter_config.json"), e.getMessage());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "init_lora_weights | false",
        "init_lora_weights | 'gaussian'",
        "init_lora_weights | 'eva'",
        "corda_config | null",
        "use_qalora | false",
        "qalora_group_size | 16",
        "peft_version | '0.18.0'",
        "ensure_weight_tying | false",
        "a_key_of_tomorrow | null",
        "another | {}",
      })
  void keysThatChangeNothingAreTaken(String key, String value) throws IOException {
    set(key, value);
    assertEquals(Adapters.random(1, 2, 0, 0).lora(), AdapterCodec.read(bare).weights().lora());
  }

  @Test
  void weightsBesideLoraAreNotLeftOut() throws IOException {
    Files.write(bare.resolve("non_lora_trainables.bin"), new byte[] {1});
    BadInputException e = assertThrows(BadInputException.class, () -> AdapterCodec.read(bare));
    assertTrue(e.getMessage().contains("non_lora_trainables.bin"), e.getMessage());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "(?P<root>.*language_model).*(?:_proj)\\Z",
        "(?P<a_b>.*)language_model(?P=a_b)?.*_proj",
        ".*language_model\\.(?:model\\.)?layers\\.[0-9]+\\.(self_attn|mlp)\\..*_proj",
      })
  void regularExpressionsOfPythonAreRead(String expression) {
    AdapterConfig config = new AdapterConfig(2, 4, false, 0, List.of(expression), null, null, 0, 0);
    assertTrue(config.targets("language_model.model.layers.0.self_attn.q_proj"));
    assertFalse(config.targets("vision_tower.vision_model.encoder.layers.0.mlp.fc1"));
  }

  @Test
  void anExpressionThatCannotBeReadIsRefusedWithWhatToWrite() {
    BadInputException e =
        assertThrows(
            BadInputException.class,
            () -> new AdapterConfig(2, 4, false, 0, List.of("(?(1)a|b)_proj("), null, null, 0, 0));
    assertTrue(e.getMessage().contains("[\"q_proj\", \"v_proj\"]"), e.getMessage());
  }

  @Test
  void anAdapterIsReadableByWhomTheProcessLetsRead() throws IOException {
    Path plain = Files.createDirectory(scratch.resolve("plain"));
    Path file = Files.createFile(plain.resolve("file"));
    assertEquals(
        Files.getPosixFilePermissions(plain),
        Files.getPosixFilePermissions(scratch.resolve("adapter")));
    AdapterCodec.write(
        scratch.resolve("adapter"), Adapters.artifact(Adapters.random(1, 2, 0, 0), 2));
    Path manifests = scratch.resolve("adapter").resolve("manifests");
    try (var files = Files.list(manifests)) {
      for (Path manifest : files.toList()) {
        assertEquals(Files.getPosixFilePermissions(file), Files.getPosixFilePermissions(manifest));
      }
    }
  }
}
