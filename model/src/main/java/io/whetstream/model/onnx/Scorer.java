package io.whetstream.model.onnx;

import ai.onnxruntime.OrtException;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.PromptTemplates;
import io.whetstream.model.lvlm.Row;
import io.whetstream.model.lvlm.SequenceBuilder;
import io.whetstream.model.text.TextTokenizer;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;

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
  /** Marks rows of the text side where rows are ordered. */
  private static final long TEXT = 1L << 62;

  /** Values of the image features of one batch, about: 1 GiB. */
  private static final long MOST_FEATURES = 1L << 28;

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
            : PromptTemplates.of(adapter);
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
    return engine.architecture().decoder().width();
  }

  /** Width of a pooled vision vector. */
  public int visionDimension() {
    return engine.architecture().tower().width();
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
   * @return one vector [d] of unit length per image
   */
  public float[][] embedImages(ScorerAdapter adapter, List<ModelImage> images) {
    if (adapter.sequences() == null) {
      throw noTokenizer();
    }
    images.forEach(this::check);
    Map<ImageGeometry, long[]> prompts = new HashMap<>();
    Function<ImageGeometry, long[]> prompt =
        geometry -> adapter.sequences().imageRow(geometry, true);
    for (ModelImage image : images) {
      prompts.computeIfAbsent(image.geometry(), prompt);
    }
    return embed(
        adapter,
        new Rows() {
          @Override
          public int count() {
            return images.size();
          }

          @Override
          public long[] ids(int row) {
            return prompts.get(images.get(row).geometry());
          }

          @Override
          public boolean textSide(int row) {
            return false;
          }

          @Override
          public int images(int row) {
            return 1;
          }

          @Override
          public ModelImage image(int row, int which) {
            return images.get(row);
          }
        });
  }

  /** The rows of one call: without an object for each, for they may be many and small. */
  private interface Rows {
    int count();

    long[] ids(int row);

    boolean textSide(int row);

    /** How many images it has. */
    int images(int row);

    ModelImage image(int row, int which);
  }

  private record GivenRows(List<Row> rows, List<ModelImage> all) implements Rows {
    @Override
    public int count() {
      return rows.size();
    }

    @Override
    public long[] ids(int row) {
      return rows.get(row).ids();
    }

    @Override
    public boolean textSide(int row) {
      return rows.get(row).textSide();
    }

    @Override
    public int images(int row) {
      return rows.get(row).images().length;
    }

    @Override
    public ModelImage image(int row, int which) {
      return all.get(rows.get(row).images()[which]);
    }
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
    List<Row> rows = new ArrayList<>(captions.size());
    for (long[] caption : captions) {
      rows.add(Row.embedding(adapter.sequences().textRow(caption, true), true));
    }
    return embed(adapter, new GivenRows(rows, List.of()));
  }

  private static BadInputException noTokenizer() {
    return new BadInputException("the model directory has no tokenizer.json: rows must be given");
  }

  /**
   * Embeds ready-made rows, of either side, at their last positions.
   *
   * @param images those that rows name by index
   * @return one vector [d] of unit length per row
   */
  public float[][] embedRows(ScorerAdapter adapter, List<Row> rows, List<ModelImage> images) {
    images.forEach(this::check);
    for (int i = 0; i < rows.size(); i++) {
      Row row = rows.get(i);
      check(i, row, row.textSide() ? adapter.softText() : adapter.softImage(), images);
    }
    return embed(adapter, new GivenRows(rows, images));
  }

  private void check(ModelImage image) {
    image.geometry().requireSide(engine.architecture().tower().imageSize());
  }

  private void check(int index, Row row, int soft, List<ModelImage> images) {
    int positions = config.text().maxPositions();
    if (row.length() < 1 || row.length() > positions) {
      throw new BadInputException(
          "row "
              + index
              + " has "
              + row.length()
              + " positions; 1 to "
              + positions
              + " are allowed");
    }
    if (row.readout() != row.length() - 1 || row.positions() != null) {
      throw new BadInputException(
          "row "
              + index
              + " is read elsewhere than at its end, or numbers its tokens itself; this model's"
              + " scorer does neither");
    }
    int features = 0;
    for (long id : row.ids()) {
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
    int expected = 0;
    for (int image : row.images()) {
      expected += images.get(image).tokens();
    }
    if (features != expected) {
      throw new BadInputException(
          "row " + index + " holds " + features + " image tokens; expected " + expected);
    }
  }

  private float[][] embed(ScorerAdapter adapter, Rows rows) {
    if (adapter.engine() != engine) {
      throw new IllegalArgumentException("the adapter was loaded by a scorer of another model");
    }
    float[][] vectors = new float[rows.count()][];
    adapter.retain();
    Engine.Workspace workspace = engine.borrow();
    try {
      long[] order = workspace.order(rows.count());
      for (int i = 0; i < vectors.length; i++) {
        order[i] = (rows.textSide(i) ? TEXT : 0) | (long) rows.ids(i).length << 32 | i;
      }
      Arrays.sort(order, 0, vectors.length);
      int begin = 0;
      while (begin < vectors.length) {
        int end = bucketEnd(order, begin, vectors.length, rows);
        int length = length(order[end - 1]);
        boolean text = (order[begin] & TEXT) != 0;
        List<ModelImage> images = workspace.images();
        for (int i = begin; i < end; i++) {
          order[i] &= 0xFFFFFFFFL;
          for (int k = 0; k < rows.images((int) order[i]); k++) {
            images.add(rows.image((int) order[i], k));
          }
        }
        workspace.fillRows(rows::ids, begin, end, order, length);
        FloatBuffer embedded = workspace.embed(end - begin, length, images, text, adapter);
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

  private static int length(long ordered) {
    return (int) ((ordered & ~TEXT) >>> 32);
  }

  /**
   * Where the batch that starts with the shortest remaining row of a side ends: padding stays below
   * a quarter of it (or 8 positions, where a call costs more than they do), and the features of its
   * images within a bounded room.
   */
  private int bucketEnd(long[] order, int begin, int count, Rows rows) {
    int shortest = length(order[begin]);
    int longest = shortest + Math.max(8, shortest / 4);
    long width = engine.architecture().featureWidth();
    long features = 0;
    int end = begin;
    while (end < count
        && end - begin < maxBatch
        && length(order[end]) <= longest
        && (order[end] & TEXT) == (order[begin] & TEXT)) {
      for (int k = 0; k < rows.images((int) order[end]); k++) {
        features += rows.image((int) order[end], k).tokens() * width;
      }
      if (features > MOST_FEATURES && end > begin) {
        break;
      }
      end++;
    }
    return end;
  }

  /**
   * The mining embedding: the frozen vision tower's features of the selected layer, before the
   * projector, averaged over positions and L2-normalised. No adapter changes it.
   *
   * @return one vector of {@link #visionDimension} per image
   */
  public float[][] poolVision(List<ModelImage> images) {
    images.forEach(this::check);
    float[][] vectors = new float[images.size()][];
    engine.references().retain();
    Engine.Workspace workspace = engine.borrow();
    try {
      int begin = 0;
      while (begin < vectors.length) {
        ImageGeometry geometry = images.get(begin).geometry();
        int most = Math.min(maxBatch, Engine.atOnce(geometry));
        int end = begin + 1;
        while (end < vectors.length
            && end - begin < most
            && images.get(end).geometry().equals(geometry)) {
          end++;
        }
        FloatBuffer pooled = workspace.pool(images.subList(begin, end));
        for (int i = begin; i < end; i++) {
          vectors[i] = new float[visionDimension()];
          pooled.get(vectors[i]);
        }
        begin = end;
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
