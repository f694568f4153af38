package io.whetstream.model.image;

import io.whetstream.model.BadInputException;
import java.util.List;
import java.util.function.Supplier;

/**
 * Makes whatever a picture sets off in a processor an error of that picture, not of the program.
 */
record GuardedImageProcessor(ImageProcessor processor) implements ImageProcessor {
  @Override
  public ModelImage process(RgbImage image) {
    return guarded(image, () -> processor.process(image));
  }

  @Override
  public List<ModelImage> process(List<RgbImage> row) {
    return row.isEmpty() ? List.of() : guarded(row.get(0), () -> processor.process(row));
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
