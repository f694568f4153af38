package io.whetstream.model.onnx;

import ai.onnxruntime.OrtException;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.lvlm.PromptTemplates;
import io.whetstream.model.lvlm.SequenceBuilder;
import io.whetstream.model.text.TextTokenizer;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Embeds images and captions on ONNX Runtime, with the adapter given per call. Thread-safe: any
 * number of threads may embed, load adapters and close handles at once. Scorers of the same model
 * and options share one engine, so the weights are in memory once.
 *
 * <p>Every call uses the one adapter it was given for all of its rows. Rows of similar length are
 * computed together; a row's vector does not depend on its neighbours (beyond float rounding of
 * matrix products of another size).
 */
public final class Scorer implements AutoCloseable {
  private final Engine engine;
  private final ModelConfig config;
  private final String baseDigest;
  private final int maxBatch;
  private final PromptTemplates prompts;
  private final TextTokenizer tokenizer;
  private final ScorerAdapter base;
  private final Map<String, ScorerAdapter> loaded = new ConcurrentHashMap<>();

  private Scorer(Engine engine, String baseDigest, ScorerOptions options, TextTokenizer tokenizer) {
    this.engine = engine;
    this.config = engine.config();
    this.baseDigest = baseDigest;
    this.maxBatch = options.maxBatch();
    this.prompts = options.prompts();
    this.tokenizer = tokenizer;
    base = new ScorerAdapter(engine, null, ScorerAdapter.BASE, sequences(null), () -> {});
  }

  /**
   * Opens a model directory.
   *
   * @throws BadInputException when the model cannot be read, is of a family that is not supported,
   *     or the device cannot be used
   */
  public static Scorer open(Path modelDirectory, ScorerOptions options) {
    Engine engine;
    String digest;
    try (Checkpoint checkpoint = Checkpoint.open(modelDirectory)) {
      engine = Engine.shared(checkpoint, options);
      digest = checkpoint.digest();
    }
    TextTokenizer tokenizer = null;
    try {
      if (Files.exists(modelDirectory.resolve("tokenizer.json"))) {
        tokenizer = TextTokenizer.open(modelDirectory);
      }
      return new Scorer(engine, digest, options, tokenizer);
    } catch (RuntimeException e) {
      engine.references().release();
      if (tokenizer != null) {
        tokenizer.close();
      }
      throw e;
    }
  }

  private SequenceBuilder sequences(AdapterConfig adapter) {
    if (tokenizer == null) {
      return null;
    }
    PromptTemplates templates =
        adapter == null || adapter.imageTemplate() == null || adapter.textTemplate() == null
            ? prompts
            : new PromptTemplates(adapter.imageTemplate(), adapter.textTemplate());
    return new SequenceBuilder(
        tokenizer,
        config,
        templates,
        adapter == null ? 0 : adapter.softImage(),
        adapter == null ? 0 : adapter.softText());
  }

  /**
   * The base model without an adapter, with the prompts of the options. The handle belongs to the
   * scorer: retain it before giving it to something that closes it.
   */
  public ScorerAdapter base() {
    return base;
  }

  /**
   * Makes an adapter ready for use. Loading one that is already loaded hands out another handle on
   * it. The caller closes the handle.
   *
   * @throws BadInputException when the adapter was trained on another base model or does not fit
   *     this one; nothing of it is in use then
   */
  public ScorerAdapter load(AdapterArtifact artifact) {
    String trainedOn = artifact.manifest().baseDigest();
    if (trainedOn != null && !trainedOn.equals(baseDigest)) {
      throw new BadInputException(
          "adapter "
              + artifact.digest()
              + " was trained on base model "
              + trainedOn
              + ", this one is "
              + baseDigest);
    }
    AdapterWeights weights = artifact.weights();
    weights.requireFits(config);
    return loaded.compute(
        artifact.digest(),
        (digest, present) -> {
          if (present != null && present.tryRetain()) {
            return present;
          }
          return make(digest, weights);
        });
  }

  private ScorerAdapter make(String digest, AdapterWeights weights) {
    ScorerAdapter[] made = new ScorerAdapter[1];
    made[0] =
        new ScorerAdapter(
            engine,
            weights,
            digest,
            sequences(weights.config()),
            () -> loaded.remove(digest, made[0]));
    return made[0];
  }

  /** How many adapters are in native memory. */
  int loadedAdapters() {
    return loaded.size();
  }

  /** Width of an embedding. */
  public int dimension() {
    return config.text().hiddenSize();
  }

  /** Width of a pooled vision vector. */
  public int visionDimension() {
    return config.vision().hiddenSize();
  }

  /** Digest of the base model. */
  public String baseDigest() {
    return baseDigest;
  }

  /** Configuration of the base model. */
  public ModelConfig config() {
    return config;
  }

  /**
   * Embeds images with the adapter's image prompt.
   *
   * @param pixels processed images, each [3*S*S]
   * @return one vector [d] of unit length per image
   */
  public float[][] embedImages(ScorerAdapter adapter, List<float[]> pixels) {
    if (adapter.imageRow() == null) {
      throw noTokenizer();
    }
    checkPixels(pixels);
    return embed(
        adapter, false, java.util.Collections.nCopies(pixels.size(), adapter.imageRow()), pixels);
  }

  /**
   * Embeds captions with the adapter's text prompt. Captions beyond the context are cut.
   *
   * @return one vector [d] of unit length per caption
   */
  public float[][] embedTexts(ScorerAdapter adapter, List<String> captions) {
    if (adapter.sequences() == null) {
      throw noTokenizer();
    }
    List<long[]> ids = new ArrayList<>(captions.size());
    for (String caption : captions) {
      ids.add(tokenizer.encode(caption));
    }
    return embedCaptions(adapter, ids);
  }

  /** {@link #embedTexts} of captions as token ids without special tokens. */
  public float[][] embedCaptions(ScorerAdapter adapter, List<long[]> captions) {
    if (adapter.sequences() == null) {
      throw noTokenizer();
    }
    List<long[]> rows = new ArrayList<>(captions.size());
    for (long[] caption : captions) {
      rows.add(adapter.sequences().textRow(caption, true));
    }
    return embed(adapter, true, rows, null);
  }

  private static BadInputException noTokenizer() {
    return new BadInputException("the model directory has no tokenizer.json: rows must be given");
  }

  /**
   * Embeds ready-made rows at their last positions.
   *
   * @param rows token ids; the image token stands once per image feature, {@code -(k+1)} for soft
   *     vector k of the side
   * @param pixels for each row its image [3*S*S]; null or empty for rows without images
   * @param textSide whether soft vectors are those of the text side
   * @return one vector [d] of unit length per row
   */
  public float[][] embedRows(
      ScorerAdapter adapter, boolean textSide, List<long[]> rows, List<float[]> pixels) {
    boolean images = pixels != null && !pixels.isEmpty();
    if (images) {
      checkPixels(pixels);
      if (pixels.size() != rows.size()) {
        throw new BadInputException(pixels.size() + " images for " + rows.size() + " rows");
      }
    }
    int soft = textSide ? adapter.softText() : adapter.softImage();
    for (int i = 0; i < rows.size(); i++) {
      checkRow(i, rows.get(i), soft, images);
    }
    return embed(adapter, textSide, rows, images ? pixels : null);
  }

  private void checkPixels(List<float[]> pixels) {
    for (int i = 0; i < pixels.size(); i++) {
      if (pixels.get(i).length != engine.imageSize()) {
        throw new BadInputException(
            "image "
                + i
                + " has "
                + pixels.get(i).length
                + " values; this model takes "
                + engine.imageSize());
      }
    }
  }

  private void checkRow(int index, long[] row, int soft, boolean image) {
    int positions = config.text().maxPositions();
    if (row.length < 1 || row.length > positions) {
      throw new BadInputException(
          "row " + index + " has " + row.length + " positions; 1 to " + positions + " are allowed");
    }
    int features = 0;
    for (long id : row) {
      if (id == config.imageTokenId()) {
        features++;
      } else if (id < -soft || id >= config.text().vocabSize()) {
        throw new BadInputException(
            "row "
                + index
                + " holds id "
                + id
                + "; the vocabulary has "
                + config.text().vocabSize()
                + " tokens, the adapter "
                + soft
                + " soft vectors on this side");
      }
    }
    if (features != (image ? config.imageTokens() : 0)) {
      throw new BadInputException(
          "row "
              + index
              + " holds "
              + features
              + " image tokens; expected "
              + (image ? config.imageTokens() : 0));
    }
  }

  private float[][] embed(
      ScorerAdapter adapter, boolean textSide, List<long[]> rows, List<float[]> pixels) {
    if (adapter.engine() != engine) {
      throw new IllegalArgumentException("the adapter was loaded by a scorer of another model");
    }
    float[][] vectors = new float[rows.size()][];
    adapter.retain();
    Engine.Workspace workspace = engine.borrow();
    try {
      long[] order = workspace.order(rows.size());
      for (int i = 0; i < vectors.length; i++) {
        order[i] = (long) rows.get(i).length << 32 | i;
      }
      Arrays.sort(order, 0, vectors.length);
      int begin = 0;
      while (begin < vectors.length) {
        int end = bucketEnd(order, begin, vectors.length);
        int length = (int) (order[end - 1] >>> 32);
        for (int i = begin; i < end; i++) {
          order[i] &= 0xFFFFFFFFL;
        }
        workspace.fillRows(rows, begin, end, order, length);
        if (pixels != null) {
          workspace.fillPixels(pixels, begin, end, order);
        }
        FloatBuffer embedded =
            workspace.embed(end - begin, length, pixels != null, textSide, adapter);
        for (int i = begin; i < end; i++) {
          float[] vector = new float[dimension()];
          embedded.get(vector);
          vectors[(int) order[i]] = vector;
        }
        begin = end;
      }
      return vectors;
    } catch (OrtException e) {
      throw new IllegalStateException("scoring failed with adapter " + adapter.digest(), e);
    } finally {
      engine.giveBack(workspace);
      adapter.close();
    }
  }

  /**
   * Where the batch that starts with the shortest remaining row ends: padding stays below a quarter
   * of it (or 8 positions, where a call costs more than they do).
   */
  private int bucketEnd(long[] order, int begin, int count) {
    int shortest = (int) (order[begin] >>> 32);
    int longest = shortest + Math.max(8, shortest / 4);
    int end = begin + 1;
    while (end < count && end - begin < maxBatch && (int) (order[end] >>> 32) <= longest) {
      end++;
    }
    return end;
  }

  /**
   * The mining embedding: the frozen vision tower's features of the selected layer, before the
   * projector, averaged over positions and L2-normalised. No adapter changes it.
   *
   * @param pixels processed images, each [3*S*S]
   * @return one vector of {@link #visionDimension} per image
   */
  public float[][] poolVision(List<float[]> pixels) {
    checkPixels(pixels);
    float[][] vectors = new float[pixels.size()][];
    engine.references().retain();
    Engine.Workspace workspace = engine.borrow();
    try {
      for (int begin = 0; begin < vectors.length; begin += maxBatch) {
        int end = Math.min(begin + maxBatch, vectors.length);
        workspace.fillPixels(pixels, begin, end);
        FloatBuffer pooled = workspace.pool(end - begin);
        for (int i = begin; i < end; i++) {
          vectors[i] = new float[visionDimension()];
          pooled.get(vectors[i]);
        }
      }
      return vectors;
    } catch (OrtException e) {
      throw new IllegalStateException("pooling vision features failed", e);
    } finally {
      engine.giveBack(workspace);
      engine.references().release();
    }
  }

  /**
   * Gives the engine back; no call may be running or follow. Handles on adapters stay valid until
   * they are closed, and keep the engine's memory.
   */
  @Override
  public void close() {
    base.close();
    if (tokenizer != null) {
      tokenizer.close();
    }
    engine.references().release();
  }
}
