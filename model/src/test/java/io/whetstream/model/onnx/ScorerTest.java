package io.whetstream.model.onnx;

import static io.whetstream.model.adapter.AdapterConfig.MODULES;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import io.whetstream.model.BadInputException;
import io.whetstream.model.Golden;
import io.whetstream.model.NativeMemory;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.FloatTensor;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.Row;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

class ScorerTest {
  private static final List<String> CAPTIONS = List.of("a red cross", "two blue stars above it");

  /** Swaps until Java's compilers have done their work: they take and give back 20 MB. */
  private static final int WARM_UP = 14_000;

  private static final int LOOK_EVERY = 500;

  @TempDir Path directory;
  private Path model;
  private ScorerOptions options;
  private Scorer scorer;

  @BeforeEach
  void open() {
    model =
        Golden.directories(Golden.holding("tokenizer.json")).stream()
            .filter(Golden.holding("model.safetensors"))
            .findFirst()
            .orElseThrow();
    options = ScorerOptions.defaults().withThreads(1).withCache(directory.resolve("cache"));
    scorer = Scorer.open(model, options);
  }

  @AfterEach
  void close() {
    assertEquals(0, scorer.loadedAdapters(), "adapters left in native memory");
    scorer.close();
  }

  private AdapterArtifact artifact(long seed) {
    return artifact(scorer, seed);
  }

  private static AdapterArtifact artifact(Scorer scorer, long seed) {
    return RandomAdapters.artifact(
        RandomAdapters.weights(scorer.config(), seed, 4, MODULES, 2, 2), scorer.baseDigest());
  }

  @Test
  void everyResultUnderChangingAdaptersIsThatOfTheDigestItCarries() throws Exception {
    int adapters = 200;
    List<AdapterArtifact> artifacts = new ArrayList<>();
    Map<String, float[][]> expected = new ConcurrentHashMap<>();
    for (int i = 0; i < adapters; i++) {
      artifacts.add(artifact(i));
      try (ScorerAdapter adapter = scorer.load(artifacts.get(i))) {
        expected.put(adapter.digest(), scorer.embedTexts(adapter, CAPTIONS));
      }
    }
    assertEquals(adapters, expected.size());
    ExecutorService threads = Executors.newFixedThreadPool(4);
    Semaphore results = new Semaphore(0);
    Map<String, Boolean> seen = new ConcurrentHashMap<>();
    try (ActiveAdapter active = new ActiveAdapter(scorer.load(artifacts.get(0)))) {
      List<Future<Integer>> running = new ArrayList<>();
      Callable<Integer> score =
          () -> {
            int wrong = 0;
            while (!Thread.currentThread().isInterrupted()) {
              try (ScorerAdapter adapter = active.acquire()) {
                float[][] vectors = scorer.embedTexts(adapter, CAPTIONS);
                wrong += Arrays.deepEquals(expected.get(adapter.digest()), vectors) ? 0 : 1;
                seen.put(adapter.digest(), true);
              }
              results.release();
            }
            return wrong;
          };
      for (int i = 0; i < 4; i++) {
        running.add(threads.submit(score));
      }
      for (AdapterArtifact next : artifacts) {
        active.swap(scorer.load(next));
        results.drainPermits();
        results.acquire(5);
      }
      threads.shutdownNow();
      for (Future<Integer> thread : running) {
        assertEquals(0, thread.get());
      }
      assertEquals(1, scorer.loadedAdapters(), "only the active adapter is in memory");
    }
    assertEquals(adapters, seen.size(), "each adapter was in use");
  }

  private static long median(long[] values) {
    Arrays.sort(values);
    return (values[values.length / 2 - 1] + values[values.length / 2]) / 2;
  }

  @Test
  @Tag("slow")
  void nativeMemoryDoesNotGrowOverTenThousandSwaps() {
    List<AdapterArtifact> artifacts = new ArrayList<>();
    for (int i = 0; i < 8; i++) {
      artifacts.add(
          RandomAdapters.artifact(
              RandomAdapters.weights(scorer.config(), i, 64, MODULES, 16, 16),
              scorer.baseDigest()));
    }
    // A single look may find some of the allocator's buffers just freed or taken: medians do not.
    int swaps = 20_000;
    long[] first = new long[10];
    long[] last = new long[10];
    try (ActiveAdapter active = new ActiveAdapter(scorer.load(artifacts.get(0)))) {
      for (int i = 1; i <= WARM_UP + swaps; i++) {
        active.swap(scorer.load(artifacts.get(i % artifacts.size())));
        try (ScorerAdapter adapter = active.acquire()) {
          scorer.embedTexts(adapter, CAPTIONS);
        }
        int look = (i - WARM_UP) / LOOK_EVERY;
        if (i > WARM_UP && i % LOOK_EVERY == 0) {
          int looks = swaps / LOOK_EVERY;
          if (look <= first.length) {
            first[look - 1] = NativeMemory.resident();
          } else if (look > looks - last.length) {
            last[look - 1 - (looks - last.length)] = NativeMemory.resident();
          }
        }
      }
    }
    long before = median(first);
    long growth = median(last) - before;
    System.out.printf(
        "resident memory without the heap after %d swaps %d KiB, over 15,000 more %+d KiB%n",
        WARM_UP, before / 1024, growth / 1024);
    assertTrue(growth < 8L << 20, "resident memory grew by " + growth + " bytes");
  }

  @Test
  void refusesBadAdaptersWithTheReasonAndKeepsTheActiveOne() {
    AdapterWeights good = artifact(1).weights();
    try (ActiveAdapter active = new ActiveAdapter(scorer.load(artifact(1)))) {
      float[][] before = embedWith(active);

      assertRefused(
          "was trained on base model",
          () -> swap(active, RandomAdapters.artifact(good, "cd".repeat(32))));
      String a = "language_model.model.layers.0.self_attn.q_proj.lora_A.weight";
      String b = "language_model.model.layers.0.self_attn.q_proj.lora_B.weight";
      int width = scorer.dimension();
      assertRefused(
          "has rank 5", () -> swap(active, changed(good, b, random(scorer.dimension(), 5))));
      assertRefused(
          "belongs to another base model",
          () -> swap(active, changed(good, a, random(4, width + 1))));
      FloatTensor broken = random(4, width);
      broken.data()[3] = Float.POSITIVE_INFINITY;
      assertRefused("holds Infinity at index 3", () -> swap(active, changed(good, a, broken)));
      String beyond = "language_model.model.layers.99.self_attn.q_proj.lora_";
      assertRefused(
          "of a layer the base model does not have",
          () ->
              swap(
                  active,
                  changed(
                      good,
                      Map.of(
                          beyond + "A.weight",
                          random(4, width),
                          beyond + "B.weight",
                          random(width, 4)))));
      assertRefused(
          "unknown tensor",
          () -> swap(active, changed(good, "vision_tower.x.lora_A.weight", random(4, width))));
      assertRefused(
          "never applied in part",
          () -> {
            SortedMap<String, FloatTensor> fewer = new TreeMap<>(good.lora());
            fewer.remove(a);
            fewer.remove(b);
            swap(active, with(good, fewer));
          });
      assertRefused(
          "do not fit the base model's width",
          () ->
              swap(
                  active,
                  new AdapterWeights(
                      good.config(), good.lora(), random(2, width + 8), good.softText(), 0)));
      SortedMap<String, byte[]> members = AdapterCodec.encode(artifact(2));
      byte[] tensors = members.get("lora/adapter_model.safetensors");
      members.put("lora/adapter_model.safetensors", Arrays.copyOf(tensors, tensors.length - 100));
      assertRefused("truncated", () -> active.swap(scorer.load(AdapterCodec.decode(members::get))));

      assertArrayEquals(before, embedWith(active));
      assertEquals(1, scorer.loadedAdapters());
    }
  }

  private float[][] embedWith(ActiveAdapter active) {
    try (ScorerAdapter adapter = active.acquire()) {
      return scorer.embedTexts(adapter, CAPTIONS);
    }
  }

  private void swap(ActiveAdapter active, AdapterWeights weights) {
    swap(active, RandomAdapters.artifact(weights, scorer.baseDigest()));
  }

  private void swap(ActiveAdapter active, AdapterArtifact artifact) {
    active.swap(scorer.load(artifact));
  }

  private static FloatTensor random(int rows, int columns) {
    return RandomAdapters.tensor(new java.util.Random(3), rows, columns, 1);
  }

  private static AdapterWeights changed(AdapterWeights good, String name, FloatTensor tensor) {
    return changed(good, Map.of(name, tensor));
  }

  private static AdapterWeights changed(AdapterWeights good, Map<String, FloatTensor> tensors) {
    SortedMap<String, FloatTensor> lora = new TreeMap<>(good.lora());
    lora.putAll(tensors);
    return with(good, lora);
  }

  private static AdapterWeights with(AdapterWeights good, SortedMap<String, FloatTensor> lora) {
    return new AdapterWeights(good.config(), lora, good.softImage(), good.softText(), 0);
  }

  private static void assertRefused(String reason, Executable call) {
    BadInputException refusal = assertThrows(BadInputException.class, call);
    assertTrue(refusal.getMessage().contains(reason), refusal.getMessage());
  }

  @Test
  void countsHandlesAndFreesWithTheLast() {
    ScorerAdapter one = scorer.load(artifact(1));
    ScorerAdapter two = scorer.load(artifact(1));
    assertSame(one, two);
    one.close();
    assertEquals(1, scorer.loadedAdapters());
    scorer.embedTexts(two, CAPTIONS);
    two.close();
    assertEquals(0, scorer.loadedAdapters());
    assertThrows(IllegalStateException.class, two::close);
    assertThrows(IllegalStateException.class, () -> scorer.embedTexts(two, CAPTIONS));
    try (ScorerAdapter again = scorer.load(artifact(1))) {
      assertEquals(one.digest(), again.digest());
    }
  }

  @Test
  void adaptersOutliveTheScorerThatLoadedThem() {
    Scorer other = Scorer.open(model, options);
    ScorerAdapter adapter = other.load(artifact(1));
    other.close();
    assertEquals(2, scorer.embedTexts(adapter, CAPTIONS).length);
    adapter.close();
  }

  @Test
  void refusesAnAdapterHandleOfAnotherModel() {
    Path changed =
        ModelVariant.of(model)
            .disturbing("language_model.model.norm.weight")
            .write(directory.resolve("other"));
    try (Scorer other = Scorer.open(changed, options);
        ScorerAdapter adapter = scorer.load(artifact(1))) {
      assertNotEquals(scorer.baseDigest(), other.baseDigest());
      assertThrows(IllegalArgumentException.class, () -> other.embedTexts(adapter, CAPTIONS));
      assertRefused("was trained on base model", () -> other.load(artifact(1)));
    }
  }

  @Test
  void refusesRowsAndImagesOfTheWrongForm() {
    try (ScorerAdapter adapter = scorer.load(artifact(1))) {
      long vocabulary = scorer.config().text().vocabSize();
      assertRefused("holds id " + vocabulary, () -> rows(adapter, new long[] {1, vocabulary}));
      assertRefused("holds id -3", () -> rows(adapter, new long[] {1, -1, -2, -3}));
      assertRefused(
          "1 image tokens", () -> rows(adapter, new long[] {1, scorer.config().imageTokenId()}));
      assertRefused(
          "which stands for an image",
          () ->
              scorer.embedCaptions(
                  adapter, List.of(new long[] {3, scorer.config().imageTokenId()})));
      assertRefused("has 0 positions", () -> rows(adapter, new long[0]));
      assertRefused(
          "positions", () -> rows(adapter, new long[scorer.config().text().maxPositions() + 1]));
      ModelImage other = new ModelImage(ImageGeometry.whole(1, 2, 1), new float[6]);
      assertRefused("has 1 x 2 pixels", () -> scorer.embedImages(adapter, List.of(other)));
    }
  }

  private void rows(ScorerAdapter adapter, long[] row) {
    scorer.embedRows(adapter, List.of(Row.embedding(row, true)), List.of());
  }

  /** The ONNX Runtime of this build has no CUDA: asking for it says what to do. */
  @Test
  void aGpuThatCannotBeUsedIsRefusedClearly() {
    assertRefused(
        "onnxruntime_gpu instead of onnxruntime",
        () -> Scorer.open(model, options.withDevice("gpu:0")).close());
    assertRefused("device 'tpu'", () -> Scorer.open(model, options.withDevice("tpu")).close());
  }

  @Test
  void namesOfSpecialTokensInCaptionsAreText() {
    float[][] vectors =
        scorer.embedTexts(
            scorer.base(), List.of("a <image> b", "a b", "a </s> b", "a<pad><image><s>b"));
    for (int i = 1; i < vectors.length; i++) {
      assertTrue(cosine(vectors[0], vectors[i]) < 0.9999, "the name is not read");
    }
  }

  @Test
  void resultsDoNotDependOnOrderOrBatchSize() {
    List<String> captions = new ArrayList<>();
    for (int i = 0; i < 50; i++) {
      captions.add("word ".repeat(i * 7 % 31) + i);
    }
    float[][] all = scorer.embedTexts(scorer.base(), captions);
    List<String> reversed = new ArrayList<>(captions);
    Collections.reverse(reversed);
    float[][] back = scorer.embedTexts(scorer.base(), reversed);
    for (int i = 0; i < all.length; i++) {
      assertArrayEquals(all[i], back[all.length - 1 - i], 1e-6f);
      assertArrayEquals(
          all[i], scorer.embedTexts(scorer.base(), List.of(captions.get(i)))[0], 1e-6f);
    }
  }

  @Test
  void int8StaysCloseAndDoesNotDependOnTheNeighbours() {
    requireInt8Close(model);
    requireInt8Close(
        ModelVariant.of(model)
            .withBiases("self_attn\\.\\w+|mlp\\.\\w+")
            .text(text -> text.put("attention_bias", true).put("mlp_bias", true))
            .write(directory.resolve("biased")));
  }

  /** A row of zeros has no scale: dividing by it would spread what is not a number. */
  @Test
  void int8EmbedsAnImageWithoutContrast() {
    ImageGeometry picture = RandomAdapters.image(scorer.config(), 0).geometry();
    ModelImage grey = new ModelImage(picture, new float[picture.values()]);
    try (Scorer small = Scorer.open(model, options.withInt8(true));
        ScorerAdapter adapter = small.load(artifact(small, 1));
        ScorerAdapter exact = scorer.load(artifact(scorer, 1))) {
      requireClose(
          scorer.embedImages(exact, List.of(grey)), small.embedImages(adapter, List.of(grey)));
    }
  }

  private void requireInt8Close(Path base) {
    List<String> some = List.of("self_attn.q_proj", "mlp.down_proj");
    requireInt8Close(base, RandomAdapters.weights(scorer.config(), 1, 4, MODULES, 2, 2));
    requireInt8Close(base, RandomAdapters.weights(scorer.config(), 2, 1, some, 0, 3));
    requireInt8Close(base, RandomAdapters.weights(scorer.config(), 3, 64, MODULES, 0, 0));
  }

  private void requireInt8Close(Path base, AdapterWeights weights) {
    List<String> captions = List.of("a red cross", "two blue stars above it", "a", "snow at night");
    List<ModelImage> images = new ArrayList<>();
    for (int i = 0; i < 9; i++) {
      images.add(RandomAdapters.image(scorer.config(), i));
    }
    try (Scorer large = Scorer.open(base, options);
        Scorer small = Scorer.open(base, options.withInt8(true));
        ScorerAdapter adapter = small.load(RandomAdapters.artifact(weights, small.baseDigest()));
        ScorerAdapter exact = large.load(RandomAdapters.artifact(weights, large.baseDigest()))) {
      float[][] vectors = small.embedImages(adapter, images);
      float[][] texts = small.embedTexts(adapter, captions);
      for (int i = 0; i < images.size(); i++) {
        float[] alone = small.embedImages(adapter, images.subList(i, i + 1))[0];
        assertArrayEquals(vectors[i], alone, 1e-6f, "neighbours change int8");
      }
      for (int i = 0; i < captions.size(); i++) {
        float[] alone = small.embedTexts(adapter, captions.subList(i, i + 1))[0];
        assertArrayEquals(texts[i], alone, 1e-6f, "neighbours change int8");
      }
      requireClose(large.embedImages(exact, images), vectors);
      requireClose(large.embedTexts(exact, captions), texts);
    }
  }

  private static void requireClose(float[][] reference, float[][] int8) {
    for (int i = 0; i < int8.length; i++) {
      assertTrue(cosine(int8[i], reference[i]) > 0.99, "int8 is far from fp32");
    }
    assertFalse(Arrays.deepEquals(int8, reference), "int8 was not used");
  }

  private static double cosine(float[] a, float[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += a[i] * (double) b[i];
    }
    return sum;
  }

  @Test
  void allocatesNothingPerItemBeyondTheResult() {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    List<ModelImage> images = new ArrayList<>();
    List<Row> rows = new ArrayList<>();
    for (int i = 0; i < 32; i++) {
      images.add(RandomAdapters.image(scorer.config(), i));
      rows.add(Row.embedding(new long[] {1, 2, 3, 4 + i}, true));
    }
    Runnable[] calls = {
      () -> scorer.embedImages(scorer.base(), images),
      () -> scorer.embedImages(scorer.base(), images.subList(0, 2)),
      () -> scorer.embedRows(scorer.base(), rows, List.of()),
      () -> scorer.embedRows(scorer.base(), rows.subList(0, 2), List.of()),
    };
    long[] bytes = new long[calls.length];
    for (int round = 0; round < 40; round++) {
      for (int i = 0; i < calls.length; i++) {
        long before = threads.getThreadAllocatedBytes(Thread.currentThread().getId());
        calls[i].run();
        bytes[i] = threads.getThreadAllocatedBytes(Thread.currentThread().getId()) - before;
      }
    }
    // A vector is an array (16 bytes of header) and a reference to it.
    long result = 4L * scorer.dimension() + 16 + 8;
    for (int i = 0; i < calls.length; i += 2) {
      double perItem = (bytes[i] - bytes[i + 1]) / 30.0;
      assertTrue(perItem <= result, perItem + " bytes an item, the result has " + result);
    }
  }

  /** Closing and swapping at once: whoever comes second, no handle is left and none given twice. */
  @Test
  void closingWhileAnotherThreadSwapsLeavesNoAdapterBehind() throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(3);
    try {
      for (int round = 0; round < 2000; round++) {
        ActiveAdapter active = new ActiveAdapter(scorer.load(artifact(1)));
        ScorerAdapter next = scorer.load(artifact(2));
        ScorerAdapter third = scorer.load(artifact(3));
        CyclicBarrier start = new CyclicBarrier(3);
        List<Future<?>> running = new ArrayList<>();
        for (Runnable act :
            List.<Runnable>of(() -> active.swap(next), () -> active.swap(third), active::close)) {
          running.add(
              threads.submit(
                  () -> {
                    start.await();
                    act.run();
                    return null;
                  }));
        }
        for (Future<?> thread : running) {
          thread.get();
        }
        assertThrows(IllegalStateException.class, active::acquire);
        assertEquals(0, scorer.loadedAdapters(), "round " + round);
      }
    } finally {
      threads.shutdownNow();
    }
  }

  @Test
  void anAdapterThatIsSwappedInAfterClosingIsGivenBack() {
    ScorerAdapter late = scorer.load(artifact(2));
    ActiveAdapter active = new ActiveAdapter(scorer.load(artifact(1)));
    active.close();
    active.swap(late);
    active.close();
    assertThrows(IllegalStateException.class, late::retain);
    assertThrows(IllegalStateException.class, active::acquire);
  }

  /** However many rows are allowed at once, the pixels of one call keep within their room. */
  @Test
  void takesFewerLargePicturesAtOnce() {
    assertEquals(1, Engine.atOnce(ImageGeometry.whole(16384, 16384, 1)));
    ImageGeometry usual = ImageGeometry.whole(336, 336, 576);
    assertTrue(4096L * usual.values() > Integer.MAX_VALUE / 4, "the room is a bound");
    assertTrue((long) Engine.atOnce(usual) * usual.values() <= 1 << 26);
  }

  @Test
  void keepsExportedGraphsAndReplacesDamagedOnes() throws IOException {
    List<Path> files = list(directory.resolve("cache"));
    assertEquals(2, files.size());
    float[][] before = scorer.embedTexts(scorer.base(), CAPTIONS);
    scorer.close();
    byte[] intact = Files.readAllBytes(files.get(0));
    Files.write(files.get(0), Arrays.copyOf(intact, intact.length / 2));
    scorer = Scorer.open(model, options);
    assertArrayEquals(intact, Files.readAllBytes(files.get(0)));
    assertArrayEquals(before, scorer.embedTexts(scorer.base(), CAPTIONS));
    assertEquals(files, list(directory.resolve("cache")));
  }

  @Test
  void aModelSpreadOtherwiseOverFilesHasGraphsOfItsOwn() {
    Path sharded = ModelVariant.of(model).inShards(2).write(directory.resolve("sharded"));
    float[][] before = scorer.embedTexts(scorer.base(), CAPTIONS);
    String digest = scorer.baseDigest();
    scorer.close();
    scorer = Scorer.open(sharded, options);
    assertEquals(digest, scorer.baseDigest());
    assertArrayEquals(before, scorer.embedTexts(scorer.base(), CAPTIONS));
  }

  @Test
  void worksWhereGraphsCannotBeKept() throws IOException {
    scorer.close();
    Path file = Files.writeString(directory.resolve("file"), "not a directory");
    scorer = Scorer.open(model, options.withCache(file.resolve("below")));
    assertEquals(2, scorer.embedTexts(scorer.base(), CAPTIONS).length);
  }

  @Test
  void aBareAdapterIsReadWithTheScorersPrompts() {
    AdapterWeights weights = artifact(1).weights();
    AdapterConfig c = weights.config();
    AdapterConfig bare =
        new AdapterConfig(c.rank(), c.alpha(), c.rsLora(), 0, c.targetModules(), null, null, 0, 0);
    AdapterWeights lora = new AdapterWeights(bare, weights.lora(), null, null, 0);
    AdapterArtifact artifact =
        new AdapterArtifact(lora, AdapterManifest.builder(lora, null).build());
    try (ScorerAdapter adapter = scorer.load(artifact)) {
      assertFalse(
          Arrays.deepEquals(
              scorer.embedTexts(adapter, CAPTIONS), scorer.embedTexts(scorer.base(), CAPTIONS)));
    }
  }

  private static List<Path> list(Path directory) throws IOException {
    try (Stream<Path> files = Files.list(directory)) {
      return files.sorted().toList();
    }
  }
}
