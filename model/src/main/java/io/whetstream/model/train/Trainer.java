package io.whetstream.model.train;

import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.adapter.PromptEncoding;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.AdapterLayout;
import io.whetstream.model.lvlm.Embedder;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.PromptTemplates;
import io.whetstream.model.lvlm.Row;
import io.whetstream.model.lvlm.SequenceBuilder;
import io.whetstream.model.text.TextTokenizer;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/**
 * Discriminative fine-tuning of a frozen base model through LoRA and soft prompts (VladVA,
 * 2412.04378): one call of {@link #step} is one optimizer step on one global batch.
 *
 * <p>The result is a function of base, configuration, and the sequence of batches: initial values
 * and dropout are derived from the seed, the step number and pair ids, never from the state of a
 * generator. The same sequence on the same processor type, natives and number of threads gives the
 * same bytes, also when state is written and read in between.
 *
 * <p>Not thread-safe: one thread at a time. Native memory is freed by {@link #close}; the model is
 * the caller's.
 */
public final class Trainer implements AutoCloseable {
  /** The second has the moments' own number of steps behind the trainer's. */
  private static final int STATE_VERSION = 2;

  private final Lvlm model;
  private final TrainingConfig config;
  private final AdapterLayout layout;
  private final SequenceBuilder sequences;
  private final Embedder embedder;
  private final StepEngine engine;
  private long stepNumber;

  private Trainer(Lvlm model, TextTokenizer tokenizer, TrainingConfig config, float[] initial) {
    if (model.attentionDropout() > 0) {
      throw new BadInputException(
          "config.json of the base asks for an attention_dropout of "
              + model.attentionDropout()
              + " in training, which is not supported; set it to 0 (the base stays the same one)");
    }
    this.model = model;
    this.config = config;
    AdapterConfig adapter = config.adapter();
    layout = new AdapterLayout(model.config(), adapter);
    sequences = SequenceBuilder.of(tokenizer, model.config(), adapter);
    PromptTemplates prompts = sequences.templates();
    embedder = new Embedder(model, tokenizer, prompts, config.chunk() < 1 ? 64 : config.chunk());
    engine = new StepEngine(model, layout, config, initial == null ? initialValues() : initial);
  }

  /**
   * A trainer with fresh weights. Its adapter's prompts are {@link SequenceBuilder#settled}, so
   * {@link #config} may name an older encoding of the same ids than was asked for.
   */
  public static Trainer create(Lvlm model, TextTokenizer tokenizer, TrainingConfig config) {
    AdapterConfig settled = SequenceBuilder.settled(tokenizer, model.config(), config.adapter());
    return new Trainer(model, tokenizer, config.withAdapter(settled), null);
  }

  /**
   * A trainer that goes on from an adapter, with cleared moments. Rank, modules and prompts are the
   * adapter's; an adapter without prompts (a bare PEFT directory) takes the configuration's.
   */
  public static Trainer from(
      Lvlm model, TextTokenizer tokenizer, TrainingConfig config, AdapterWeights adapter) {
    AdapterConfig of = adapter.config();
    boolean bare = of.imageTemplate() == null || of.textTemplate() == null;
    AdapterConfig configured = config.adapter();
    TrainingConfig adapted =
        config.withAdapter(
            bare
                ? of.withPrompts(configured.imageTemplate(), configured.textTemplate())
                    .withPromptEncoding(configured.promptEncoding())
                : of);
    float[] flat = new AdapterLayout(model.config(), adapter.config()).flatten(adapter);
    return new Trainer(model, tokenizer, adapted, flat);
  }

  public TrainingConfig config() {
    return config;
  }

  /**
   * Where chunks are {@link TrainingConfig#AUTO}: how many rows at once a step on so many pairs
   * would have, if captions were of 16 and 64 tokens and images of the size of {@code picture}.
   *
   * @return 0 for all
   * @throws BadInputException with the numbers, if a step would not fit in what is free
   */
  public int plannedChunk(ImageGeometry picture, int pairs) {
    return config.chunk() == TrainingConfig.AUTO
        ? plannedChunk(picture, pairs, engine.available())
        : config.chunk();
  }

  int plannedChunk(ImageGeometry picture, int pairs, long available) {
    List<Row> rows = MemoryPlan.rows(sequences, picture, pairs, 16, 64);
    int chunk = engine.fitting(rows, Collections.nCopies(pairs, picture), available);
    if (chunk < 0) {
      int fits = pairs;
      while (fits > 2
          && engine.fitting(
                  MemoryPlan.rows(sequences, picture, fits, 16, 64),
                  Collections.nCopies(fits, picture),
                  available)
              < 0) {
        fits /= 2;
      }
      throw new BadInputException(
          String.format(
              Locale.ROOT,
              "a step on %d pairs takes %.1f GB even one row at a time; %.1f GB may be used (%.0f %%"
                  + " of what is free): %s",
              pairs,
              MemoryPlan.of(
                          model.architecture(),
                          0,
                          0,
                          config.adapter().rank(),
                          rows,
                          Collections.nCopies(pairs, picture),
                          1,
                          model.precision())
                      .step()
                  / 1e9,
              available / 1e9,
              100 * AvailableMemory.SHARE,
              fits > 2
                  ? "a batch of " + fits + " would fit"
                  : "no batch would fit, but smaller images or a smaller base might"));
    }
    return chunk;
  }

  /** How captions and images become rows: for whoever prepares pairs. */
  public SequenceBuilder sequences() {
    return sequences;
  }

  /** Optimizer steps taken since the start, over restores. */
  public long stepNumber() {
    return stepNumber;
  }

  /** The trainable weights now: a copy. */
  public AdapterWeights weights() {
    return layout.unflatten(engine.flat());
  }

  /**
   * Replaces the weights, for example by an earlier adapter; the step number goes on.
   *
   * @param clearMoments whether the optimizer forgets its moments; with other weights they describe
   *     another place
   */
  public void load(AdapterWeights weights, boolean clearMoments) {
    float[] zeros = new float[layout.size()];
    engine.restore(
        layout.flatten(weights),
        clearMoments ? zeros : engine.firstMoment(),
        clearMoments ? zeros : engine.secondMoment(),
        clearMoments ? 0 : engine.momentSteps());
  }

  /**
   * One optimizer step on one global batch. Pairs that share id, image digest or caption digest are
   * never each other's negatives. A step whose loss or gradient is not finite changes nothing and
   * says so.
   */
  public StepReport step(List<PreparedPair> pairs) {
    return step(pairs, 1);
  }

  /**
   * The same with the scheduled learning rate times a factor, for a caller that answers a change of
   * its data.
   */
  public StepReport step(List<PreparedPair> pairs, double rateFactor) {
    return step(pairs, null, rateFactor);
  }

  /**
   * The same where pairs are in groups that were chosen to be hard to tell apart.
   *
   * @param groups the number of each pair's group; of a pair that is shown again its complement;
   *     null: none. They change the report only.
   */
  public StepReport step(List<PreparedPair> pairs, int[] groups, double rateFactor) {
    if (pairs.isEmpty()) {
      throw new IllegalArgumentException("a batch must hold at least one pair");
    }
    long start = System.nanoTime();
    TrainingBatch batch = batch(pairs);
    StepEngine.Outcome outcome;
    double scale;
    double rate = config.optimizer().rate(stepNumber) * rateFactor;
    synchronized (model) {
      outcome = engine.step(batch, stepNumber, rateFactor);
      scale = Math.exp(engine.logScale());
    }
    if (!outcome.skipped()) {
      stepNumber++;
    }
    int n = batch.imageRows().length;
    return new StepReport(
        stepNumber,
        pairs.size(),
        outcome.skipped(),
        outcome.lossContrastive(),
        outcome.lossNextToken(),
        outcome.nextTokenAccuracy(),
        scale,
        rate,
        outcome.gradientNorm(),
        outcome.maskedNegatives(),
        recall(outcome.cosines(), batch.excluded(), n, false),
        recall(outcome.cosines(), batch.excluded(), n, true),
        recallApart(outcome.cosines(), batch.excluded(), contrastiveGroups(pairs, groups)),
        batch.rows().stream().mapToLong(Row::length).sum(),
        batch.rows().stream()
            .flatMapToInt(row -> Arrays.stream(row.images()))
            .mapToLong(image -> batch.images().get(image).tokens())
            .sum(),
        (System.nanoTime() - start) / 1e9,
        model
            .flops()
            .step(
                batch.rows(), batch.images().stream().map(ModelImage::geometry).toList(), layout));
  }

  /** Share of rows (or columns) whose own entry is strictly above all that count as negatives. */
  private static double recall(double[] cosines, boolean[] excluded, int n, boolean byImage) {
    if (cosines.length == 0) {
      return Double.NaN;
    }
    int hits = 0;
    for (int i = 0; i < n; i++) {
      boolean first = true;
      for (int j = 0; j < n && first; j++) {
        int at = byImage ? i * n + j : j * n + i;
        first = j == i || excluded[at] || cosines[at] < cosines[i * n + i];
      }
      hits += first ? 1 : 0;
    }
    return hits / (double) n;
  }

  /** Groups of the pairs that have a row in the contrastive loss; empty without groups. */
  private int[] contrastiveGroups(List<PreparedPair> pairs, int[] groups) {
    if (groups == null || config.objective().contrastiveWeight() <= 0) {
      return new int[0];
    }
    return IntStream.range(0, pairs.size())
        .filter(i -> pairs.get(i).shortCaption() != null)
        .map(i -> groups[i])
        .toArray();
  }

  /** As {@link #recall}, both directions, among pairs of other groups; NaN if there are none. */
  private static double recallApart(double[] cosines, boolean[] excluded, int[] groups) {
    int n = groups.length;
    int hits = 0;
    int asked = 0;
    for (int i = 0; i < n; i++) {
      boolean row = true;
      boolean column = true;
      boolean any = false;
      for (int j = 0; j < n && groups[i] >= 0; j++) {
        if (groups[j] == groups[i] || groups[j] == ~groups[i]) {
          continue;
        }
        any |= !excluded[i * n + j];
        row &= excluded[i * n + j] || cosines[i * n + j] < cosines[i * n + i];
        column &= excluded[j * n + i] || cosines[j * n + i] < cosines[i * n + i];
      }
      if (any) {
        asked += 2;
        hits += (row ? 1 : 0) + (column ? 1 : 0);
      }
    }
    return asked == 0 ? Double.NaN : hits / (double) asked;
  }

  /** Rows, images and masks of a batch; each distinct image is encoded once. */
  private TrainingBatch batch(List<PreparedPair> pairs) {
    List<Row> rows = new ArrayList<>();
    List<ModelImage> images = new ArrayList<>();
    Map<Object, Integer> imageOf = new HashMap<>();
    List<PreparedPair> contrastive = new ArrayList<>();
    List<Integer> imageRows = new ArrayList<>();
    List<Integer> textRows = new ArrayList<>();
    boolean nextToken = config.objective().nextTokenWeight() > 0;
    for (PreparedPair pair : pairs) {
      boolean isShort = pair.shortCaption() != null && config.objective().contrastiveWeight() > 0;
      boolean isLong = pair.longCaption() != null && nextToken;
      if (!isShort && !isLong) {
        continue;
      }
      int[] own = new int[pair.images().size()];
      for (int i = 0; i < own.length; i++) {
        ModelImage image = pair.images().get(i);
        own[i] =
            imageOf.computeIfAbsent(
                pair.imageDigest() == null ? image : pair.imageDigest() + "/" + i,
                key -> {
                  images.add(image);
                  return images.size() - 1;
                });
      }
      long seed = seed(pair.id(), "image");
      List<ImageGeometry> pictures = pair.images().stream().map(ModelImage::geometry).toList();
      long[] prompt = sequences.imageRow(pictures, true);
      int readout = isShort ? prompt.length - 1 : -1;
      if (isShort) {
        contrastive.add(pair);
        imageRows.add(rows.size());
      }
      rows.add(
          isLong
              ? nextTokenRow(pictures, pair.longCaption(), own, readout, seed)
              : new Row(prompt, own, null, false, readout, null, seed));
      if (isShort) {
        textRows.add(rows.size());
        long[] ids = sequences.textRow(pair.shortCaption(), true);
        rows.add(Row.embedding(ids, true).withSeed(seed(pair.id(), "text")));
      }
    }
    return new TrainingBatch(
        rows,
        images,
        imageRows.stream().mapToInt(Integer::intValue).toArray(),
        textRows.stream().mapToInt(Integer::intValue).toArray(),
        excluded(contrastive));
  }

  private Row nextTokenRow(
      List<ImageGeometry> pictures, long[] caption, int[] images, int readout, long seed) {
    int prompt = sequences.imageRow(pictures, true).length;
    long[] ids = sequences.nextTokenRow(pictures, caption, true);
    long[] targets = new long[ids.length];
    Arrays.fill(targets, -1);
    for (int t = prompt - 1; t < ids.length - 1; t++) {
      targets[t] = ids[t + 1];
    }
    return new Row(ids, images, null, false, readout, targets, seed);
  }

  private static boolean[] excluded(List<PreparedPair> pairs) {
    int n = pairs.size();
    boolean[] excluded = new boolean[n * n];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        PreparedPair a = pairs.get(i);
        PreparedPair b = pairs.get(j);
        excluded[i * n + j] =
            i != j
                && (a.id().equals(b.id())
                    || same(a.imageDigest(), b.imageDigest())
                    || same(a.captionDigest(), b.captionDigest()));
      }
    }
    return excluded;
  }

  /** Whether two digests are known and equal. */
  private static boolean same(String a, String b) {
    return a != null && a.equals(b);
  }

  private long seed(String id, String what) {
    long hash = mix(config.seed() + 0x9e3779b97f4a7c15L);
    hash = mix(hash ^ stepNumber);
    for (int i = 0; i < id.length(); i++) {
      hash = mix(hash ^ id.charAt(i));
    }
    return mix(hash ^ what.hashCode());
  }

  /** The finaliser of SplitMix64 (Steele, Lea, Flood 2014). */
  private static long mix(long z) {
    z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
    z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
    return z ^ (z >>> 31);
  }

  /**
   * A uniform in +-1/sqrt(in) (PEFT's Kaiming initialisation with a = sqrt 5), B zero, soft vectors
   * from the words they replace, cycled or cut to their number.
   */
  private float[] initialValues() {
    float[] flat = new float[layout.size()];
    layout.fill(
        flat,
        (name, rows, columns) -> {
          float[] values = new float[rows * columns];
          if (name.endsWith("lora_A.weight")) {
            SplittableRandom random = new SplittableRandom(mix(config.seed()) ^ name.hashCode());
            double bound = 1 / Math.sqrt(columns);
            for (int i = 0; i < values.length; i++) {
              values[i] = (float) random.nextDouble(-bound, bound);
            }
          } else if (name.startsWith("soft_prompt.")) {
            boolean image = name.endsWith("image");
            long[] words = image ? sequences.imageWords() : sequences.textWords();
            if (words.length == 0) {
              throw new BadInputException(
                  "the prompt template "
                      + (image ? config.adapter().imageTemplate() : config.adapter().textTemplate())
                      + " has no words in [..] for the soft vectors to start from");
            }
            float[] table = model.tokenEmbeddings(words);
            for (int i = 0; i < rows; i++) {
              System.arraycopy(table, (i % words.length) * columns, values, i * columns, columns);
            }
          }
          return values;
        });
    flat[flat.length - 1] = (float) Math.log(config.objective().logitScale());
    return flat;
  }

  /** Image embeddings [n][d] with any adapter; null for the base with the hand prompt. */
  public float[][] embedImages(AdapterWeights adapter, List<ModelImage> images) {
    return embedder.embedImages(adapter, images);
  }

  /** Text embeddings [n][d] with any adapter; null for the base with the hand prompt. */
  public float[][] embedTexts(AdapterWeights adapter, List<long[]> captions) {
    return embedder.embedTexts(adapter, captions);
  }

  /**
   * Writes what a later trainer of the same base and configuration needs to go on at the next step
   * with the same bytes: step number, weights, moments and the steps they have seen. About 12 bytes
   * per trainable value.
   */
  public void writeState(DataOutputStream out) throws IOException {
    out.writeInt(STATE_VERSION);
    out.writeUTF(model.baseDigest());
    out.writeUTF(layoutKey());
    out.writeLong(stepNumber);
    out.writeLong(engine.momentSteps());
    out.writeInt(layout.size());
    engine.write(out);
  }

  /**
   * Reads what {@link #writeState} wrote.
   *
   * @throws BadInputException if it belongs to another base or another adapter configuration;
   *     nothing is changed then
   */
  public void readState(DataInputStream in) throws IOException {
    int version = in.readInt();
    if (version < 1 || version > STATE_VERSION) {
      throw new BadInputException(
          "trainer state has version " + version + ", this build reads 1 to " + STATE_VERSION);
    }
    String base = in.readUTF();
    if (!base.equals(model.baseDigest())) {
      throw new BadInputException(
          "trainer state belongs to base model "
              + base
              + ", the configured one is "
              + model.baseDigest());
    }
    String key = in.readUTF();
    if (!key.equals(layoutKey())) {
      throw new BadInputException(
          "trainer state was written with the adapter configuration "
              + key
              + ", the configured one is "
              + layoutKey()
              + (key.equals(config.adapter().withPromptEncoding(PromptEncoding.PIECES).stateKey())
                  ? "; with adapter.promptEncoding: PIECES it goes on as it was"
                  : ""));
    }
    long step = in.readLong();
    // The first version's moments were corrected by the trainer's number of steps, always.
    long momentSteps = version == 1 ? step : in.readLong();
    int size = in.readInt();
    if (size != layout.size()) {
      throw new BadInputException(
          "trainer state holds " + size + " values, this model has " + layout.size());
    }
    float[] flat = read(in, size);
    float[] first = read(in, size);
    float[] second = read(in, size);
    engine.restore(flat, first, second, momentSteps);
    stepNumber = step;
  }

  private String layoutKey() {
    return config.adapter().stateKey();
  }

  private static float[] read(DataInputStream in, int size) throws IOException {
    byte[] bytes = new byte[Math.multiplyExact(size, Float.BYTES)];
    in.readFully(bytes);
    FloatBuffer buffer = ByteBuffer.wrap(bytes).asFloatBuffer();
    float[] values = new float[size];
    buffer.get(values);
    return values;
  }

  @Override
  public void close() {
    engine.close();
  }
}
