package io.whetstream.model.image;

import com.fasterxml.jackson.databind.JsonNode;
import io.whetstream.model.checkpoint.ModelConfig;
import java.nio.file.Path;
import java.util.List;

/** Pictures in their own shape, as Hugging Face's {@code Qwen2VLImageProcessor} resizes them. */
final class DynamicImageProcessor implements ImageProcessor {
  private final DynamicResolution resolution;
  private final Resampler resampler;
  private final float[][] values;

  private DynamicImageProcessor(ProcessorConfig config, int patch, int merge) {
    String type = config.type("Qwen2VLImageProcessor");
    if (!type.matches("Qwen(2|2_5_|3)VLImageProcessor")) {
      throw config.bad(
          "image_processor_type", type + " is not supported; supported: Qwen2VLImageProcessor");
    }
    config.must("do_resize");
    same(config, "patch_size", 14, patch);
    same(config, "merge_size", 2, merge);
    JsonNode size = config.node("size");
    long min = config.pixels("size.shortest_edge", size.path("shortest_edge"), 3136);
    long max = config.pixels("size.longest_edge", size.path("longest_edge"), 1003520);
    resolution =
        new DynamicResolution(
            patch * merge,
            config.pixels("min_pixels", config.node("min_pixels"), min),
            config.pixels("max_pixels", config.node("max_pixels"), max));
    if (resolution.minPixels() > resolution.maxPixels()) {
      throw config.bad("min_pixels", resolution.minPixels() + " is above max_pixels");
    }
    resampler = config.resampler(3);
    values = config.values(ProcessorConfig.CLIP_MEAN, ProcessorConfig.CLIP_DEVIATION);
  }

  private static void same(ProcessorConfig config, String key, int otherwise, int model) {
    int side = config.side(key, otherwise);
    if (side != model) {
      throw config.bad(key, side + " where config.json wants " + model);
    }
  }

  static DynamicImageProcessor of(Path modelDir, ModelConfig config) {
    return new DynamicImageProcessor(
        ProcessorConfig.open(modelDir),
        config.vision().patchSize(),
        config.vision().dynamic().merge());
  }

  @Override
  public ImageGeometry geometry(int width, int height) {
    return geometry(resolution.target(new Size(height, width)));
  }

  private ImageGeometry geometry(Size size) {
    int factor = resolution.factor();
    return ImageGeometry.whole(
        size.height(), size.width(), size.height() / factor * (size.width() / factor));
  }

  @Override
  public ModelImage process(RgbImage image) {
    Size size = resolution.target(Size.of(image));
    RgbImage resized = resampler.resize(image, size.width(), size.height());
    return ModelImage.of(geometry(size), List.of(resized), values);
  }

  @Override
  public int mostTokens() {
    return resolution.mostBlocks();
  }

  @Override
  public int side() {
    int factor = resolution.factor();
    return Math.max(1, (int) (Math.sqrt(resolution.minPixels()) / factor + 1)) * factor;
  }
}
