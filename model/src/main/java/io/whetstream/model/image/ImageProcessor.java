package io.whetstream.model.image;

import io.whetstream.model.BadInputException;
import io.whetstream.model.checkpoint.ModelConfig;
import java.nio.file.Path;

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
    return switch (config.family()) {
      case "llava" -> SquareImageProcessor.of(modelDir, config);
      default ->
          throw new BadInputException(
              modelDir + ": no image processor is known for models of family " + config.family());
    };
  }

  /**
   * The picture as the model takes it.
   *
   * @throws BadInputException if this picture cannot be processed
   */
  ModelImage process(RgbImage image);

  /** The geometry that a picture of this size comes out with. */
  ImageGeometry geometry(int width, int height);

  /** Side in pixels of square pictures that come out as they are, or nearly. */
  int side();
}
