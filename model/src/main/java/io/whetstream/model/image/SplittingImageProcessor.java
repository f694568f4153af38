package io.whetstream.model.image;

import io.whetstream.model.checkpoint.ModelConfig;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Crops of a picture and the whole of it last, as Hugging Face's {@code Idefics3ImageProcessor} and
 * {@code SmolVLMImageProcessor} make them.
 */
final class SplittingImageProcessor implements ImageProcessor {
  private final Splitting splitting;
  private final Resampler resampler;
  private final float[][] values;
  private final int tokens;

  private SplittingImageProcessor(ProcessorConfig config, ModelConfig model) {
    String type = config.type("Idefics3ImageProcessor");
    if (!type.matches("(Idefics3|SmolVLM)ImageProcessor")) {
      throw config.bad(
          "image_processor_type",
          type + " is not supported; supported: Idefics3ImageProcessor, SmolVLMImageProcessor");
    }
    config.must("do_resize");
    int side =
        config.node("max_image_size").has("longest_edge")
            ? config.side("max_image_size", config.node("max_image_size").get("longest_edge"))
            : 364;
    if (side != model.vision().imageSize()) {
      throw config.bad(
          "max_image_size", side + " where config.json wants " + model.vision().imageSize());
    }
    int longest =
        config.node("size").has("longest_edge")
            ? config.side("size", config.node("size").get("longest_edge"))
            : 4 * 364;
    splitting = new Splitting(side, longest, config.flag("do_image_splitting", true));
    resampler = config.resampler(1);
    values = config.values(ProcessorConfig.HALF, ProcessorConfig.HALF);
    tokens = model.imageTokens();
  }

  static SplittingImageProcessor of(Path modelDir, ModelConfig model) {
    return new SplittingImageProcessor(ProcessorConfig.open(modelDir), model);
  }

  @Override
  public ImageGeometry geometry(int width, int height) {
    return geometry(splitting.grid(new Size(height, width)));
  }

  private ImageGeometry geometry(Size grid) {
    int inputs = 1 + grid.height() * grid.width();
    return new ImageGeometry(
        inputs,
        splitting.side(),
        splitting.side(),
        grid.height(),
        grid.width(),
        0,
        0,
        inputs * tokens);
  }

  @Override
  public ModelImage process(RgbImage image) {
    return ModelImage.of(geometry(image.width(), image.height()), crops(image), values);
  }

  /** The squares in 8 bit, the whole picture last. */
  List<RgbImage> crops(RgbImage image) {
    int side = splitting.side();
    Size first = splitting.first(Size.of(image));
    RgbImage resized = resampler.resize(image, first.width(), first.height());
    List<RgbImage> crops = new ArrayList<>();
    if (splitting.split()) {
      Size multiple = splitting.multiples(first);
      resized = resampler.resize(resized, multiple.width(), multiple.height());
      if (multiple.height() > side || multiple.width() > side) {
        crops.addAll(resized.squares(side));
      }
    }
    crops.add(resampler.resize(resized, side, side));
    return crops;
  }

  @Override
  public int mostTokens() {
    Size most = new Size(splitting.longestEdge(), splitting.longestEdge());
    return geometry(splitting.grid(most)).tokens();
  }

  @Override
  public int side() {
    return splitting.side();
  }
}
