package io.whetstream.model.image;

import io.whetstream.model.BadInputException;
import io.whetstream.model.checkpoint.ModelConfig;
import java.nio.file.Path;
import java.util.List;

/**
 * From a picture to what a model takes, as the image processors of Hugging Face do it on Pillow.
 * Implementations are immutable, so safe for use by several threads.
 */
public interface ImageProcessor {
  /**
   * The processor of a model directory.
   *
   * @throws BadInputException if there is none, or one that cannot be followed, or one whose
   *     pictures the model does not take
   */
  static ImageProcessor open(Path modelDir) {
    ModelConfig config = ModelConfig.read(modelDir.resolve("config.json"));
    return new GuardedImageProcessor(of(modelDir, config), config.text().maxPositions());
  }

  private static ImageProcessor of(Path modelDir, ModelConfig config) {
    if (config.vision().dynamic() != null) {
      return DynamicImageProcessor.of(modelDir, config);
    }
    if (config.canvases() != null) {
      return AnyResolutionImageProcessor.of(modelDir, config);
    }
    return config.shuffle() > 0
        ? SplittingImageProcessor.of(modelDir, config)
        : SquareImageProcessor.of(modelDir, config);
  }

  /**
   * The picture as the model takes it.
   *
   * @throws BadInputException if this picture cannot be processed
   */
  ModelImage process(RgbImage image);

  /**
   * The pictures of one row, which some models take in another way than one alone.
   *
   * @throws BadInputException if one of them cannot be processed
   */
  default List<ModelImage> process(List<RgbImage> row) {
    return row.stream().map(this::process).toList();
  }

  /** The geometry that a picture of this size comes out with. */
  ImageGeometry geometry(int width, int height);

  /** Image tokens that a picture takes at most, whatever its size: the budget. */
  int mostTokens();

  /** Side in pixels of square pictures that come out as they are, or nearly. */
  int side();
}
