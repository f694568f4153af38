package io.whetstream.model.image;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import io.whetstream.model.BadInputException;
import io.whetstream.model.JsonObjects;
import io.whetstream.model.checkpoint.ModelConfig;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * One square of a fixed size from every picture, as Hugging Face's {@code CLIPImageProcessor} and
 * {@code SiglipImageProcessor} make it: resize, centre crop, rescale, normalise.
 */
final class SquareImageProcessor implements ImageProcessor {
  private static final String FILE = "preprocessor_config.json";
  private static final int MAX_SIDE = 1 << 14;

  /** Width and height in pixels; a shortest edge is a width with height 0. */
  private record Size(int width, int height) {
    boolean isShortestEdge() {
      return height == 0;
    }
  }

  private final Path file;
  private final Resampler resampler;
  private final Size resize;
  private final Size crop;
  private final int size;
  private final ImageGeometry geometry;
  private final float[][] values;

  private SquareImageProcessor(Path file, JsonNode config, int tokens) {
    this.file = file;
    String type =
        text(config, "image_processor_type", text(config, "feature_extractor_type", "CLIP"));
    boolean siglip = type.startsWith("Siglip");
    if (!siglip && !type.startsWith("CLIP") && !type.equals("LlavaImageProcessor")) {
      throw bad(
          "image_processor_type",
          type + " is not supported; supported: CLIPImageProcessor, SiglipImageProcessor");
    }
    if (flag(config, "do_pad", false)) {
      throw bad("do_pad", "padding to a square is not supported");
    }
    int side = siglip ? 224 : 0;
    Size standard = new Size(224, side);
    this.resampler = resampler(config);
    this.resize = flag(config, "do_resize", true) ? size(config, "size", standard, !siglip) : null;
    boolean cropped = flag(config, "do_center_crop", !siglip);
    this.crop = cropped ? size(config, "crop_size", new Size(224, 224), false) : null;
    Size last = crop != null ? crop : resize;
    if (last == null || last.isShortestEdge() || last.width() != last.height()) {
      throw new BadInputException(
          file + ": pictures of one square size do not come out of this configuration");
    }
    this.size = last.width();
    this.geometry = ImageGeometry.whole(size, size, tokens);
    this.values = values(config, siglip);
  }

  /**
   * The processor of a model directory.
   *
   * @throws BadInputException if it makes pictures of another size than the model takes
   */
  static SquareImageProcessor of(Path modelDir, ModelConfig config) {
    SquareImageProcessor processor = open(modelDir, config.imageTokens());
    if (processor.size != config.vision().imageSize()) {
      throw new BadInputException(
          processor.file
              + " makes images of "
              + processor.size
              + " pixels, config.json wants "
              + config.vision().imageSize());
    }
    return processor;
  }

  /**
   * From {@code preprocessor_config.json}, or the part of {@code processor_config.json} that newer
   * releases write instead.
   *
   * @param tokens image tokens of one picture
   */
  static SquareImageProcessor open(Path modelDir, int tokens) {
    Path file = modelDir.resolve(FILE);
    if (Files.isRegularFile(file)) {
      return new SquareImageProcessor(file, JsonObjects.read(file), tokens);
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
    return new SquareImageProcessor(newer, inner, tokens);
  }

  private BadInputException bad(String key, String reason) {
    return new BadInputException(file + ": " + key + ": " + reason);
  }

  private String text(JsonNode config, String key, String otherwise) {
    return config.hasNonNull(key) ? config.get(key).asText() : otherwise;
  }

  private boolean flag(JsonNode config, String key, boolean otherwise) {
    if (!config.hasNonNull(key)) {
      return otherwise;
    }
    if (!config.get(key).isBoolean()) {
      throw bad(key, config.get(key) + " is neither true nor false");
    }
    return config.get(key).asBoolean();
  }

  private Resampler resampler(JsonNode config) {
    int number = config.hasNonNull("resample") ? config.get("resample").asInt(-1) : 3;
    Resampler found = Resampler.of(number);
    if (found == null) {
      throw bad(
          "resample",
          config.get("resample")
              + " is not supported; supported: 1 (Lanczos), 2 (bilinear), 3 (bicubic)");
    }
    return found;
  }

  private Size size(JsonNode config, String key, Size otherwise, boolean numberIsShortest) {
    JsonNode node = config.path(key);
    if (node.isMissingNode() || node.isNull()) {
      return otherwise;
    }
    if (node.isNumber()) {
      int side = side(key, node);
      return new Size(side, numberIsShortest ? 0 : side);
    }
    if (node.has("height") && node.has("width")) {
      return new Size(side(key, node.get("width")), side(key, node.get("height")));
    }
    if (node.has("shortest_edge") && !node.has("longest_edge") && key.equals("size")) {
      return new Size(side(key, node.get("shortest_edge")), 0);
    }
    throw bad(key, node + " has neither height and width nor a shortest_edge alone");
  }

  private int side(String key, JsonNode node) {
    if (!node.isIntegralNumber() || node.asLong() < 1 || node.asLong() > MAX_SIDE) {
      throw bad(key, node + " is not between 1 and " + MAX_SIDE);
    }
    return node.asInt();
  }

  /** The value of each 8-bit sample, per channel. */
  private float[][] values(JsonNode config, boolean siglip) {
    boolean rescale = flag(config, "do_rescale", true);
    boolean normalize = flag(config, "do_normalize", true);
    double factor = number(config.path("rescale_factor"), "rescale_factor", 1 / 255.0);
    List<Double> half = List.of(0.5, 0.5, 0.5);
    float[] mean =
        channels(config, "image_mean", siglip ? half : List.of(0.48145466, 0.4578275, 0.40821073));
    float[] deviation =
        channels(config, "image_std", siglip ? half : List.of(0.26862954, 0.26130258, 0.27577711));
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

  private float[] channels(JsonNode config, String key, List<Double> otherwise) {
    JsonNode node = config.path(key);
    boolean given = config.hasNonNull(key);
    if (given && !node.isNumber() && node.size() != 3) {
      throw bad(key, node + " has not one value for each of three channels");
    }
    float[] result = new float[3];
    for (int c = 0; c < 3; c++) {
      JsonNode value = node.isNumber() ? node : node.path(c);
      result[c] = (float) (given ? number(value, key, 0) : otherwise.get(c));
    }
    return result;
  }

  @Override
  public int side() {
    return size;
  }

  @Override
  public ImageGeometry geometry(int width, int height) {
    return geometry;
  }

  @Override
  public ModelImage process(RgbImage image) {
    byte[] rgb = cropped(image).rgb();
    int plane = size * size;
    float[] pixels = new float[3 * plane];
    for (int i = 0; i < plane; i++) {
      for (int c = 0; c < 3; c++) {
        pixels[c * plane + i] = values[c][rgb[3 * i + c] & 0xff];
      }
    }
    return new ModelImage(geometry, pixels);
  }

  /** The picture after resizing. */
  RgbImage resized(RgbImage image) {
    if (resize == null) {
      return image;
    }
    if (!resize.isShortestEdge()) {
      return resampler.resize(image, resize.width(), resize.height());
    }
    int shortest = Math.min(image.width(), image.height());
    int longest = Math.max(image.width(), image.height());
    // The quotient of integers as Python takes it: rounded to a double, then cut.
    double other = (double) ((long) resize.width() * longest) / shortest;
    if (other * resize.width() > ImageDecoder.DEFAULT_MAX_PIXELS) {
      throw new BadInputException(
          "a picture of "
              + image.width()
              + "x"
              + image.height()
              + " pixels is too long and thin to be resized to a shortest edge of "
              + resize.width());
    }
    boolean upright = image.width() <= image.height();
    return resampler.resize(
        image, upright ? resize.width() : (int) other, upright ? (int) other : resize.width());
  }

  /** The picture after resizing and cropping. */
  RgbImage cropped(RgbImage image) {
    RgbImage resized = resized(image);
    if (crop == null) {
      return resized;
    }
    int left = offset(resized.width());
    int top = offset(resized.height());
    byte[] rgb = new byte[3 * size * size];
    int from = Math.max(0, left);
    int columns = Math.min(resized.width(), left + size) - from;
    for (int y = Math.max(0, top); y < Math.min(resized.height(), top + size); y++) {
      System.arraycopy(
          resized.rgb(),
          3 * (y * resized.width() + from),
          rgb,
          3 * ((y - top) * size + from - left),
          3 * columns);
    }
    return new RgbImage(size, size, rgb);
  }

  /** Where the crop begins; negative where the picture is smaller and black is put around it. */
  private int offset(int length) {
    return length >= size ? (length - size) / 2 : -((size - length + 1) / 2);
  }
}
