package io.whetstream.model.lvlm;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.NDScope;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.JniUtils;
import ai.djl.pytorch.jni.LibUtils;
import io.whetstream.model.BadInputException;
import io.whetstream.model.NativeWork;
import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ModelImage;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A frozen base model on DJL's PyTorch engine: vision tower, connector and decoder as TorchScript
 * functions ({@link Script}) of weights that this class holds in native memory. Forward passes take
 * an adapter as a flat vector (see {@link AdapterLayout}).
 *
 * <p>Threads: one call at a time; callers that share an instance synchronise on it. Whoever calls a
 * {@link Script} works inside {@link #step}, which frees everything that was not kept.
 *
 * <p>Why not DJL's own operators: scalar overloads ({@code x.mul(2f)}) hand autograd memory that
 * Java's garbage collector may free before the backward pass, and one call per operator costs
 * microseconds each. Inside TorchScript neither happens.
 */
public final class Lvlm implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(Lvlm.class);

  private final ModelConfig config;
  private final Architecture architecture;
  private final String baseDigest;
  private final Precision precision;
  private final PtNDManager manager;
  private final Script bare;
  private final Map<Map<String, String>, Script> adapted = new HashMap<>();
  private final List<NDArray> vision;
  private final List<NDArray> decoder;
  private final List<NDArray> lineEnd;
  private final WeightList decoderList;
  private final long loadedBytes;
  private double attentionDropout;
  private boolean closed;

  Lvlm(ModelConfig config, String baseDigest, WeightSource source, LvlmOptions options) {
    this.config = config;
    architecture = config.architecture();
    this.baseDigest = baseDigest;
    precision = options.precision();
    // Before anything touches the engine: its static initialiser reads these.
    System.setProperty("ai.djl.offline", System.getProperty("ai.djl.offline", "true"));
    System.setProperty("OPT_OUT_TRACKING", System.getProperty("OPT_OUT_TRACKING", "true"));
    LibUtils.loadLibrary();
    manager =
        (PtNDManager)
            NDManager.newBaseManager(
                options.djlDevice(ai.djl.engine.Engine.getEngine("PyTorch").getGpuCount()),
                "PyTorch");
    prepareThread();
    try {
      if (options.threads() > 0) {
        JniUtils.setNumThreads(options.threads());
      }
      bare = script(List.of());
      try (WeightLoader loader = new WeightLoader(this, source)) {
        vision = named(loader.load(WeightSlot.vision(architecture), false), "v[]");
        lineEnd = named(loader.load(WeightSlot.lineEnd(architecture), false), "line_end");
        decoderList = WeightSlot.decoder(architecture);
        decoder = named(loader.load(decoderList, true), "w[]");
        loadedBytes = loader.bytes();
      }
    } catch (RuntimeException e) {
      manager.close();
      throw e;
    }
  }

  /**
   * Loads a model's weights into native memory.
   *
   * @throws BadInputException if a tensor is missing or has another shape than the configuration
   *     says
   */
  public static Lvlm open(Checkpoint checkpoint, LvlmOptions options) {
    String digest = checkpoint.digest();
    long start = System.nanoTime();
    Lvlm model =
        NativeWork.run(
            () -> new Lvlm(checkpoint.config(), digest, WeightSource.of(checkpoint), options));
    model.attentionDropout = checkpoint.attentionDropout();
    LOG.info(
        "Loaded {}: {} MB of weights in {} on {}, in {} s",
        checkpoint.directory(),
        model.loadedBytes >> 20,
        options.precision().name().toLowerCase(Locale.ROOT),
        model.manager.getDevice(),
        (System.nanoTime() - start) / 100_000_000 / 10.0);
    return model;
  }

  /**
   * A model whose weights lie in a flat vector, of which it takes a copy.
   *
   * @param name stands where the digest of a checkpoint would
   */
  public static Lvlm of(
      ModelConfig config, WholeLayout layout, float[] flat, String name, LvlmOptions options) {
    return new Lvlm(config, name, WeightSource.of(part -> layout.values(flat, part)), options);
  }

  /** The network. */
  public Architecture architecture() {
    return architecture;
  }

  public ModelConfig config() {
    return config;
  }

  /** Identity of the base weights: {@link Checkpoint#digest}. */
  public String baseDigest() {
    return baseDigest;
  }

  /** The dropout of attention weights that Hugging Face would train with; passes here have none. */
  public double attentionDropout() {
    return attentionDropout;
  }

  /** Bytes of the weights in memory. */
  public long loadedBytes() {
    return loadedBytes;
  }

  public Precision precision() {
    return precision;
  }

  /** The manager whose arrays live as long as this model. */
  public NDManager manager() {
    return manager;
  }

  /** Settings that libtorch keeps per thread; cheap, called at the start of every piece of work. */
  private static void prepareThread() {
    // Without it TorchScript spends the first runs of each method profiling; as fast without.
    JniUtils.setGraphExecutorOptimize(false);
    // Gradient mode is on in new threads; training turns it on for exactly what it differentiates.
    JniUtils.setGradMode(false);
  }

  /** Work whose native arrays end with it. */
  public interface Step<T> {
    T run(NDManager step);
  }

  /**
   * Runs work and frees every native array it made, whether it returned or threw. Both a manager
   * and a scope are needed: results attach to the manager of their left operand, which may be this
   * model's.
   */
  public <T> T step(Step<T> work) {
    if (closed) {
      throw new IllegalStateException("the model is closed");
    }
    return NativeWork.run(
        () -> {
          prepareThread();
          try (NDManager step = manager.newSubManager();
              NDScope scope = new NDScope()) {
            scope.suppressNotUsedWarning();
            return work.run(step);
          } finally {
            JniUtils.setGradMode(false);
          }
        });
  }

  /**
   * A module of this model's passes without an adapter, and of more parts, in which the model's
   * constants are filled in too. Lives as long as the model.
   */
  public Script script(List<ScriptPart> more) {
    ScriptPart none = ScriptPart.of(Lvlm.class, "adapter_none", Map.of());
    return new Script(manager, TorchScriptArchive.assemble(architecture, precision, none, more));
  }

  /** The passes with adapters of a layout; made once for each that there is. */
  private Script adapted(Map<String, String> constants) {
    return adapted.computeIfAbsent(
        constants,
        key -> {
          ScriptPart lora = ScriptPart.of(Lvlm.class, "adapter_lora", key);
          return new Script(
              manager, TorchScriptArchive.assemble(architecture, precision, lora, List.of()));
        });
  }

  NDList call(String method, NDList arguments) {
    return bare.call(method, arguments);
  }

  /** The data type of adapters, embeddings and losses: 64 bit in {@link Precision#FP64} only. */
  public DataType wideType() {
    return precision == Precision.FP64 ? DataType.FLOAT64 : DataType.FLOAT32;
  }

  /** A float array as a native array of {@link #wideType}. */
  public NDArray wide(NDManager step, float[] values, Shape shape) {
    NDArray array = step.create(values, shape);
    return precision == Precision.FP64 ? array.toType(DataType.FLOAT64, false) : array;
  }

  /**
   * Projected image features. Images of equal geometry go through the vision tower together.
   *
   * @param chunk how many inputs of the vision tower are computed at once at most
   * @return owned by {@code step}
   */
  public ImageFeatures features(NDManager step, List<ModelImage> images, int chunk) {
    Map<ImageGeometry, List<Integer>> alike = new LinkedHashMap<>();
    for (int i = 0; i < images.size(); i++) {
      alike.computeIfAbsent(images.get(i).geometry(), key -> new ArrayList<>()).add(i);
    }
    int[] counts = ImageFeatures.counts(images);
    int[] begins = new int[counts.length];
    int begin = 0;
    NDList parts = new NDList();
    for (Map.Entry<ImageGeometry, List<Integer>> entry : alike.entrySet()) {
      for (int image : entry.getValue()) {
        begins[image] = begin;
        begin = Math.addExact(begin, counts[image]);
      }
      int atOnce = Math.max(1, chunk / entry.getKey().inputs());
      for (int from = 0; from < entry.getValue().size(); from += atOnce) {
        int to = Math.min(from + atOnce, entry.getValue().size());
        List<ModelImage> some =
            entry.getValue().subList(from, to).stream().map(images::get).toList();
        if (architecture.tower().dynamic() != null) {
          parts.addAll(call("features", dynamicArguments(step, some, PatchPlan::bySize)));
        } else {
          NDList arguments = new NDList(pixels(step, some));
          arguments.addAll(vision);
          parts.add(packed(step, call("features", arguments).head(), some));
        }
      }
    }
    return new ImageFeatures(
        together(step, parts), begins, counts, images.stream().map(ModelImage::geometry).toList());
  }

  /**
   * Pixels, plan and weights for {@code tower_dynamic.py}.
   *
   * @param arrange puts the picture's windows in another order, which changes no feature
   */
  private NDList dynamicArguments(
      NDManager step, List<ModelImage> alike, UnaryOperator<PatchPlan> arrange) {
    ImageGeometry geometry = alike.get(0).geometry();
    int patch = architecture.tower().patchSize();
    int headDim = architecture.tower().width() / architecture.tower().heads();
    int high = geometry.height() / patch;
    int wide = geometry.width() / patch;
    PatchPlan plan = arrange.apply(PatchPlan.of(architecture.tower().dynamic(), high, wide, patch));
    long[] order = new long[plan.size()];
    for (int p = 0; p < order.length; p++) {
      order[p] = (long) plan.rows()[p] * wide + plan.columns()[p];
    }
    float[] angles = plan.angles(headDim);
    float[] cos = new float[angles.length];
    float[] sin = new float[angles.length];
    for (int i = 0; i < angles.length; i++) {
      cos[i] = (float) Math.cos(angles[i]);
      sin[i] = (float) Math.sin(angles[i]);
    }
    LongList windows = new LongList();
    for (PatchPlan.Windows run : plan.runs()) {
      windows.add(run.count());
      windows.add(run.size());
    }
    int side = architecture.tower().dynamic().positionSide();
    Gathering positions =
        side == 0 ? new Gathering(4, new int[0], new float[0]) : plan.positions(side, high, wide);
    Shape angleShape = new Shape(plan.size(), headDim / 2);
    Shape taps = new Shape(positions.size(), 4);
    NDList arrays =
        new NDList(
            step.create(order, new Shape(order.length)),
            step.create(cos, angleShape),
            step.create(sin, angleShape),
            windows.array(host(step)).reshape(-1, 2),
            step.create(longs(plan.reverse()), new Shape(plan.blocks().length)),
            step.create(longs(positions.indices()), taps),
            step.create(positions.weights(), taps));
    named(arrays, "plan[]");
    NDList arguments = new NDList(pixels(step, alike));
    arguments.addAll(arrays);
    arguments.addAll(vision);
    return arguments;
  }

  private static long[] longs(int[] values) {
    return Arrays.stream(values).asLongStream().toArray();
  }

  /** What a row holds of the projected features of images of one geometry. */
  private NDArray packed(NDManager step, NDArray projected, List<ModelImage> alike) {
    ImageGeometry geometry = alike.get(0).geometry();
    Gathering gathering = FeaturePacking.of(architecture, geometry);
    if (gathering == null) {
      return projected;
    }
    int own = geometry.inputs() * architecture.connector().tokens();
    int[] one = gathering.indices();
    long[] indices = new long[alike.size() * one.length];
    for (int i = 0; i < indices.length; i++) {
      int index = one[i % one.length];
      indices[i] = index == own ? (long) own * alike.size() : index + (long) i / one.length * own;
    }
    float[] weights = new float[gathering.weights() == null ? 0 : indices.length];
    for (int i = 0; i < weights.length; i++) {
      weights[i] = gathering.weights()[i % one.length];
    }
    int rows = alike.size() * gathering.size();
    return call(
            "gather",
            new NDList(
                projected,
                lineEnd.get(0),
                step.create(indices, new Shape(indices.length)),
                step.create(
                    weights,
                    weights.length == 0 ? new Shape(0, 1) : new Shape(rows, gathering.taps()))))
        .head();
  }

  /** Pixels of images of one geometry: [images * inputs, 3, height, width]. */
  NDArray pixels(NDManager step, List<ModelImage> alike) {
    ImageGeometry geometry = alike.get(0).geometry();
    geometry.requireSide(architecture.tower().imageSize());
    FloatBuffer buffer = FloatBuffer.allocate(Math.multiplyExact(alike.size(), geometry.values()));
    alike.forEach(image -> buffer.put(image.pixels()));
    long inputs = (long) alike.size() * geometry.inputs();
    return step.create(buffer.array(), new Shape(inputs, 3, geometry.height(), geometry.width()));
  }

  /**
   * What a script of a whole model computes with besides its weights, where images are squares of
   * one size: {@code rows[]}, the pixels of their images, and {@code rotary[]}, the tables of
   * positions. Features are made within the script, image by image: they have a gradient.
   */
  public NDList inputs(NDManager step, List<Row> rows, List<ModelImage> images) {
    int[] counts = ImageFeatures.counts(images);
    int[] begins = new int[counts.length];
    for (int i = 1; i < begins.length; i++) {
      begins[i] = begins[i - 1] + counts[i - 1];
    }
    List<ImageGeometry> geometries = images.stream().map(ModelImage::geometry).toList();
    ImageFeatures features = new ImageFeatures(null, begins, counts, geometries);
    NDList arguments = rowArrays(step, rows, features, 0, false);
    int side = architecture.tower().imageSize();
    arguments.add(
        images.isEmpty()
            ? step.create(new float[0], new Shape(0, 3, side, side))
            : pixels(step, images));
    for (String table : List.of("cos", "sin")) {
      // Another handle: weight arrays carry the name of their list.
      NDArray angles = decoderWeight(table).duplicate();
      angles.setName("rotary[]");
      arguments.add(angles);
    }
    return arguments;
  }

  private NDArray together(NDManager step, NDList parts) {
    if (parts.isEmpty()) {
      return step.zeros(new Shape(0, architecture.featureWidth()));
    }
    if (parts.size() == 1) {
      return parts.head();
    }
    // In TorchScript, not NDArray.concat: bfloat16 arrays must not meet DJL's own operators.
    NDList arguments = new NDList(step.create(0));
    for (NDArray part : parts) {
      part.setName("parts[]");
      arguments.add(part);
    }
    return call("stack", arguments).head();
  }

  /** Result of one unit of rows; arrays carry gradients if gradient mode was on. */
  public record UnitOutput(NDArray embeddings, NDArray nextTokenSum, NDArray nextTokenHits) {}

  /**
   * Everything about an adapter that forward passes need, in native memory; made once for any
   * number of them.
   *
   * @param tensors what {@code decoder.py} calls the adapter list
   * @param script the passes with adapters of its layout and dropout
   */
  public record NativeAdapter(NDList tensors, Script script, int softImage) {
    /** The same with other tensors of the same meaning. */
    public NativeAdapter with(NDList others) {
      return new NativeAdapter(named(others, "a[]"), script, softImage);
    }
  }

  /**
   * An adapter for {@link #unit}; differentiable towards {@code flat} if gradient mode is on.
   *
   * @param layout null for the bare base model
   * @param flat the layout's vector, in {@link #wideType}; ignored without layout
   * @param dropout probability of LoRA dropout; 0 outside training
   */
  public NativeAdapter adapter(NDManager step, AdapterLayout layout, NDArray flat, double dropout) {
    if (layout == null) {
      NDList none = new NDList(step.zeros(new Shape(0, architecture.decoder().width())));
      return new NativeAdapter(named(none, "a[]"), bare, 0);
    }
    Script script = adapted(layout.constants(dropout));
    NDList arguments = new NDList(flat);
    arguments.addAll(decoder);
    return new NativeAdapter(
        named(script.call("adapter", arguments), "a[]"), script, layout.config().softImage());
  }

  /**
   * Where arrays are made whose numbers the passes read one by one: in the host's memory, since
   * reading from a device waits for it. Lives as long as its parent.
   */
  public static NDManager host(NDManager step) {
    return step.newSubManager(ai.djl.Device.cpu());
  }

  /**
   * Runs rows through the decoder.
   *
   * @param features from {@link #features}; rows name images by index into it
   * @return embeddings of the rows that have a read-out, in order, [e, d] of unit length; the sum
   *     of the next-token cross entropies; the number of targets ranked first
   */
  public UnitOutput unit(
      NDManager step, List<Row> rows, ImageFeatures features, NativeAdapter adapter) {
    NDList arguments = rowArrays(step, rows, features, adapter.softImage(), false);
    arguments.add(features.values());
    arguments.addAll(adapter.tensors());
    arguments.addAll(decoder);
    NDList result = adapter.script().call("unit", arguments);
    return new UnitOutput(result.get(0), result.get(1), result.get(2));
  }

  /** Every intermediate of the vision side, named as in the golden files. */
  Map<String, NDArray> traceVision(NDManager step, List<ModelImage> alike) {
    Map<String, NDArray> named = new HashMap<>();
    int layers = architecture.tower().layers().size();
    if (architecture.tower().dynamic() != null) {
      NDList states = call("trace_vision", dynamicArguments(step, alike, UnaryOperator.identity()));
      for (int i = 0; i <= layers; i++) {
        named.put("vision.hidden_states." + i, states.get(i));
      }
      NDList stacked =
          states.get(layers + 1).split(1 + architecture.connector().deepstack().size(), 2);
      named.put("image_features", stacked.get(0));
      if (states.size() > layers + 2) {
        named.put("vision.pos_embeds", states.get(layers + 2));
      }
      for (int k = 1; k < stacked.size(); k++) {
        named.put("deepstack_features." + (k - 1), stacked.get(k));
      }
      return named;
    }
    NDList arguments = new NDList(pixels(step, alike));
    arguments.addAll(vision);
    NDList states = call("trace_vision", arguments);
    for (int i = 0; i <= layers; i++) {
      named.put("vision.hidden_states." + i, states.get(i));
    }
    named.put("vision.selected", states.get(layers + 1));
    NDArray projected = states.get(layers + 2);
    named.put("projected", projected);
    named.put("vision.pixel_shuffled", states.get(layers + 3));
    named.put(
        "image_features", packed(step, projected.reshape(-1, architecture.featureWidth()), alike));
    return named;
  }

  /** Every intermediate of the decoder, named as in the golden files, each [B, L, .]. */
  Map<String, NDArray> traceDecoder(
      NDManager step, List<Row> rows, ImageFeatures features, NativeAdapter adapter) {
    NDList arguments = rowArrays(step, rows, features, adapter.softImage(), true);
    arguments.add(features.values());
    arguments.addAll(adapter.tensors());
    arguments.addAll(decoder);
    NDList states = adapter.script().call("trace_decoder", arguments);
    Map<String, NDArray> named = new HashMap<>();
    int layers = architecture.decoder().layers().size();
    named.put("inputs_embeds", states.get(0));
    int deepstack = architecture.connector().deepstack().size();
    int at = 1;
    for (int i = 0; i < layers; i++) {
      if (i < deepstack) {
        named.put("decoder.layers." + i + ".before_deepstack", states.get(at++));
      }
      named.put("decoder.layers." + i, states.get(at++));
    }
    named.put("decoder.norm", states.get(at++));
    named.put("logits", states.get(at));
    return named;
  }

  /**
   * The arrays that {@code objective.py} calls rows. Tokens of all rows one after another, rows of
   * equal length side by side.
   *
   * @param padded whether rows are padded to the longest, in their order, and all positions are
   *     kept to the end: for looking at intermediates
   */
  NDList rowArrays(
      NDManager step, List<Row> given, ImageFeatures features, int softImage, boolean padded) {
    List<Row> rows = given.stream().map(row -> positioned(row, features)).toList();
    int longest = rows.stream().mapToInt(Row::length).max().orElse(0);
    List<Integer> order = new ArrayList<>();
    for (int r = 0; r < rows.size(); r++) {
      order.add(r);
    }
    if (!padded) {
      order.sort(Comparator.comparingInt(r -> rows.get(r).length()));
    }
    int tokens = padded ? longest * rows.size() : rows.stream().mapToInt(Row::length).sum();
    long[] ids = new long[tokens];
    int axes =
        rows.stream()
            .mapToInt(row -> row.positions() == null ? 1 : row.positions().length)
            .max()
            .orElse(1);
    long[] positions = new long[Math.multiplyExact(axes, tokens)];
    long[] seeds = new long[tokens];
    long[] places = new long[tokens];
    Arrays.fill(ids, Math.max(0, Math.min(config.padTokenId(), config.text().vocabSize() - 1)));
    LongList groups = new LongList();
    LongList image = new LongList();
    LongList featureRows = new LongList();
    LongList soft = new LongList();
    LongList softRows = new LongList();
    long[] readouts = new long[rows.size()];
    LongList targetPositions = new LongList();
    LongList targets = new LongList();
    LongList kept = new LongList();
    Arrays.fill(readouts, -1);
    int base = 0;
    int equal = 0;
    for (int o = 0; o < order.size(); o++) {
      int r = order.get(o);
      Row row = rows.get(r);
      int length = padded ? longest : row.length();
      int[] images = row.images();
      int imageTokens = 0;
      int current = 0;
      int within = 0;
      for (int i = 0; i < length; i++) {
        for (int axis = 0; axis < axes; axis++) {
          positions[axis * tokens + base + i] = position(row, axis, i);
        }
        seeds[base + i] = row.seed();
        places[base + i] = i;
      }
      for (int i = 0; i < row.length(); i++) {
        long id = row.ids()[i];
        if (id < 0) {
          soft.add(base + i);
          softRows.add((row.textSide() ? softImage : 0) - id - 1);
          id = 0;
        } else if (id == config.imageTokenId() && images.length > 0) {
          imageTokens++;
          if (current < images.length) {
            image.add(base + i);
            featureRows.add(features.begins()[images[current]] + (long) within++);
            if (within == features.counts()[images[current]]) {
              current++;
              within = 0;
            }
          }
        }
        ids[base + i] = id;
        boolean target = row.targets() != null && row.targets()[i] >= 0;
        if (row.readout() == i) {
          readouts[r] = kept.count;
        }
        if (target) {
          targetPositions.add(kept.count);
          targets.add(row.targets()[i]);
        }
        if (target || row.readout() == i) {
          kept.add(base + i);
        }
      }
      if (imageTokens != features.total(images)) {
        throw new BadInputException(
            "a row holds "
                + imageTokens
                + " image tokens, its images have "
                + features.total(images));
      }
      base += length;
      equal++;
      boolean last = o + 1 == order.size();
      if (last || (!padded && rows.get(order.get(o + 1)).length() != length)) {
        groups.add(equal);
        groups.add(length);
        equal = 0;
      }
    }
    NDList arrays = new NDList();
    arrays.add(step.create(ids, new Shape(tokens)));
    arrays.add(image.array(step));
    arrays.add(soft.array(step));
    arrays.add(softRows.array(step));
    long[] asked = Arrays.stream(readouts).filter(place -> place >= 0).toArray();
    arrays.add(step.create(asked, new Shape(asked.length)));
    arrays.add(targetPositions.array(step));
    arrays.add(targets.array(step));
    arrays.add(featureRows.array(step));
    arrays.add(step.create(positions, axes == 1 ? new Shape(tokens) : new Shape(axes, tokens)));
    arrays.add(groups.array(host(step)).reshape(-1, 2));
    arrays.add(kept.array(step));
    arrays.add(step.create(seeds, new Shape(tokens)));
    arrays.add(step.create(places, new Shape(tokens)));
    return named(arrays, "rows[]");
  }

  /** A row with its positions, where its images decide them. */
  private Row positioned(Row row, ImageFeatures features) {
    if (architecture.decoder().rotary().axes().isEmpty() || row.positions() != null) {
      return row;
    }
    List<ImageGeometry> own =
        Arrays.stream(row.images()).mapToObj(features.geometries()::get).toList();
    int pixels = architecture.tower().patchSize() * architecture.tower().dynamic().merge();
    return new Row(
        row.ids(),
        row.images(),
        TokenPositions.of(row.ids(), config.imageTokenId(), own, pixels),
        row.textSide(),
        row.readout(),
        row.targets(),
        row.seed());
  }

  /** A token's place on an axis; a row without places of its own counts alike on all. */
  private static long position(Row row, int axis, int token) {
    long[][] positions = row.positions();
    if (positions == null || token >= row.length()) {
      return token;
    }
    return positions[positions.length == 1 ? 0 : axis][token];
  }

  private static NDList named(NDList arrays, String name) {
    arrays.forEach(array -> array.setName(name));
    return arrays;
  }

  /**
   * Rows of the token embedding table.
   *
   * @return [ids.length, d], row-major
   */
  public float[] tokenEmbeddings(long[] ids) {
    if (ids.length == 0) {
      return new float[0];
    }
    return step(
        step -> {
          NDList arguments =
              new NDList(step.create(ids, new Shape(ids.length)), decoderWeight("embeddings"));
          arguments.get(1).setName("w[]");
          return call("lookup", arguments).head().toType(DataType.FLOAT32, false).toFloatArray();
        });
  }

  /** The decoder's weight at a place outside its layers. */
  NDArray decoderWeight(String place) {
    return decoder.get(decoderList.places().index(place));
  }

  /** Useful floating-point operations of one forward pass; multiply-add counts as two. */
  public Flops flops() {
    return new Flops(architecture);
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      manager.close();
    }
  }

  /** A growing list of longs that becomes a native array. */
  private static final class LongList {
    private long[] values = new long[64];
    private int count;

    void add(long value) {
      if (count == values.length) {
        values = Arrays.copyOf(values, 2 * count);
      }
      values[count++] = value;
    }

    NDArray array(NDManager step) {
      return step.create(Arrays.copyOf(values, count), new Shape(count));
    }
  }
}
