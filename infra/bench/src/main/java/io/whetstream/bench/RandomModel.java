package io.whetstream.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.checkpoint.SafeTensorsWriter;
import io.whetstream.scenes.DemoBase;
import io.whetstream.scenes.Pretrainer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** A model directory of a given shape with random weights. */
@Command(
    name = "random-model",
    mixinStandardHelpOptions = true,
    description =
        "Writes a model directory with random weights: at the shape of a published model in bf16"
            + " (--like), or of a LLaVA of any shape with the demo's tokenizer.")
public final class RandomModel implements Callable<Integer> {
  private static final ObjectMapper JSON = new ObjectMapper();

  @Option(names = "--out", required = true, description = "Directory to write.")
  Path out;

  @Option(
      names = "--like",
      description = "A published model: ${COMPLETION-CANDIDATES}; takes 2 bytes a parameter.")
  RealShape like;

  @Option(
      names = "--shape",
      split = ",",
      description =
          "image, patch, vision width, layers, heads, text width, layers, heads, intermediate"
              + " (default: that of the demo base).")
  int[] shape = {48, 8, 128, 3, 4, 128, 4, 4, 352};

  @Option(names = "--seed", defaultValue = "1")
  long seed;

  public static void main(String[] args) {
    System.exit(
        new CommandLine(new RandomModel())
            .registerConverter(RealShape.class, RealShape::of)
            .execute(args));
  }

  @Override
  public Integer call() throws IOException {
    if (like != null) {
      like.write(out, seed);
      return 0;
    }
    int[] s = shape;
    write(out, new Shape(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8]), seed);
    return 0;
  }

  /**
   * A shape.
   *
   * @param image edge in pixels
   */
  public record Shape(
      int image,
      int patch,
      int visionWidth,
      int visionLayers,
      int visionHeads,
      int width,
      int layers,
      int heads,
      int intermediate) {
    /** S, about that of the demo base: vision 64 px / 8, d 128 x 4, text d 128 x 4. */
    public static Shape small() {
      return new Shape(64, 8, 128, 4, 4, 128, 4, 4, 352);
    }

    /** M, the shape training speed is quoted at: vision 112 px / 14, d 384 x 6, text d 512 x 8. */
    public static Shape quoted() {
      return new Shape(112, 14, 384, 6, 6, 512, 8, 8, 1376);
    }
  }

  /** Writes the directory: config.json, model.safetensors (F32), tokenizer and processor files. */
  public static void write(Path directory, Shape shape, long seed) throws IOException {
    Files.createDirectories(directory);
    Path demo = DemoBase.directory();
    ObjectNode config = (ObjectNode) JSON.readTree(demo.resolve("config.json").toFile());
    int side = shape.image() / shape.patch();
    config.put("image_seq_length", side * side);
    ((ObjectNode) config.get("text_config"))
        .put("hidden_size", shape.width())
        .put("intermediate_size", shape.intermediate())
        .put("num_hidden_layers", shape.layers())
        .put("num_attention_heads", shape.heads())
        .put("num_key_value_heads", shape.heads())
        .put("head_dim", shape.width() / shape.heads());
    ((ObjectNode) config.get("vision_config"))
        .put("hidden_size", shape.visionWidth())
        .put("intermediate_size", 4 * shape.visionWidth())
        .put("num_hidden_layers", shape.visionLayers())
        .put("num_attention_heads", shape.visionHeads())
        .put("image_size", shape.image())
        .put("patch_size", shape.patch());
    JSON.writeValue(directory.resolve("config.json").toFile(), config);
    ObjectNode processor =
        (ObjectNode) JSON.readTree(demo.resolve("preprocessor_config.json").toFile());
    ((ObjectNode) processor.get("size")).put("shortest_edge", shape.image());
    ((ObjectNode) processor.get("crop_size"))
        .put("height", shape.image())
        .put("width", shape.image());
    JSON.writeValue(directory.resolve("preprocessor_config.json").toFile(), processor);
    for (String name :
        List.of("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")) {
      Files.write(directory.resolve(name), Files.readAllBytes(demo.resolve(name)));
    }
    SafeTensorsWriter writer = new SafeTensorsWriter();
    ModelConfig read = ModelConfig.read(directory.resolve("config.json"));
    try (Pretrainer untrained = new Pretrainer(read, seed, 0)) {
      untrained.weights().forEach(writer::add);
    }
    writer.write(directory.resolve("model.safetensors"));
  }
}
