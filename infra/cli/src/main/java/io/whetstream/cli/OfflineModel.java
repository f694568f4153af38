package io.whetstream.cli;

import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.lvlm.PromptTemplates;
import io.whetstream.model.lvlm.SequenceBuilder;
import io.whetstream.model.text.TextTokenizer;
import java.nio.file.Path;

/** A base model's directory, checked and open: everything but the weights in native memory. */
final class OfflineModel implements AutoCloseable {
  private final Checkpoint checkpoint;
  private final TextTokenizer tokenizer;
  private final ImageProcessor processor;

  private OfflineModel(Checkpoint checkpoint, TextTokenizer tokenizer, ImageProcessor processor) {
    this.checkpoint = checkpoint;
    this.tokenizer = tokenizer;
    this.processor = processor;
  }

  static OfflineModel open(Path directory) {
    TemporaryFolder.require(TemporaryFolder.NATIVES);
    ImageProcessor processor = ImageProcessor.open(directory);
    Checkpoint checkpoint = Checkpoint.open(directory);
    try {
      return new OfflineModel(checkpoint, TextTokenizer.open(directory), processor);
    } catch (RuntimeException e) {
      checkpoint.close();
      throw e;
    }
  }

  Checkpoint checkpoint() {
    return checkpoint;
  }

  ModelConfig config() {
    return checkpoint.config();
  }

  TextTokenizer tokenizer() {
    return tokenizer;
  }

  ImageProcessor processor() {
    return processor;
  }

  /**
   * An adapter of this base.
   *
   * @param prompts what stands in for prompts the adapter's directory does not say
   * @throws BadInputException if it was trained on another base or does not fit this one
   */
  AdapterArtifact adapter(Path directory, PromptTemplates prompts) {
    AdapterArtifact artifact = AdapterCodec.read(directory);
    String base = artifact.manifest().baseDigest();
    if (base != null && !base.equals(checkpoint.digest())) {
      throw new BadInputException(
          directory
              + ": the adapter belongs to another base model (digest "
              + base
              + (artifact.manifest().baseName() == null
                  ? ""
                  : ", called " + artifact.manifest().baseName())
              + "); "
              + checkpoint.directory()
              + " has digest "
              + checkpoint.digest());
    }
    AdapterWeights weights = artifact.weights();
    try {
      weights.requireFits(config());
    } catch (BadInputException e) {
      throw new BadInputException(directory + ": " + e.getMessage(), e);
    }
    AdapterConfig c = weights.config();
    if (c.imageTemplate() != null && c.textTemplate() != null) {
      return artifact;
    }
    AdapterConfig complete =
        SequenceBuilder.settled(
            tokenizer,
            config(),
            c.withPrompts(
                c.imageTemplate() == null ? prompts.image() : c.imageTemplate(),
                c.textTemplate() == null ? prompts.text() : c.textTemplate()));
    AdapterWeights prompted =
        new AdapterWeights(
            complete,
            weights.lora(),
            weights.softImage(),
            weights.softText(),
            weights.logitScale());
    return new AdapterArtifact(
        prompted,
        AdapterManifest.builder(prompted, base).decoderModule(config().decoderModule()).build());
  }

  /** The sequences an adapter (null: the base) is read with. */
  SequenceBuilder sequences(AdapterWeights adapter, PromptTemplates basePrompts) {
    return adapter == null
        ? new SequenceBuilder(tokenizer, config(), basePrompts, 0, 0)
        : SequenceBuilder.of(tokenizer, config(), adapter.config());
  }

  @Override
  public void close() {
    tokenizer.close();
    checkpoint.close();
  }
}
