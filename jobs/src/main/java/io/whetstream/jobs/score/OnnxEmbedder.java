package io.whetstream.jobs.score;

import io.whetstream.jobs.config.BaseSettings;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.image.ImageDecoder;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.image.RgbImage;
import io.whetstream.model.onnx.Scorer;
import io.whetstream.model.onnx.ScorerAdapter;
import io.whetstream.model.onnx.ScorerOptions;
import java.nio.file.Path;
import java.util.List;

/** The real embedder: ONNX Runtime on a model directory. Thread-safe. */
final class OnnxEmbedder implements Embedder {
  /** A larger picture is not kept decoded while its micro-batch is matched. */
  private static final long KEPT_PIXELS = 1 << 20;

  private final Scorer scorer;
  private final ImageDecoder decoder;
  private final ImageProcessor processor;

  private OnnxEmbedder(Scorer scorer, ImageDecoder decoder, ImageProcessor processor) {
    this.scorer = scorer;
    this.decoder = decoder;
    this.processor = processor;
  }

  /**
   * Opens a model.
   *
   * @param maxImagePixels a larger image is refused
   * @param maxBatch most rows computed at once
   * @throws BadInputException if the model cannot be used
   */
  static OnnxEmbedder open(BaseSettings base, long maxImagePixels, int maxBatch) {
    Path directory = base.weights();
    ScorerOptions options =
        ScorerOptions.defaults()
            .withDevice(base.device().equals("auto") ? "cpu" : base.device())
            .withThreads(base.threads())
            .withMaxBatch(maxBatch);
    return new OnnxEmbedder(
        Scorer.open(directory, options),
        new ImageDecoder(maxImagePixels),
        ImageProcessor.open(directory));
  }

  private record Handle(ScorerAdapter adapter) implements Adapter {
    @Override
    public String digest() {
      return adapter.digest();
    }

    @Override
    public void close() {
      adapter.close();
    }
  }

  private static ScorerAdapter scorerAdapter(Adapter adapter) {
    return ((Handle) adapter).adapter();
  }

  /**
   * Makes an adapter ready and embeds a word with it.
   *
   * @throws BadInputException if it does not fit the base model or gives values that are not finite
   */
  Adapter load(AdapterArtifact artifact) {
    Handle handle = new Handle(scorer.load(artifact));
    try {
      for (float value : scorer.embedTexts(handle.adapter(), List.of("a"))[0]) {
        if (!Float.isFinite(value)) {
          throw new BadInputException(
              "adapter " + artifact.digest() + " gives embeddings that are not finite");
        }
      }
      return handle;
    } catch (RuntimeException e) {
      handle.close();
      throw e;
    }
  }

  @Override
  public int dimension() {
    return scorer.dimension();
  }

  @Override
  public String baseDigest() {
    return scorer.baseDigest();
  }

  @Override
  public Adapter base() {
    return new Handle(scorer.base().retain());
  }

  @Override
  public ModelImage image(byte[] encoded, String where) {
    return processor.process(decoder.decode(encoded, where));
  }

  @Override
  public ContentGroup group(byte[] encoded, String where) {
    return ContentGroup.of(decoder.decode(encoded, where));
  }

  @Override
  public Picture picture(byte[] encoded, String where) {
    RgbImage decoded = decoder.decode(encoded, where);
    ModelImage image = processor.process(decoded);
    return (long) decoded.width() * decoded.height() <= KEPT_PIXELS
        ? new Picture(image, () -> ContentGroup.of(decoded))
        : new Picture(image, () -> group(encoded, where));
  }

  @Override
  public float[][] images(Adapter adapter, List<ModelImage> images) {
    return scorer.embedImages(scorerAdapter(adapter), images);
  }

  @Override
  public float[][] texts(Adapter adapter, List<String> texts) {
    return scorer.embedTexts(scorerAdapter(adapter), texts);
  }

  @Override
  public void close() {
    scorer.close();
  }
}
