package io.whetstream.model.lvlm;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.text.TextTokenizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Embeds images and captions on DJL: offline, in the trainer's gate, and as the other engine that
 * the scoring engine is compared with. Rows of similar length are computed together. Not
 * thread-safe; calls are serialised on the model.
 */
public final class Embedder {
  private final Lvlm model;
  private final TextTokenizer tokenizer;
  private final PromptTemplates basePrompts;
  private final int chunk;

  /**
   * @param basePrompts the prompts of the bare base model, and of adapters that bring none
   * @param chunk how many rows are computed at once at most
   */
  public Embedder(Lvlm model, TextTokenizer tokenizer, PromptTemplates basePrompts, int chunk) {
    this.model = model;
    this.tokenizer = tokenizer;
    this.basePrompts = basePrompts;
    this.chunk = chunk;
  }

  /** The sequences that this adapter (null: the base with its hand prompt) is read with. */
  public SequenceBuilder sequences(AdapterWeights adapter) {
    if (adapter == null) {
      return new SequenceBuilder(tokenizer, model.config(), basePrompts, 0, 0);
    }
    AdapterConfig config = adapter.config();
    return config.imageTemplate() == null || config.textTemplate() == null
        ? new SequenceBuilder(
            tokenizer, model.config(), basePrompts, config.softImage(), config.softText())
        : SequenceBuilder.of(tokenizer, model.config(), config);
  }

  /**
   * Image embeddings.
   *
   * @param adapter null for the base model
   * @return one vector [d] of unit length per image
   */
  public float[][] embedImages(AdapterWeights adapter, List<ModelImage> images) {
    SequenceBuilder sequences = sequences(adapter);
    float[][] vectors = new float[images.size()][];
    for (int begin = 0; begin < images.size(); begin += chunk) {
      List<ModelImage> part = images.subList(begin, Math.min(begin + chunk, images.size()));
      List<Row> rows =
          IntStream.range(0, part.size())
              .mapToObj(
                  i -> Row.embedding(sequences.imageRow(part.get(i).geometry(), true), false, i))
              .toList();
      float[][] embedded = embed(adapter, rows, part);
      System.arraycopy(embedded, 0, vectors, begin, embedded.length);
    }
    return vectors;
  }

  /**
   * Text embeddings.
   *
   * @param captions token ids without special tokens
   * @return one vector [d] of unit length per caption
   */
  public float[][] embedTexts(AdapterWeights adapter, List<long[]> captions) {
    SequenceBuilder sequences = sequences(adapter);
    Integer[] order = IntStream.range(0, captions.size()).boxed().toArray(Integer[]::new);
    Arrays.sort(order, Comparator.comparingInt(i -> captions.get(i).length));
    float[][] vectors = new float[captions.size()][];
    for (int begin = 0; begin < order.length; begin += chunk) {
      List<Row> rows = new ArrayList<>();
      int end = Math.min(begin + chunk, order.length);
      for (int i = begin; i < end; i++) {
        rows.add(Row.embedding(sequences.textRow(captions.get(order[i]), true), true));
      }
      float[][] embedded = embed(adapter, rows, List.of());
      for (int i = begin; i < end; i++) {
        vectors[order[i]] = embedded[i - begin];
      }
    }
    return vectors;
  }

  /** Embeds ready-made rows, in order; every row must have a read-out. */
  public float[][] embed(AdapterWeights adapter, List<Row> rows, List<ModelImage> images) {
    synchronized (model) {
      return model.step(
          step -> {
            Lvlm.NativeAdapter resident = resident(step, adapter);
            ImageFeatures features = model.features(step, images, chunk);
            NDArray embeddings = model.unit(step, rows, features, resident).embeddings();
            float[] values = embeddings.toType(DataType.FLOAT32, false).toFloatArray();
            int width = values.length / rows.size();
            float[][] vectors = new float[rows.size()][];
            for (int i = 0; i < vectors.length; i++) {
              vectors[i] = Arrays.copyOfRange(values, i * width, (i + 1) * width);
            }
            return vectors;
          });
    }
  }

  private Lvlm.NativeAdapter resident(NDManager step, AdapterWeights adapter) {
    if (adapter == null) {
      return model.adapter(step, null, null, 0);
    }
    AdapterLayout layout = new AdapterLayout(model.config(), adapter.config());
    NDArray flat = model.wide(step, layout.flatten(adapter), new Shape(layout.size()));
    return model.adapter(step, layout, flat, 0);
  }
}
