package io.whetstream.model.image;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import io.whetstream.model.BadInputException;
import io.whetstream.model.JsonObjects;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Typed access to an image processor's configuration; errors name file and key. */
final class ProcessorConfig {
  static final List<Double> CLIP_MEAN = List.of(0.48145466, 0.4578275, 0.40821073);
  static final List<Double> CLIP_DEVIATION = List.of(0.26862954, 0.26130258, 0.27577711);
  static final List<Double> HALF = List.of(0.5, 0.5, 0.5);
  private static final String FILE = "preprocessor_config.json";
  private static final int MAX_SIDE = 1 << 14;

  private final Path file;
  private final JsonNode config;

  private ProcessorConfig(Path file, JsonNode config) {
    this.file = file;
    this.config = config;
  }

  /**
   * That of a model directory: {@code preprocessor_config.json}, or the part of {@code
   * processor_config.json} that newer releases write instead.
   */
  static ProcessorConfig open(Path modelDir) {
    Path file = modelDir.resolve(FILE);
    if (Files.isRegularFile(file)) {
      return new ProcessorConfig(file, JsonObjects.read(file));
    }
    Path newer = modelDir.resolve("processor_config.json");
    JsonNode inner =
        Files.isRegularFile(newer)
            ? JsonObjects.read(newer).path("image_processor")
            : MissingNode.getInstance();
    if (!inner.isObject()) {
      throw new BadInputException(
          file + ": no such file; save the model with its image processor to get one");
    }
    return new ProcessorConfig(newer, inner);
  }

  Path file() {
    return file;
  }

  JsonNode node(String key) {
    return config.path(key);
  }

  boolean has(String key) {
    return config.hasNonNull(key);
  }

  BadInputException bad(String key, String reason) {
    return new BadInputException(file + ": " + key + ": " + reason);
  }

  /** The class of transformers, without the endings that name a backend of it. */
  String type(String otherwise) {
    String type = text("image_processor_type", text("feature_extractor_type", otherwise));
    return type.replaceFirst("(Fast|Pil)$", "");
  }

  String text(String key, String otherwise) {
    return has(key) ? config.get(key).asText() : otherwise;
  }

  boolean flag(String key, boolean otherwise) {
    if (!has(key)) {
      return otherwise;
    }
    if (!config.get(key).isBoolean()) {
      throw bad(key, config.get(key) + " is neither true nor false");
    }
    return config.get(key).asBoolean();
  }

  /** Refuses a step that is left out where the processor has no other way. */
  void must(String key) {
    if (!flag(key, true)) {
      throw bad(key, "false is not supported");
    }
  }

  Resampler resampler(int otherwise) {
    int number = has("resample") ? config.get("resample").asInt(-1) : otherwise;
    Resampler found = Resampler.of(number);
    if (found == null) {
      throw bad(
          "resample",
          config.get("resample")
              + " is not supported; supported: 1 (Lanczos), 2 (bilinear), 3 (bicubic)");
    }
    return found;
  }

  int side(String key, JsonNode node) {
    if (!node.isIntegralNumber() || node.asLong() < 1 || node.asLong() > MAX_SIDE) {
      throw bad(key, node + " is not between 1 and " + MAX_SIDE);
    }
    return node.asInt();
  }

  int side(String key, int otherwise) {
    return has(key) ? side(key, config.get(key)) : otherwise;
  }

  /** A number of pixels. */
  long pixels(String key, JsonNode node, long otherwise) {
    if (node.isMissingNode() || node.isNull()) {
      return otherwise;
    }
    if (!node.isIntegralNumber() || node.asLong() < 1 || node.asLong() > Integer.MAX_VALUE) {
      throw bad(key, node + " is no number of pixels");
    }
    return node.asLong();
  }

  /** The value of each 8-bit sample, per channel: rescaled and normalised in 32 bit. */
  float[][] values(List<Double> standardMean, List<Double> standardDeviation) {
    boolean rescale = flag("do_rescale", true);
    boolean normalize = flag("do_normalize", true);
    double factor = number(config.path("rescale_factor"), "rescale_factor", 1 / 255.0);
    float[] mean = channels("image_mean", standardMean);
    float[] deviation = channels("image_std", standardDeviation);
    float[][] table = new float[3][256];
    for (int c = 0; c < 3; c++) {
      if (normalize && deviation[c] == 0) {
        throw bad("image_std", "zero");
      }
      for (int v = 0; v < 256; v++) {
        float value = rescale ? (float) (v * factor) : v;
        table[c][v] = normalize ? (value - mean[c]) / deviation[c] : value;
      }
    }
    return table;
  }

  private double number(JsonNode node, String key, double otherwise) {
    if (node.isMissingNode() || node.isNull()) {
      return otherwise;
    }
    if (!node.isNumber() || !Double.isFinite(node.asDouble())) {
      throw bad(key, node + " is not a number");
    }
    return node.asDouble();
  }

  /** One value for each channel. */
  double[] exactChannels(String key, List<Double> otherwise) {
    JsonNode node = config.path(key);
    boolean given = has(key);
    if (given && !node.isNumber() && node.size() != 3) {
      throw bad(key, node + " has not one value for each of three channels");
    }
    double[] result = new double[3];
    for (int c = 0; c < 3; c++) {
      JsonNode value = node.isNumber() ? node : node.path(c);
      result[c] = given ? number(value, key, 0) : otherwise.get(c);
    }
    return result;
  }

  private float[] channels(String key, List<Double> otherwise) {
    double[] exact = exactChannels(key, otherwise);
    return new float[] {(float) exact[0], (float) exact[1], (float) exact[2]};
  }
}
