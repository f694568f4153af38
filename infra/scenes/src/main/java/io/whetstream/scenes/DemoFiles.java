package io.whetstream.scenes;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Writes the files of the demo base that are not weights: {@code config.json}, {@code
 * tokenizer.json} and their small companions, in the formats of Hugging Face.
 *
 * <p>The tokenizer is a BPE model without merges and with {@code ignore_merges}: a word with the
 * space before it ({@code ▁red}) is looked up whole; what is not there falls apart into characters,
 * and these, not being in the vocabulary, into UTF-8 bytes. So any text encodes, and text in lower
 * case without the character {@code ▁} decodes to itself.
 */
final class DemoFiles {
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);
  private static final String SPACE = "\u2581";
  private static final List<String> FIRST = List.of("<unk>", "<s>", "</s>");

  private DemoFiles() {}

  /** Writes all files into the directory given as the only argument. */
  public static void main(String[] args) throws IOException {
    Path directory = Path.of(args[0]);
    Files.createDirectories(directory);
    for (Map.Entry<String, byte[]> file : all().entrySet()) {
      Files.write(directory.resolve(file.getKey()), file.getValue());
    }
  }

  /** File name to content. */
  static Map<String, byte[]> all() {
    List<String> tokens = tokens();
    Map<String, byte[]> files = new TreeMap<>();
    files.put("tokenizer.json", bytes(tokenizer(tokens)));
    files.put("tokenizer_config.json", bytes(tokenizerConfig()));
    files.put("special_tokens_map.json", bytes(specialTokens()));
    files.put("config.json", bytes(config(tokens)));
    files.put("preprocessor_config.json", bytes(preprocessor()));
    files.put("processor_config.json", bytes(processor()));
    return files;
  }

  /** All tokens by id. */
  static List<String> tokens() {
    List<String> tokens = new ArrayList<>(FIRST);
    for (int b = 0; b < 256; b++) {
      tokens.add(String.format("<0x%02X>", b));
    }
    tokens.add(SPACE);
    for (String mark : Vocabulary.MARKS) {
      tokens.add(mark);
      tokens.add(SPACE + mark);
    }
    for (String word : Vocabulary.WORDS) {
      tokens.add(SPACE + word);
    }
    tokens.add("<image>");
    tokens.add("<pad>");
    return tokens;
  }

  private static ObjectNode tokenizer(List<String> tokens) {
    ObjectNode t = JSON.createObjectNode();
    t.put("version", "1.0").putNull("truncation").putNull("padding");
    ArrayNode added = t.putArray("added_tokens");
    for (String special : List.of("<unk>", "<s>", "</s>", "<image>", "<pad>")) {
      added
          .addObject()
          .put("id", tokens.indexOf(special))
          .put("content", special)
          .put("single_word", false)
          .put("lstrip", false)
          .put("rstrip", false)
          .put("normalized", false)
          .put("special", true);
    }
    ObjectNode normalizer = t.putObject("normalizer").put("type", "Sequence");
    ArrayNode steps = normalizer.putArray("normalizers");
    steps.addObject().put("type", "Lowercase");
    steps.addObject().put("type", "Prepend").put("prepend", SPACE);
    replace(steps.addObject(), " ", SPACE);
    // A piece is a word or a mark, each with the one space before it, or a lone space.
    ObjectNode split = t.putObject("pre_tokenizer").put("type", "Split");
    split.putObject("pattern").put("Regex", "\u2581?[^\u2581\\s\\p{P}]+|\u2581?\\p{P}|\u2581|\\s");
    split.put("behavior", "Isolated").put("invert", false);

    ObjectNode post = t.putObject("post_processor").put("type", "TemplateProcessing");
    ArrayNode single = post.putArray("single");
    special(single, "<s>", 0);
    sequence(single, "A", 0);
    ArrayNode pair = post.putArray("pair");
    special(pair, "<s>", 0);
    sequence(pair, "A", 0);
    special(pair, "<s>", 1);
    sequence(pair, "B", 1);
    ObjectNode bos = post.putObject("special_tokens").putObject("<s>").put("id", "<s>");
    bos.putArray("ids").add(1);
    bos.putArray("tokens").add("<s>");

    ArrayNode decoders = t.putObject("decoder").put("type", "Sequence").putArray("decoders");
    replace(decoders.addObject(), SPACE, " ");
    decoders.addObject().put("type", "ByteFallback");
    decoders.addObject().put("type", "Fuse");
    decoders.addObject().put("type", "Strip").put("content", " ").put("start", 1).put("stop", 0);

    ObjectNode model = t.putObject("model").put("type", "BPE").putNull("dropout");
    model.put("unk_token", "<unk>");
    model.putNull("continuing_subword_prefix").putNull("end_of_word_suffix");
    model.put("fuse_unk", true).put("byte_fallback", true).put("ignore_merges", true);
    ObjectNode vocabulary = model.putObject("vocab");
    for (int id = 0; id < tokens.size(); id++) {
      vocabulary.put(tokens.get(id), id);
    }
    model.putArray("merges");
    return t;
  }

  private static void replace(ObjectNode step, String from, String to) {
    step.put("type", "Replace").putObject("pattern").put("String", from);
    step.put("content", to);
  }

  private static void special(ArrayNode template, String id, int type) {
    template.addObject().putObject("SpecialToken").put("id", id).put("type_id", type);
  }

  private static void sequence(ArrayNode template, String id, int type) {
    template.addObject().putObject("Sequence").put("id", id).put("type_id", type);
  }

  private static ObjectNode tokenizerConfig() {
    ObjectNode c = JSON.createObjectNode();
    c.put("tokenizer_class", "PreTrainedTokenizerFast");
    c.put("bos_token", "<s>").put("eos_token", "</s>");
    c.put("unk_token", "<unk>").put("pad_token", "<pad>");
    c.put("clean_up_tokenization_spaces", false);
    return c.put("model_max_length", 512).put("padding_side", "right");
  }

  private static ObjectNode specialTokens() {
    ObjectNode c = JSON.createObjectNode();
    c.put("bos_token", "<s>").put("eos_token", "</s>");
    return c.put("unk_token", "<unk>").put("pad_token", "<pad>");
  }

  private static ObjectNode config(List<String> tokens) {
    ObjectNode c = JSON.createObjectNode();
    c.putArray("architectures").add("LlavaForConditionalGeneration");
    c.put("model_type", "llava");
    c.put("ignore_index", -100);
    c.put("image_seq_length", 36);
    c.put("image_token_index", tokens.indexOf("<image>"));
    c.put("pad_token_id", tokens.indexOf("<pad>"));
    c.put("projector_hidden_act", "gelu");
    ObjectNode text = c.putObject("text_config").put("model_type", "llama");
    text.put("vocab_size", tokens.size());
    text.put("hidden_size", 128).put("intermediate_size", 352);
    text.put("num_hidden_layers", 4);
    text.put("num_attention_heads", 4).put("num_key_value_heads", 4).put("head_dim", 32);
    text.put("hidden_act", "silu").put("rms_norm_eps", 1e-5).put("rope_theta", 10000.0);
    text.put("max_position_embeddings", 512);
    text.put("attention_bias", false).put("mlp_bias", false);
    text.put("bos_token_id", 1).put("eos_token_id", 2);
    text.put("tie_word_embeddings", true);
    c.put("tie_word_embeddings", true);
    c.put("torch_dtype", "bfloat16");
    ObjectNode vision = c.putObject("vision_config").put("model_type", "clip_vision_model");
    vision.put("hidden_size", 128).put("intermediate_size", 512).put("projection_dim", 128);
    vision.put("num_hidden_layers", 3).put("num_attention_heads", 4).put("num_channels", 3);
    vision.put("image_size", 48).put("patch_size", 8);
    vision.put("hidden_act", "quick_gelu").put("layer_norm_eps", 1e-5);
    c.put("vision_feature_layer", -1);
    return c.put("vision_feature_select_strategy", "default");
  }

  private static ObjectNode preprocessor() {
    ObjectNode c = JSON.createObjectNode();
    c.put("image_processor_type", "CLIPImageProcessor");
    c.put("do_convert_rgb", true);
    c.put("do_resize", true).put("resample", 3);
    c.putObject("size").put("shortest_edge", 48);
    c.put("do_center_crop", true);
    c.putObject("crop_size").put("height", 48).put("width", 48);
    c.put("do_rescale", true).put("rescale_factor", 1 / 255.0);
    c.put("do_normalize", true);
    c.putArray("image_mean").add(0.5).add(0.5).add(0.5);
    c.putArray("image_std").add(0.5).add(0.5).add(0.5);
    return c;
  }

  private static ObjectNode processor() {
    ObjectNode c = JSON.createObjectNode();
    c.put("processor_class", "LlavaProcessor").put("image_token", "<image>");
    // The class token: counted by Hugging Face, then taken off again by the strategy "default".
    c.put("patch_size", 8).put("num_additional_image_tokens", 1);
    return c.put("vision_feature_select_strategy", "default");
  }

  private static byte[] bytes(ObjectNode node) {
    return (node.toPrettyString() + "\n").getBytes(StandardCharsets.UTF_8);
  }
}
