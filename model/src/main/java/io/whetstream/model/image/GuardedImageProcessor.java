package io.whetstream.model.image;

import io.whetstream.model.BadInputException;
import java.util.List;
import java.util.function.Supplier;

/**
 * Makes whatever a picture sets off in a processor an error of that picture, not of the program,
 * and refuses pictures that the model's context has no room for.
 *
 * @param context positions of the decoder
 */
record GuardedImageProcessor(ImageProcessor processor, int context) implements ImageProcessor {
  /** Positions kept for the prompt and for what stands around crops. */
  private static final int PROMPT = 128;

  @Override
  public ModelImage process(RgbImage image) {
    return fitting(image, guarded(image, () -> processor.process(image)));
  }

  @Override
  public List<ModelImage> process(List<RgbImage> row) {
    if (row.isEmpty()) {
      return List.of();
    }
    List<ModelImage> images = guarded(row.get(0), () -> processor.process(row));
    for (int i = 0; i < row.size(); i++) {
      fitting(row.get(i), images.get(i));
    }
    return images;
  }

  /** Where all pictures take the same, that is the model's affair. */
  private ModelImage fitting(RgbImage image, ModelImage processed) {
    if (processed.tokens() > context - PROMPT && !(processor instanceof SquareImageProcessor)) {
      throw new BadInputException(
          "a picture of "
              + image.width()
              + "x"
              + image.height()
              + " pixels takes "
              + processed.tokens()
              + " of the model's "
              + context
              + " positions, which leaves too few for a prompt; lower the base's pixel budget in"
              + " its preprocessor_config.json, or send a smaller picture");
    }
    return processed;
  }

  private static <T> T guarded(RgbImage image, Supplier<T> attempt) {
    try {
      return attempt.get();
    } catch (BadInputException e) {
      throw e;
    } catch (RuntimeException e) {
      throw new BadInputException(
          "a picture of "
              + image.width()
              + "x"
              + image.height()
              + " pixels cannot be processed: "
              + e,
          e);
    }
  }

  @Override
  public ImageGeometry geometry(int width, int height) {
    return processor.geometry(width, height);
  }

  @Override
  public int mostTokens() {
    return processor.mostTokens();
  }

  @Override
  public int side() {
    return processor.side();
  }
}
