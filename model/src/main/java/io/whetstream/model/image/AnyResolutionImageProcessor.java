package io.whetstream.model.image;

import com.fasterxml.jackson.databind.JsonNode;
import io.whetstream.model.BadInputException;
import io.whetstream.model.checkpoint.Canvases;
import io.whetstream.model.checkpoint.ModelConfig;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The whole picture and then the squares of a canvas, as Hugging Face's {@code
 * LlavaNextImageProcessor} and {@code LlavaOnevisionImageProcessor} make them.
 */
final class AnyResolutionImageProcessor implements ImageProcessor {
  private static final byte[] BLACK = new byte[3];

  private final AnyResolution resolution;
  private final int patches;
  private final int maxSquares;
  private final boolean squareInCompany;
  private final byte[] background;
  private final Resampler resampler;
  private final float[][] values;

  private AnyResolutionImageProcessor(ProcessorConfig config, ModelConfig model) {
    String type = config.type("LlavaNextImageProcessor");
    if (!type.matches("Llava(Next|Onevision)ImageProcessor")) {
      throw config.bad(
          "image_processor_type",
          type
              + " is not supported; supported: LlavaNextImageProcessor,"
              + " LlavaOnevisionImageProcessor");
    }
    config.must("do_resize");
    config.must("do_pad");
    int side = model.vision().imageSize();
    Canvases canvases = model.canvases();
    JsonNode size = config.node("size");
    for (String key : List.of("shortest_edge", "height", "width")) {
      if (size.has(key) && config.side("size", size.get(key)) != side) {
        throw config.bad("size", size + " where config.json wants " + side);
      }
    }
    JsonNode crop = config.node("crop_size");
    if (crop.has("height") && config.side("crop_size", crop.get("height")) != side) {
      throw config.bad("crop_size", crop + " where config.json wants " + side);
    }
    JsonNode pinpoints = config.node("image_grid_pinpoints");
    List<List<Integer>> sizes = new ArrayList<>();
    pinpoints.forEach(pair -> sizes.add(List.of(pair.path(0).asInt(), pair.path(1).asInt())));
    if (!sizes.isEmpty() && !sizes.equals(canvases.sizes())) {
      throw config.bad("image_grid_pinpoints", "others than in config.json: " + pinpoints);
    }
    resolution =
        new AnyResolution(
            side,
            canvases.sizes().stream().map(pair -> new Size(pair.get(0), pair.get(1))).toList());
    patches = side / model.vision().patchSize();
    if (model.imageTokens() != patches * patches) {
      throw new BadInputException(
          modelFile(config)
              + ": vision_feature_select_strategy keeps "
              + model.imageTokens()
              + " features of a square of "
              + patches * patches
              + " patches, which makes no grid");
    }
    maxSquares = canvases.maxSquares();
    squareInCompany = maxSquares > 0;
    double[] mean = config.exactChannels("image_mean", ProcessorConfig.CLIP_MEAN);
    background =
        new byte[] {
          (byte) (int) (mean[0] * 255), (byte) (int) (mean[1] * 255), (byte) (int) (mean[2] * 255)
        };
    resampler = config.resampler(3);
    values = config.values(ProcessorConfig.CLIP_MEAN, ProcessorConfig.CLIP_DEVIATION);
  }

  private static Path modelFile(ProcessorConfig config) {
    return config.file().resolveSibling("config.json");
  }

  static AnyResolutionImageProcessor of(Path modelDir, ModelConfig model) {
    return new AnyResolutionImageProcessor(ProcessorConfig.open(modelDir), model);
  }

  @Override
  public ImageGeometry geometry(int width, int height) {
    Size picture = new Size(height, width);
    return geometry(picture, resolution.canvas(picture));
  }

  private ImageGeometry geometry(Size picture, Size canvas) {
    Size grid = resolution.grid(canvas);
    Size kept = AnyResolution.unpadded(grid.times(patches), picture);
    Size features = maxSquares > 0 ? AnyResolution.bounded(kept, maxSquares, patches) : kept;
    int tokens = Math.toIntExact(patches * patches + features.area() + features.height());
    return new ImageGeometry(
        1 + grid.height() * grid.width(),
        resolution.side(),
        resolution.side(),
        grid.height(),
        grid.width(),
        kept.height(),
        kept.width(),
        tokens);
  }

  @Override
  public ModelImage process(RgbImage image) {
    return ModelImage.of(geometry(image.width(), image.height()), crops(image), values);
  }

  @Override
  public List<ModelImage> process(List<RgbImage> row) {
    if (row.size() < 2 || !squareInCompany) {
      return ImageProcessor.super.process(row);
    }
    int side = resolution.side();
    // One position more: a line ends after each picture.
    ImageGeometry geometry = ImageGeometry.whole(side, side, patches * patches + 1);
    return row.stream()
        .map(image -> ModelImage.of(geometry, List.of(square(image)), values))
        .toList();
  }

  /** The squares in 8 bit, the whole picture first. */
  List<RgbImage> crops(RgbImage image) {
    int side = resolution.side();
    Size canvas = resolution.canvas(Size.of(image));
    Size inside = resolution.inside(Size.of(image), canvas);
    List<RgbImage> crops = new ArrayList<>();
    crops.add(resampler.resize(image, side, side));
    crops.addAll(
        resampler
            .resize(image, inside.width(), inside.height())
            .centred(canvas.width(), canvas.height(), BLACK)
            .squares(side));
    return crops;
  }

  /** A picture among others: in the middle of a square of the mean colour. */
  RgbImage square(RgbImage image) {
    int longest = Math.max(image.width(), image.height());
    if ((long) longest * longest > ImageDecoder.DEFAULT_MAX_PIXELS) {
      throw new BadInputException(
          "a picture of " + Size.of(image) + " pixels is too long to be padded to a square");
    }
    return resampler.resize(
        image.centred(longest, longest, background), resolution.side(), resolution.side());
  }

  @Override
  public int mostTokens() {
    int most = 0;
    for (Size canvas : resolution.canvases()) {
      Size grid = resolution.grid(canvas).times(patches);
      // Up to a tenth more along each side than the bound is left as it is.
      double bound = maxSquares > 0 ? 1.21 * maxSquares * patches * patches : grid.area();
      most = Math.max(most, (int) Math.min(grid.area(), bound) + grid.height());
    }
    return patches * patches + most;
  }

  @Override
  public int side() {
    return resolution.side();
  }
}
