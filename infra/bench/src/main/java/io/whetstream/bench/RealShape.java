package io.whetstream.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.checkpoint.ModelConfig;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.SplittableRandom;

/**
 * Shapes of published models: a directory as Hugging Face has it, in bfloat16, with random weights
 * and a tokenizer that knows bytes and the family's special tokens under their numbers. What it
 * takes to load, plan, train and score a base does not depend on the values of its weights. Tensors
 * that no embedding depends on, such as those of a vision layer above the one that is read, are
 * left out.
 */
public enum RealShape {
  SMOLVLM_256M("smolvlm-256m"),
  SMOLVLM_500M("smolvlm-500m"),
  QWEN2_VL_2B("qwen2-vl-2b"),
  QWEN2_5_VL_3B("qwen2.5-vl-3b"),
  LLAVA_1_5_7B("llava-1.5-7b");

  /** As transformers splits files. */
  private static final long SHARD = 5_000_000_000L;

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final double DEVIATION = 0.02;
  private static final short ONE = 0x3f80;

  private final String id;

  RealShape(String id) {
    this.id = id;
  }

  /** As users write it. */
  @Override
  public String toString() {
    return id;
  }

  /**
   * The shape of that name.
   *
   * @throws IllegalArgumentException naming all, where there is none
   */
  public static RealShape of(String id) {
    return Arrays.stream(values())
        .filter(shape -> shape.id.equals(id))
        .findFirst()
        .orElseThrow(
            () -> new IllegalArgumentException(id + " is none of " + Arrays.asList(values())));
  }

  private record Tensor(String name, String canonical, long[] shape, long bytes) {}

  /**
   * Writes the directory.
   *
   * @param directory created when absent
   * @param seed of the weights
   */
  public void write(Path directory, long seed) throws IOException {
    writeConfiguration(directory);
    Architecture architecture = ModelConfig.read(directory.resolve("config.json")).architecture();
    List<List<Tensor>> shards = shards(architecture, description());
    short[] values = normalValues();
    SplittableRandom random = new SplittableRandom(seed);
    ObjectNode map = JSON.createObjectNode();
    for (int i = 0; i < shards.size(); i++) {
      String name =
          shards.size() == 1
              ? "model.safetensors"
              : String.format(Locale.ROOT, "model-%05d-of-%05d.safetensors", i + 1, shards.size());
      shards.get(i).forEach(tensor -> map.put(tensor.name(), name));
      write(directory.resolve(name), shards.get(i), values, random);
    }
    if (shards.size() > 1) {
      ObjectNode index = JSON.createObjectNode();
      index
          .putObject("metadata")
          .put("total_size", shards.stream().flatMap(List::stream).mapToLong(Tensor::bytes).sum());
      index.set("weight_map", map);
      JSON.writeValue(directory.resolve("model.safetensors.index.json").toFile(), index);
    }
  }

  /** Writes all but the weights. */
  public void writeConfiguration(Path directory) throws IOException {
    JsonNode shape = description();
    Files.createDirectories(directory);
    JSON.writeValue(directory.resolve("config.json").toFile(), shape.get("config"));
    JSON.writeValue(
        directory.resolve("preprocessor_config.json").toFile(), shape.get("preprocessor"));
    JSON.writeValue(directory.resolve("tokenizer.json").toFile(), tokenizer(shape));
    JSON.writeValue(directory.resolve("tokenizer_config.json").toFile(), tokenizerConfig(shape));
  }

  private JsonNode description() throws IOException {
    try (InputStream in = RealShape.class.getResourceAsStream("/shapes/" + id + ".json")) {
      return JSON.readTree(in);
    }
  }

  private static List<List<Tensor>> shards(Architecture architecture, JsonNode shape) {
    List<List<Tensor>> shards = new ArrayList<>();
    long size = 0;
    for (Map.Entry<String, long[]> entry : architecture.tensors().entrySet()) {
      String name = entry.getKey();
      for (JsonNode pair : shape.get("fileNames")) {
        name = name.replace(pair.get(0).asText(), pair.get(1).asText());
      }
      long bytes = 2 * Arrays.stream(entry.getValue()).reduce(1, Math::multiplyExact);
      if (shards.isEmpty() || size + bytes > SHARD) {
        shards.add(new ArrayList<>());
        size = 0;
      }
      size += bytes;
      shards.get(shards.size() - 1).add(new Tensor(name, entry.getKey(), entry.getValue(), bytes));
    }
    return shards;
  }

  /** A normal distribution's values, of which any two random bytes choose one. */
  private static short[] normalValues() {
    Random random = new Random(0);
    short[] values = new short[1 << 16];
    for (int i = 0; i < values.length; i++) {
      values[i] =
          (short) (Float.floatToRawIntBits((float) (DEVIATION * random.nextGaussian())) >>> 16);
    }
    return values;
  }

  private static void write(
      Path file, List<Tensor> tensors, short[] values, SplittableRandom random) throws IOException {
    ObjectNode header = JSON.createObjectNode();
    header.putObject("__metadata__").put("format", "pt");
    long at = 0;
    for (Tensor tensor : tensors) {
      ObjectNode node = header.putObject(tensor.name()).put("dtype", "BF16");
      ArrayNode dimensions = node.putArray("shape");
      Arrays.stream(tensor.shape()).forEach(dimensions::add);
      node.putArray("data_offsets").add(at).add(at + tensor.bytes());
      at += tensor.bytes();
    }
    byte[] text = JSON.writeValueAsString(header).getBytes(StandardCharsets.UTF_8);
    byte[] padded = Arrays.copyOf(text, (text.length + 7) / 8 * 8);
    Arrays.fill(padded, text.length, padded.length, (byte) ' ');
    try (FileChannel out =
        FileChannel.open(
            file,
            StandardOpenOption.CREATE,
            StandardOpenOption.TRUNCATE_EXISTING,
            StandardOpenOption.WRITE)) {
      ByteBuffer buffer = ByteBuffer.allocateDirect(1 << 20).order(ByteOrder.LITTLE_ENDIAN);
      buffer.putLong(padded.length);
      flush(buffer, out);
      ByteBuffer rest = ByteBuffer.wrap(padded);
      while (rest.hasRemaining()) {
        out.write(rest);
      }
      for (Tensor tensor : tensors) {
        boolean vector = tensor.shape().length == 1;
        boolean bias = tensor.canonical().endsWith(".bias");
        for (long left = tensor.bytes() / 2; left > 0; left -= 4) {
          if (buffer.remaining() < 8) {
            flush(buffer, out);
          }
          long bits = random.nextLong();
          for (int i = 0; i < Math.min(4, left); i++) {
            short value = values[(int) (bits >>> (16 * i)) & 0xffff];
            buffer.putShort(bias ? 0 : vector ? ONE : value);
          }
        }
      }
      flush(buffer, out);
    }
  }

  private static void flush(ByteBuffer buffer, FileChannel out) throws IOException {
    buffer.flip();
    while (buffer.hasRemaining()) {
      out.write(buffer);
    }
    buffer.clear();
  }

  /** A byte-level BPE without merges. */
  private static ObjectNode tokenizer(JsonNode shape) {
    ObjectNode root = JSON.createObjectNode().put("version", "1.0");
    root.putNull("truncation").putNull("padding");
    ArrayNode added = root.putArray("added_tokens");
    Map<String, Integer> vocabulary = new LinkedHashMap<>();
    int id = shape.get("bytesFrom").asInt();
    for (String letter : byteLetters()) {
      vocabulary.put(letter, id++);
    }
    for (Map.Entry<String, JsonNode> special : shape.get("special").properties()) {
      vocabulary.put(special.getKey(), special.getValue().asInt());
      added
          .addObject()
          .put("id", special.getValue().asInt())
          .put("content", special.getKey())
          .put("single_word", false)
          .put("lstrip", false)
          .put("rstrip", false)
          .put("normalized", false)
          .put("special", true);
    }
    root.putNull("normalizer");
    byteLevel(root.putObject("pre_tokenizer"));
    String bos = shape.get("bos").asText(null);
    if (bos == null) {
      byteLevel(root.putObject("post_processor"));
    } else {
      ObjectNode template = root.putObject("post_processor").put("type", "TemplateProcessing");
      for (String kind : List.of("single", "pair")) {
        ArrayNode pieces = template.putArray(kind);
        pieces.addObject().putObject("SpecialToken").put("id", bos).put("type_id", 0);
        pieces.addObject().putObject("Sequence").put("id", "A").put("type_id", 0);
        if (kind.equals("pair")) {
          pieces.addObject().putObject("Sequence").put("id", "B").put("type_id", 1);
        }
      }
      ObjectNode token = template.putObject("special_tokens").putObject(bos).put("id", bos);
      token.putArray("ids").add(vocabulary.get(bos));
      token.putArray("tokens").add(bos);
    }
    byteLevel(root.putObject("decoder"));
    ObjectNode model = root.putObject("model").put("type", "BPE");
    model.putNull("dropout").putNull("unk_token");
    ObjectNode entries = model.putObject("vocab");
    vocabulary.forEach(entries::put);
    model.putArray("merges");
    return root;
  }

  private static void byteLevel(ObjectNode node) {
    node.put("type", "ByteLevel")
        .put("add_prefix_space", false)
        .put("trim_offsets", true)
        .put("use_regex", true);
  }

  /** The characters that byte-level tokenizers write bytes as: GPT-2's, in their order. */
  private static List<String> byteLetters() {
    List<String> letters = new ArrayList<>();
    int next = 256;
    for (int b = 0; b < 256; b++) {
      boolean printable =
          (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
      letters.add(Character.toString(printable ? b : next++));
    }
    return letters;
  }

  private static ObjectNode tokenizerConfig(JsonNode shape) {
    String bos = shape.get("bos").asText(null);
    return JSON.createObjectNode()
        .put("tokenizer_class", "PreTrainedTokenizerFast")
        .put("add_bos_token", bos != null)
        .put("bos_token", bos)
        .put("eos_token", shape.get("eos").asText())
        .put("pad_token", shape.get("eos").asText())
        .put("model_max_length", 4096);
  }
}
