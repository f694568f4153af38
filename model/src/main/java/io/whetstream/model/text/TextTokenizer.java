package io.whetstream.model.text;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import ai.djl.huggingface.tokenizers.jni.CharSpan;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.BadInputException;
import io.whetstream.model.JsonObjects;
import io.whetstream.model.checkpoint.ModelConfig;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.Map;
import java.util.UUID;

/**
 * A model's tokenizer, as {@code tokenizer.json} defines it. Nothing is downloaded, truncated or
 * padded, whatever that file or DJL's defaults say about it. Safe for use by several threads.
 *
 * <p>Special tokens (begin and end of sequence, padding, the image's placeholder) have names that
 * anybody can write into a caption. {@link #encode} takes such a name as the characters it is made
 * of; {@link #encodePrompt} is for text of one's own, where it means the token.
 */
public final class TextTokenizer implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Path file;
  private final byte[] definition;
  private final HuggingFaceTokenizer tokenizer;
  private final BitSet reserved;
  private final int bosId;
  private final int eosId;
  private HuggingFaceTokenizer plain;

  private TextTokenizer(Path directory, Path file, ObjectNode definition) throws IOException {
    this.file = file;
    this.definition = JSON.writeValueAsBytes(definition);
    this.tokenizer = make(this.definition);
    this.reserved = reserved(directory, definition);
    this.bosId = special(directory, "bos_token");
    this.eosId = special(directory, "eos_token");
    requireSameBegin(directory);
  }

  /**
   * Refuses a base whose configuration names another begin of sequence than the tokenizer itself
   * puts first: one of the two is wrong, and every vector would be. Where the tokenizer puts none,
   * as those of several families, none is put and the configuration's is not used.
   */
  private void requireSameBegin(Path directory) {
    Path config = directory.resolve("config.json");
    EncodedText encoded = encodeWithPlaces("a");
    if (encoded.ids().length == 0 || encoded.begins()[0] >= 0 || !Files.isRegularFile(config)) {
      return;
    }
    JsonNode root = JsonObjects.read(config);
    JsonNode text = root.path("text_config");
    JsonNode said = text.has("bos_token_id") ? text.get("bos_token_id") : root.path("bos_token_id");
    JsonNode first = said.isArray() ? said.path(0) : said;
    if (!said.isMissingNode() && !(first.isNumber() && first.asDouble() == encoded.ids()[0])) {
      throw new BadInputException(
          config
              + ": bos_token_id is "
              + said
              + ", but tokenizer.json begins every text with token "
              + encoded.ids()[0]
              + "; correct whichever of the two is not the model's");
    }
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
    try {
      ObjectNode definition = JsonObjects.read(file);
      definition.putNull("truncation");
      definition.putNull("padding");
      return new TextTokenizer(directory, file, definition);
    } catch (BadInputException e) {
      throw e;
    } catch (IOException | RuntimeException e) {
      throw unusable(file, e);
    }
  }

  private static BadInputException unusable(Path file, Exception e) {
    return new BadInputException(file + ": not a usable tokenizer: " + firstLine(e), e);
  }

  private static HuggingFaceTokenizer make(byte[] definition) throws IOException {
    // DJL would otherwise bring in a length of its own.
    Map<String, String> options = Map.of("truncation", "false", "padding", "false");
    return HuggingFaceTokenizer.newInstance(new ByteArrayInputStream(definition), options);
  }

  /** Ids that text must not make: special tokens, and whatever the model takes for an image. */
  private static BitSet reserved(Path directory, ObjectNode definition) {
    BitSet ids = new BitSet();
    for (JsonNode token : definition.path("added_tokens")) {
      if (token.path("special").asBoolean()) {
        ids.set(token.path("id").asInt());
      }
    }
    Path config = directory.resolve("config.json");
    if (Files.isRegularFile(config)) {
      ids.set(ModelConfig.read(config).imageTokenId());
    }
    return ids;
  }

  /**
   * The same tokenizer with other names for reserved tokens, which no text can hold: their names of
   * before are then text like any other. (Taking them out of the definition would move the ids of
   * tokens added after them.)
   */
  private synchronized HuggingFaceTokenizer plain() {
    if (plain == null) {
      try {
        plain = make(JSON.writeValueAsBytes(renamed()));
      } catch (IOException | RuntimeException e) {
        throw unusable(file, e);
      }
    }
    return plain;
  }

  private JsonNode renamed() throws IOException {
    JsonNode renamed = JSON.readTree(definition);
    Map<String, String> names = new HashMap<>();
    for (JsonNode token : renamed.path("added_tokens")) {
      if (reserved.get(token.path("id").asInt())) {
        String name = "reserved-" + UUID.randomUUID();
        names.put(token.path("content").asText(), name);
        ((ObjectNode) token).put("content", name);
      }
    }
    ObjectNode model = (ObjectNode) renamed.path("model");
    if (model.path("vocab") instanceof ObjectNode vocabulary) {
      names.forEach(
          (before, name) -> {
            JsonNode id = vocabulary.remove(before);
            if (id != null) {
              vocabulary.set(name, id);
            }
          });
    }
    String unknown = names.get(model.path("unk_token").asText());
    if (unknown != null) {
      model.put("unk_token", unknown);
    }
    return renamed;
  }

  private static String firstLine(Exception e) {
    return String.valueOf(e.getMessage()).lines().findFirst().orElse("");
  }

  /**
   * Token ids of somebody's text, a caption: no special token is put around it, and none comes from
   * it, even where the text spells the name of one.
   */
  public long[] encode(String text) {
    long[] ids = encodePrompt(text);
    return Arrays.stream(ids).anyMatch(id -> reserved.get((int) id))
        ? plain().encode(text, false, false).getIds()
        : ids;
  }

  /**
   * Token ids of a text of one's own, a prompt: no special token is put around it, but where it
   * spells the name of one, that token stands.
   */
  public long[] encodePrompt(String text) {
    return tokenizer.encode(text, false, false).getIds();
  }

  /** {@link #encodePrompt} with the special tokens the tokenizer's template puts around it. */
  public long[] encodeWithSpecials(String text) {
    return tokenizer.encode(text, true, false).getIds();
  }

  /** {@link #encodeWithSpecials} with the place of each token. */
  public EncodedText encodeWithPlaces(String text) {
    Encoding encoding = tokenizer.encode(text, true, false);
    CharSpan[] spans = encoding.getCharTokenSpans();
    int[] begins = new int[spans.length];
    int[] ends = new int[spans.length];
    for (int i = 0; i < spans.length; i++) {
      begins[i] = spans[i] == null ? -1 : spans[i].getStart();
      ends[i] = spans[i] == null ? -1 : spans[i].getEnd();
    }
    return new EncodedText(encoding.getIds(), begins, ends);
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
        JsonNode value = JsonObjects.read(file).path(key);
        String token = value.isObject() ? value.path("content").asText() : value.asText("");
        if (!token.isEmpty() && !value.isNull()) {
          long[] ids = encodePrompt(token);
          if (ids.length == 1) {
            return Math.toIntExact(ids[0]);
          }
        }
      }
    }
    return -1;
  }

  @Override
  public synchronized void close() {
    tokenizer.close();
    if (plain != null) {
      plain.close();
    }
  }
}
