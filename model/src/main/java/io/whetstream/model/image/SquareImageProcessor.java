package io.whetstream.model.image;

import com.fasterxml.jackson.databind.JsonNode;
import io.whetstream.model.BadInputException;
import io.whetstream.model.checkpoint.ModelConfig;
import java.nio.file.Path;
import java.util.regex.Pattern;

/**
 * One square of a fixed size from every picture, as Hugging Face's {@code CLIPImageProcessor} and
 * {@code SiglipImageProcessor} make it: resize, centre crop, rescale, normalise.
 */
final class SquareImageProcessor implements ImageProcessor {
  /**
   * With the suffixes of the implementations that one class has had; all make the same pictures.
   */
  private static final Pattern TYPES =
      Pattern.compile("CLIP|(CLIP|Llava|Siglip)(ImageProcessor(Fast|Pil)?|FeatureExtractor)");

  private final ProcessorConfig config;
  private final Resampler resampler;
  private final Size resize;
  private final Size crop;
  private final int size;
  private final ImageGeometry geometry;
  private final float[][] values;

  private SquareImageProcessor(ProcessorConfig config, int tokens) {
    this.config = config;
    String type = config.type("CLIP");
    if (!TYPES.matcher(type).matches()) {
      throw config.bad(
          "image_processor_type",
          type
              + " is not supported; supported: CLIPImageProcessor, SiglipImageProcessor,"
              + " LlavaImageProcessor and the Fast ones of these names");
    }
    boolean siglip = type.startsWith("Siglip");
    if (config.flag("do_pad", false)) {
      throw config.bad("do_pad", "padding to a square is not supported");
    }
    int side = siglip ? 224 : 0;
    Size standard = new Size(side, 224);
    this.resampler = config.resampler(3);
    this.resize = config.flag("do_resize", true) ? size("size", standard, !siglip) : null;
    boolean cropped = config.flag("do_center_crop", !siglip);
    this.crop = cropped ? size("crop_size", new Size(224, 224), false) : null;
    Size last = crop != null ? crop : resize;
    if (last == null || isShortestEdge(last) || last.width() != last.height()) {
      throw new BadInputException(
          config.file() + ": pictures of one square size do not come out of this configuration");
    }
    this.size = last.width();
    this.geometry = ImageGeometry.whole(size, size, tokens);
    this.values =
        siglip
            ? config.values(ProcessorConfig.HALF, ProcessorConfig.HALF)
            : config.values(ProcessorConfig.CLIP_MEAN, ProcessorConfig.CLIP_DEVIATION);
  }

  /** A shortest edge is a width with height 0. */
  private static boolean isShortestEdge(Size size) {
    return size.height() == 0;
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
          processor.config.file()
              + " makes images of "
              + processor.size
              + " pixels, config.json wants "
              + config.vision().imageSize());
    }
    return processor;
  }

  /**
   * The same without a look at the model.
   *
   * @param tokens image tokens of one picture
   */
  static SquareImageProcessor open(Path modelDir, int tokens) {
    return new SquareImageProcessor(ProcessorConfig.open(modelDir), tokens);
  }

  private Size size(String key, Size otherwise, boolean numberIsShortest) {
    JsonNode node = config.node(key);
    if (node.isMissingNode() || node.isNull()) {
      return otherwise;
    }
    if (node.isNumber()) {
      int side = config.side(key, node);
      return new Size(numberIsShortest ? 0 : side, side);
    }
    if (node.has("height") && node.has("width")) {
      return new Size(config.side(key, node.get("height")), config.side(key, node.get("width")));
    }
    if (node.has("shortest_edge") && !node.has("longest_edge") && key.equals("size")) {
      return new Size(0, config.side(key, node.get("shortest_edge")));
    }
    throw config.bad(key, node + " has neither height and width nor a shortest_edge alone");
  }

  @Override
  public int mostTokens() {
    return geometry.tokens();
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
    if (!isShortestEdge(resize)) {
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
