package io.whetstream.jobs.finetune;

import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.image.ImageDecoder;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.text.TextTokenizer;
import io.whetstream.model.train.PreparedPair;
import io.whetstream.model.train.Trainer;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/** The model library as the trainer operator uses it. One thread at a time. */
final class TrainingEngine implements AutoCloseable {
  private final Checkpoint checkpoint;
  private final TextTokenizer tokenizer;
  private final ImageProcessor images;
  private final ImageDecoder decoder;
  private final Lvlm model;
  private final Trainer trainer;
  private final int chunk;

  /**
   * Opens the base model.
   *
   * @throws BadInputException if base or configuration cannot be used
   */
  TrainingEngine(FineTuneConfig config) {
    Path base = config.base().weights();
    checkpoint = Checkpoint.open(base);
    tokenizer = TextTokenizer.open(base);
    images = ImageProcessor.open(base);
    decoder = new ImageDecoder(config.prepare().maxPixels());
    model =
        Lvlm.open(
            checkpoint,
            new LvlmOptions(
                Precision.valueOf(config.base().precision().toUpperCase(Locale.ROOT)),
                config.base().device(),
                config.base().threads()));
    trainer = Trainer.create(model, tokenizer, config.trainingConfig());
    try {
      chunk =
          trainer.plannedChunk(
              images.geometry(images.side(), images.side()), config.training().globalBatch());
    } catch (BadInputException e) {
      close();
      throw e;
    }
  }

  Trainer trainer() {
    return trainer;
  }

  /** Rows at once of a usual step; 0 for all. */
  int chunk() {
    return chunk;
  }

  String baseDigest() {
    return model.baseDigest();
  }

  String decoderModule() {
    return model.config().decoderModule();
  }

  PreparedPair prepare(MinedPair pair) {
    return new PreparedPair(
        pair.id(),
        images.process(decoder.decode(pair.image(), "pair '" + pair.id() + "'")),
        pair.shortCaption() == null ? null : tokenizer.encode(pair.shortCaption()),
        pair.longCaption() == null ? null : tokenizer.encode(pair.longCaption()),
        pair.imageDigest(),
        pair.shortCaption() == null ? null : pair.captionDigest());
  }

  List<PreparedPair> prepare(List<MinedPair> pairs) {
    return pairs.stream().map(this::prepare).toList();
  }

  /**
   * Embeds both sides of pairs that have a short caption.
   *
   * @param weights the adapter, or null for the base
   */
  PairEmbeddings embed(AdapterWeights weights, List<PreparedPair> pairs) {
    return new PairEmbeddings(
        trainer.embedImages(weights, pairs.stream().map(PreparedPair::image).toList()),
        trainer.embedTexts(weights, pairs.stream().map(PreparedPair::shortCaption).toList()));
  }

  @Override
  public void close() {
    trainer.close();
    model.close();
    tokenizer.close();
    checkpoint.close();
  }
}
