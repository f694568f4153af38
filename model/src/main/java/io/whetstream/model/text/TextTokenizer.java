package io.whetstream.model.text;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.BadInputException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/**
 * A model's tokenizer, as {@code tokenizer.json} defines it. Nothing is downloaded, truncated or
 * padded, whatever that file or DJL's defaults say about it. Safe for use by several threads.
 */
public final class TextTokenizer implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final HuggingFaceTokenizer tokenizer;
  private final int bosId;
  private final int eosId;

  private TextTokenizer(HuggingFaceTokenizer tokenizer, Path directory) {
    this.tokenizer = tokenizer;
    this.bosId = special(directory, "bos_token");
    this.eosId = special(directory, "eos_token");
  }

  /**
   * Opens the tokenizer of a model directory.
   *
   * @throws BadInputException if it has no valid {@code tokenizer.json}
   */
  public static TextTokenizer open(Path directory) {
    Path file = directory.resolve("tokenizer.json");
    if (!Files.isRegularFile(file)) {
      throw new BadInputException(
          file + ": no such file; save the model with its fast tokenizer to get one");
    }
    // DJL would otherwise bring in a length of its own.
    Map<String, String> options = Map.of("truncation", "false", "padding", "false");
    try {
      byte[] definition = plain(file);
      return new TextTokenizer(
          HuggingFaceTokenizer.newInstance(new ByteArrayInputStream(definition), options),
          directory);
    } catch (IOException | RuntimeException e) {
      if (e instanceof BadInputException bad) {
        throw bad;
      }
      throw new BadInputException(file + ": not a usable tokenizer: " + firstLine(e), e);
    }
  }

  private static byte[] plain(Path file) throws IOException {
    byte[] definition = Files.readAllBytes(file);
    JsonNode root = JSON.readTree(definition);
    if (!(root instanceof ObjectNode object)) {
      throw new BadInputException(file + ": not a JSON object");
    }
    if (!object.hasNonNull("truncation") && !object.hasNonNull("padding")) {
      return definition;
    }
    object.putNull("truncation");
    object.putNull("padding");
    return JSON.writeValueAsBytes(object);
  }

  private static String firstLine(Exception e) {
    return String.valueOf(e.getMessage()).lines().findFirst().orElse("");
  }

  /** Token ids of a text without special tokens before or after it. */
  public long[] encode(String text) {
    return tokenizer.encode(text, false, false).getIds();
  }

  /** Token ids of a text with the special tokens the tokenizer's template puts around it. */
  public long[] encodeWithSpecials(String text) {
    return tokenizer.encode(text, true, false).getIds();
  }

  /** The text of token ids, special tokens left out. */
  public String decode(long[] ids) {
    return decode(ids, true);
  }

  /** The text of token ids. */
  public String decode(long[] ids, boolean skipSpecials) {
    return ids.length == 0 ? "" : tokenizer.decode(ids, skipSpecials);
  }

  /** The token that begins a sequence, or -1 if the tokenizer has none. */
  public int bosId() {
    return bosId;
  }

  /** The token that ends a sequence, or -1 if the tokenizer has none. */
  public int eosId() {
    return eosId;
  }

  private int special(Path directory, String key) {
    for (String name : new String[] {"tokenizer_config.json", "special_tokens_map.json"}) {
      Path file = directory.resolve(name);
      if (Files.isRegularFile(file)) {
        JsonNode value;
        try {
          value = JSON.readTree(Files.readAllBytes(file)).path(key);
        } catch (IOException e) {
          throw new BadInputException(file + ": not valid JSON: " + firstLine(e), e);
        }
        String token = value.isObject() ? value.path("content").asText() : value.asText("");
        if (!token.isEmpty() && !value.isNull()) {
          long[] ids = encode(token);
          if (ids.length == 1) {
            return Math.toIntExact(ids[0]);
          }
        }
      }
    }
    return -1;
  }

  @Override
  public void close() {
    tokenizer.close();
  }
}
