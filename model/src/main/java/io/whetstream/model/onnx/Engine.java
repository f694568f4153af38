package io.whetstream.model.onnx;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import io.whetstream.model.BadInputException;
import io.whetstream.model.NativeWork;
import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.checkpoint.Architecture.Tower;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.DynamicVision;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.FeaturePacking;
import io.whetstream.model.lvlm.Gathering;
import io.whetstream.model.lvlm.PatchPlan;
import io.whetstream.model.lvlm.TokenPositions;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.IntFunction;

/**
 * The two ONNX Runtime sessions of one model: vision tower with projector, and decoder. They are
 * apart so that images and texts share one copy of the decoder's weights. There is one engine per
 * process, model and options, shared by all scorers: weights are large, and ONNX Runtime's sessions
 * serve any number of threads.
 */
final class Engine {
  /** What makes two engines the same. */
  record Key(String baseDigest, String device, int threads, boolean int8) {}

  /** Pixel values of one call of the vision tower, about: 256 MiB. */
  private static final int MOST_PIXELS = 1 << 26;

  private static final Map<Key, Engine> OPEN = new HashMap<>();

  private final ModelConfig config;
  private final Architecture architecture;
  private final boolean int8;
  private final OrtEnvironment environment;
  private final OrtSession vision;
  private final OrtSession decoder;
  private final OnnxTensor imageSide;
  private final OnnxTensor textSide;
  private final OnnxTensor noFeatures;
  private final float[] lineEnd;
  private final Queue<Workspace> workspaces = new ConcurrentLinkedQueue<>();
  private final References references;

  /** An engine for a model; the caller releases it. */
  static Engine shared(Checkpoint checkpoint, ScorerOptions options) {
    Key key = new Key(checkpoint.digest(), options.device(), options.threads(), options.int8());
    synchronized (OPEN) {
      Engine open = OPEN.get(key);
      if (open != null && open.references.tryRetain()) {
        return open;
      }
      Engine engine = new Engine(key, checkpoint, options);
      OPEN.put(key, engine);
      return engine;
    }
  }

  private Engine(Key key, Checkpoint checkpoint, ScorerOptions options) {
    config = checkpoint.config();
    architecture = config.architecture();
    Architecture.Packing packing = architecture.connector().packing();
    lineEnd = packing == null ? null : checkpoint.floats(packing.lineEnd().name());
    int8 = options.int8();
    environment = OnnxRuntime.environment();
    OnnxExporter exporter = new OnnxExporter(checkpoint, options.int8());
    Path directory =
        options.cache() == null
            ? checkpoint.directory().resolve(".whetstream").resolve("onnx")
            : options.cache();
    ExportCache cache = new ExportCache(directory, exporter, key.baseDigest(), options.int8());
    OrtSession made = null;
    try {
      made = session(key, cache, exporter, options, OnnxExporter.Graph.VISION);
      vision = made;
      decoder = session(key, cache, exporter, options, OnnxExporter.Graph.DECODER);
      made = null;
      imageSide = OnnxTensor.createTensor(environment, longs(1).put(0, 0), new long[] {1});
      textSide = OnnxTensor.createTensor(environment, longs(1).put(0, 1), new long[] {1});
      noFeatures =
          OnnxTensor.createTensor(
              environment, floats(0), new long[] {0, architecture.featureWidth()});
    } catch (OrtException e) {
      throw new BadInputException(
          checkpoint.directory() + ": ONNX Runtime cannot load the model: " + e.getMessage(), e);
    } finally {
      close(made);
    }
    references = new References("scoring engine", () -> close(key));
  }

  private static void close(OrtSession session) {
    if (session != null) {
      try {
        session.close();
      } catch (OrtException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  private OrtSession session(
      Key key,
      ExportCache cache,
      OnnxExporter exporter,
      ScorerOptions options,
      OnnxExporter.Graph graph)
      throws OrtException {
    try {
      OrtSession session = session(cache.get(graph), exporter, options);
      Map<String, String> metadata = session.getMetadata().getCustomMetadata();
      if (key.baseDigest().equals(metadata.get(OnnxExporter.BASE_DIGEST))
          && Integer.toString(OnnxExporter.VERSION)
              .equals(metadata.get(OnnxExporter.EXPORTER_VERSION))) {
        return session;
      }
      session.close();
    } catch (OrtException e) {
      // A damaged file of the cache; if it was not, the new graph fails alike.
    }
    return session(cache.refresh(graph), exporter, options);
  }

  private OrtSession session(byte[] model, OnnxExporter exporter, ScorerOptions options)
      throws OrtException {
    try (OrtSession.SessionOptions session = new OrtSession.SessionOptions()) {
      session.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR);
      session.setInterOpNumThreads(1);
      if (options.threads() > 0) {
        session.setIntraOpNumThreads(options.threads());
      }
      session.addConfigEntry("session.intra_op.allow_spinning", "0");
      session.addConfigEntry(
          "session.model_external_initializers_file_folder_path",
          exporter.weightsFolder().toString());
      if (options.gpu() >= 0) {
        addCuda(session, options.gpu());
      }
      return NativeWork.run(() -> environment.createSession(model, session));
    }
  }

  private static void addCuda(OrtSession.SessionOptions session, int gpu) {
    try {
      session.addCUDA(gpu);
    } catch (OrtException e) {
      throw new BadInputException(
          "scoring device gpu:"
              + gpu
              + " cannot be used: "
              + e.getMessage()
              + ". It needs onnxruntime_gpu instead of onnxruntime on the class path, and CUDA",
          e);
    }
  }

  ModelConfig config() {
    return config;
  }

  Architecture architecture() {
    return architecture;
  }

  boolean int8() {
    return int8;
  }

  References references() {
    return references;
  }

  private void close(Key key) {
    synchronized (OPEN) {
      OPEN.remove(key, this);
    }
    imageSide.close();
    textSide.close();
    noFeatures.close();
    close(vision);
    close(decoder);
  }

  /** Buffers of one call, reused by later ones. */
  final class Workspace {
    private LongBuffer ids = longs(0);
    private LongBuffer last = longs(0);
    private FloatBuffer pixels = floats(0);
    private FloatBuffer features = floats(0);
    private FloatBuffer output = floats(0);
    private long[] order = new long[0];
    private final List<ModelImage> images = new ArrayList<>();

    /** Row indices packed below their lengths, to be sorted. */
    long[] order(int rows) {
      if (order.length < rows) {
        order = new long[rows];
      }
      return order;
    }

    /** An empty list for the images of a batch. */
    List<ModelImage> images() {
      images.clear();
      return images;
    }

    void fillRows(IntFunction<long[]> rows, int begin, int end, long[] indices, int length) {
      int count = end - begin;
      ids = fitting(ids, Math.multiplyExact(count, length));
      last = fitting(last, count);
      for (int i = begin; i < end; i++) {
        long[] row = rows.apply((int) indices[i]);
        ids.put(row);
        for (int pad = row.length; pad < length; pad++) {
          ids.put(0);
        }
        last.put(row.length - 1);
      }
      ids.flip();
      last.flip();
    }

    /** Pooled features of images of one geometry: [images.size(), width]. */
    @SuppressWarnings("try") // Results are in place; they are only closed.
    FloatBuffer pool(List<ModelImage> alike) throws OrtException {
      int width = architecture.tower().width();
      output = fitting(output, Math.multiplyExact(alike.size(), width));
      try (Inputs images = inputs(alike.stream().map(this::whole).toList());
          OnnxTensor pooled =
              OnnxTensor.createTensor(environment, output, new long[] {alike.size(), width});
          OrtSession.Result ignored =
              NativeWork.run(() -> vision.run(images.tensors(), Map.of("pooled", pooled)))) {
        return output;
      }
    }

    /**
     * Embeddings of the rows filled in: [count, d].
     *
     * @param images those that the rows name, one after another
     */
    FloatBuffer embed(
        int count, int length, List<ModelImage> images, boolean text, ScorerAdapter adapter)
        throws OrtException {
      if (images.isEmpty()) {
        return decode(count, length, noFeatures, images, text, adapter);
      }
      if (alike(images)) {
        // The usual case: what the one session gives the other takes.
        try (Inputs inputs = inputs(images);
            OrtSession.Result result =
                NativeWork.run(() -> vision.run(inputs.tensors(), Set.of("features")))) {
          return decode(count, length, (OnnxTensor) result.get(0), images, text, adapter);
        }
      }
      try (OnnxTensor tensor = features(images)) {
        return decode(count, length, tensor, images, text, adapter);
      }
    }

    private boolean alike(List<ModelImage> images) {
      ImageGeometry first = images.get(0).geometry();
      return architecture.connector().packing() == null
          && images.size() <= atOnce(first)
          && images.stream().allMatch(image -> image.geometry().equals(first));
    }

    /** Features of images of any geometries in the images' order: [tokens, d]. */
    private OnnxTensor features(List<ModelImage> images) throws OrtException {
      int width = architecture.featureWidth();
      Map<ImageGeometry, List<Integer>> geometries = new LinkedHashMap<>();
      int[] begins = new int[images.size()];
      int tokens = 0;
      for (int i = 0; i < begins.length; i++) {
        geometries.computeIfAbsent(images.get(i).geometry(), key -> new ArrayList<>()).add(i);
        begins[i] = tokens;
        tokens = Math.addExact(tokens, images.get(i).tokens());
      }
      features = fitting(features, Math.multiplyExact(tokens, width));
      for (Map.Entry<ImageGeometry, List<Integer>> entry : geometries.entrySet()) {
        List<Integer> indices = entry.getValue();
        int atOnce = atOnce(entry.getKey());
        Gathering packing = FeaturePacking.of(architecture, entry.getKey());
        for (int from = 0; from < indices.size(); from += atOnce) {
          List<Integer> some = indices.subList(from, Math.min(from + atOnce, indices.size()));
          int size = entry.getKey().tokens() * width;
          try (Inputs inputs = inputs(some.stream().map(images::get).toList());
              OrtSession.Result result =
                  NativeWork.run(() -> vision.run(inputs.tensors(), Set.of("features")))) {
            FloatBuffer computed = ((OnnxTensor) result.get(0)).getFloatBuffer();
            for (int i = 0; i < some.size(); i++) {
              int begin = begins[some.get(i)] * width;
              if (packing == null) {
                features.put(begin, computed, i * size, size);
              } else {
                int own = entry.getKey().inputs() * architecture.connector().tokens() * width;
                packing.into(
                    computed.slice(i * own, own), lineEnd, width, features.slice(begin, size));
              }
            }
          }
        }
      }
      return OnnxTensor.createTensor(environment, features, new long[] {tokens, width});
    }

    /** The whole picture alone, of one that was cut: the first input, or Idefics3's last. */
    private ModelImage whole(ModelImage image) {
      boolean first = architecture.connector().packing() != null;
      int which = first ? 0 : image.geometry().inputs() - 1;
      return image.input(which, architecture.connector().tokens());
    }

    /** Positions of the rows filled in, [3, count, length]; null where tokens just count. */
    private OnnxTensor positions(int count, int length, List<ModelImage> images)
        throws OrtException {
      if (architecture.decoder().scheme() != Architecture.Positions.ROTARY_AXES) {
        return null;
      }
      Tower tower = architecture.tower();
      int pixels = tower.patchSize() * tower.dynamic().merge();
      LongBuffer all = longs(Math.multiplyExact(3, Math.multiplyExact(count, length)));
      List<ImageGeometry> left =
          new ArrayList<>(images.stream().map(ModelImage::geometry).toList());
      long[] row = new long[length];
      for (int r = 0; r < count; r++) {
        ids.get(r * length, row);
        long[][] own = TokenPositions.of(row, config.imageTokenId(), left, pixels);
        for (int axis = 0; axis < 3; axis++) {
          all.put((axis * count + r) * length, own[axis]);
        }
        long tokens = Arrays.stream(row).filter(id -> id == config.imageTokenId()).count();
        while (tokens > 0) {
          tokens -= left.remove(0).tokens();
        }
      }
      return OnnxTensor.createTensor(environment, all, new long[] {3, count, length});
    }

    /** Everything that the vision graph reads of images of one geometry. */
    private Inputs inputs(List<ModelImage> alike) throws OrtException {
      Tower tower = architecture.tower();
      DynamicVision dynamic = tower.dynamic();
      if (dynamic == null) {
        return new Inputs(Map.of("pixels", pixelTensor(alike)));
      }
      ImageGeometry geometry = alike.get(0).geometry();
      int patch = tower.patchSize();
      int high = geometry.height() / patch;
      int wide = geometry.width() / patch;
      PatchPlan plan = PatchPlan.of(dynamic, high, wide, patch).bySize();
      int count = plan.size();
      pixels = fitting(pixels, Math.multiplyExact(alike.size(), geometry.values()));
      for (ModelImage image : alike) {
        for (int p = 0; p < count; p++) {
          for (int c = 0; c < 3; c++) {
            for (int y = 0; y < patch; y++) {
              int row = (c * geometry.height() + plan.rows()[p] * patch + y) * geometry.width();
              pixels.put(image.pixels(), row + plan.columns()[p] * patch, patch);
            }
          }
        }
      }
      pixels.flip();
      Map<String, OnnxTensor> tensors = new HashMap<>();
      long values = 3L * patch * patch;
      tensors.put(
          "patches",
          OnnxTensor.createTensor(environment, pixels, new long[] {alike.size(), count, values}));
      int headDim = tower.width() / tower.heads();
      float[] angles = plan.angles(headDim);
      FloatBuffer cos = floats(angles.length);
      FloatBuffer sin = floats(angles.length);
      for (float angle : angles) {
        cos.put((float) Math.cos(angle));
        sin.put((float) Math.sin(angle));
      }
      long[] shape = {count, headDim / 2};
      tensors.put("cos", OnnxTensor.createTensor(environment, cos.flip(), shape));
      tensors.put("sin", OnnxTensor.createTensor(environment, sin.flip(), shape));
      tensors.put("blocks", OnnxTensor.createTensor(environment, longs(plan.reverse())));
      if (dynamic.windowSize() > 0) {
        List<PatchPlan.Windows> runs = plan.runs();
        long[][] windows = new long[DynamicTowerGraph.WINDOW_SIZES][];
        long begin = 0;
        for (int w = 0; w < windows.length; w++) {
          PatchPlan.Windows run = w < runs.size() ? runs.get(w) : new PatchPlan.Windows(1, 1);
          windows[w] = new long[] {w < runs.size() ? begin : 0, run.count(), run.size()};
          begin += (long) run.count() * run.size();
        }
        tensors.put("windows", OnnxTensor.createTensor(environment, windows));
      }
      if (dynamic.positionSide() > 0) {
        Gathering positions = plan.positions(dynamic.positionSide(), high, wide);
        tensors.put("taps", OnnxTensor.createTensor(environment, longs(positions.indices())));
        tensors.put(
            "weights",
            OnnxTensor.createTensor(
                environment, FloatBuffer.wrap(positions.weights()), new long[] {count, 4}));
      }
      return new Inputs(tensors);
    }

    private OnnxTensor pixelTensor(List<ModelImage> alike) throws OrtException {
      ImageGeometry geometry = alike.get(0).geometry();
      pixels = fitting(pixels, Math.multiplyExact(alike.size(), geometry.values()));
      alike.forEach(image -> pixels.put(image.pixels()));
      pixels.flip();
      long inputs = (long) alike.size() * geometry.inputs();
      return OnnxTensor.createTensor(
          environment, pixels, new long[] {inputs, 3, geometry.height(), geometry.width()});
    }

    @SuppressWarnings("try") // As above.
    private FloatBuffer decode(
        int count,
        int length,
        OnnxTensor features,
        List<ModelImage> images,
        boolean text,
        ScorerAdapter adapter)
        throws OrtException {
      int width = architecture.decoder().width();
      output = fitting(output, Math.multiplyExact(count, width));
      try (OnnxTensor idTensor =
              OnnxTensor.createTensor(environment, ids, new long[] {count, length});
          OnnxTensor lastTensor = OnnxTensor.createTensor(environment, last, new long[] {count});
          OnnxTensor embedding =
              OnnxTensor.createTensor(environment, output, new long[] {count, width});
          OnnxTensor positions = positions(count, length, images)) {
        Map<String, OnnxTensor> inputs = new HashMap<>();
        inputs.put("ids", idTensor);
        inputs.put("last", lastTensor);
        inputs.put("features", features);
        inputs.put("side", text ? textSide : imageSide);
        if (positions != null) {
          inputs.put("positions", positions);
        }
        OrtSession.RunOptions options = adapter.runOptions();
        Map<String, OnnxTensor> outputs = Map.of("embedding", embedding);
        try (OrtSession.Result ignored =
            NativeWork.run(
                () ->
                    options == null
                        ? decoder.run(inputs, outputs)
                        : decoder.run(inputs, Set.of(), outputs, options))) {
          return output;
        }
      }
    }
  }

  private static long[] longs(int[] values) {
    return Arrays.stream(values).asLongStream().toArray();
  }

  /** Tensors by the names of a graph's inputs, closed together. */
  private record Inputs(Map<String, OnnxTensor> tensors) implements AutoCloseable {
    @Override
    public void close() {
      tensors.values().forEach(OnnxTensor::close);
    }
  }

  /** How many images of one geometry are computed at once: their pixels take a bounded room. */
  static int atOnce(ImageGeometry geometry) {
    return Math.max(1, MOST_PIXELS / geometry.values());
  }

  Workspace borrow() {
    Workspace workspace = workspaces.poll();
    return workspace == null ? new Workspace() : workspace;
  }

  void giveBack(Workspace workspace) {
    workspaces.add(workspace);
  }

  /** A buffer cleared for so many values: the given one if it is large enough. */
  private static LongBuffer fitting(LongBuffer buffer, int size) {
    return (buffer.capacity() >= size ? buffer : longs(size)).clear().limit(size);
  }

  private static FloatBuffer fitting(FloatBuffer buffer, int size) {
    return (buffer.capacity() >= size ? buffer : floats(size)).clear().limit(size);
  }

  private static LongBuffer longs(int size) {
    return ByteBuffer.allocateDirect(Math.multiplyExact(8, size))
        .order(ByteOrder.nativeOrder())
        .asLongBuffer();
  }

  private static FloatBuffer floats(int size) {
    return ByteBuffer.allocateDirect(Math.multiplyExact(4, size))
        .order(ByteOrder.nativeOrder())
        .asFloatBuffer();
  }
}
