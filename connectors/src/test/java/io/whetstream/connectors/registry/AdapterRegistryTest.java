package io.whetstream.connectors.registry;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.registry.AdapterRegistry.Entry;
import io.whetstream.connectors.registry.AdapterRegistry.PruneRules;
import io.whetstream.connectors.registry.AdapterRegistry.Pruned;
import io.whetstream.connectors.registry.AdapterRegistry.Stored;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.adapter.AdapterManifest.Version;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.FloatTensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** On a local disk and on a store that can neither rename nor sync. */
class AdapterRegistryTest {
  private static final String BASE = "b".repeat(64);

  enum Kind {
    POSIX,
    OBJECTS
  }

  @TempDir Path dir;

  private final String bucket = "/" + UUID.randomUUID();

  @AfterEach
  void heal() {
    ObjectStore.failAfter(Integer.MAX_VALUE);
  }

  private AdapterRegistry registry(Kind kind) {
    return registry(kind, 1 << 20);
  }

  private AdapterRegistry registry(Kind kind, long cacheBytes) {
    String uri = kind == Kind.POSIX ? dir.resolve("store").toString() : "objects://" + bucket;
    return AdapterRegistry.open(
        new RegistryOptions(uri, dir.resolve("cache").toString(), cacheBytes));
  }

  private static AdapterArtifact adapter(float value, long epoch, long n) {
    return adapter(value, epoch, n, "2026-01-01T00:00:00Z");
  }

  private static AdapterArtifact adapter(float value, long epoch, long n, String createdAt) {
    TreeMap<String, FloatTensor> lora = new TreeMap<>();
    String module = "language_model.model.layers.0.self_attn.q_proj.";
    float[] data = new float[2 * 32];
    Arrays.fill(data, value);
    lora.put(module + "lora_A.weight", new FloatTensor(new long[] {2, 32}, data));
    lora.put(module + "lora_B.weight", new FloatTensor(new long[] {32, 2}, data));
    AdapterConfig config =
        new AdapterConfig(2, 4, false, 0, List.of("q_proj"), "<image>[a]", "<text>[b]", 1, 1);
    FloatTensor soft = new FloatTensor(new long[] {1, 8}, new float[8]);
    AdapterWeights weights = new AdapterWeights(config, lora, soft, soft, 4f);
    return new AdapterArtifact(
        weights,
        AdapterManifest.builder(weights, BASE).stream("main")
            .version(new Version(epoch, n))
            .createdAt(createdAt)
            .build());
  }

  @ParameterizedTest
  @EnumSource
  void whatWasWrittenIsRead(Kind kind) {
    AdapterRegistry registry = registry(kind);
    AdapterArtifact adapter = adapter(1, 0, 1);
    Stored stored = registry.write(adapter);
    assertEquals(adapter.digest(), stored.digest());
    assertEquals(registry.uriOf(adapter.digest()), stored.uri());
    for (int i = 0; i < 2; i++) {
      AdapterArtifact read = registry.read(stored.digest(), stored.manifestDigest());
      assertEquals(adapter.digest(), read.weights().digest());
      assertEquals(adapter.manifest(), read.manifest());
    }
    assertEquals(
        adapter.digest(), AdapterCodec.read(registry.localDirectory(stored.digest())).digest());
    assertEquals(List.of(), registry.verify(stored.digest()));
  }

  @ParameterizedTest
  @EnumSource
  void writingAgainChangesNothingAndASecondManifestStandsBesideTheFirst(Kind kind) {
    AdapterRegistry registry = registry(kind);
    AdapterArtifact first = adapter(1, 0, 1);
    AdapterArtifact again = adapter(1, 2, 7, "2026-02-02T00:00:00Z");
    assertEquals(first.digest(), again.digest());
    registry.write(first);
    int writes = ObjectStore.writes();
    registry.write(first);
    assertEquals(writes, ObjectStore.writes());
    Stored second = registry.write(again);
    registry.write(again);
    assertEquals(first.manifest(), registry.read(first.digest()).manifest());
    assertEquals(
        again.manifest(), registry.read(first.digest(), second.manifestDigest()).manifest());
    assertEquals(first.manifest(), registry.read(first.digest()).manifest());
    assertEquals(
        List.of(new Version(0, 1), new Version(2, 7)),
        registry.list().stream().map(e -> e.manifest().version()).toList());
    BadInputException refused =
        assertThrows(BadInputException.class, () -> registry.read(first.digest(), "c".repeat(64)));
    assertTrue(refused.getMessage().contains("no manifest of digest"));
  }

  @ParameterizedTest
  @EnumSource
  void listsInOrderOfVersionsWhateverTheOrderOfWriting(Kind kind) {
    AdapterRegistry registry = registry(kind);
    assertEquals(List.of(), registry.list());
    registry.write(adapter(1, 1, 0));
    registry.write(adapter(2, 0, 10));
    registry.write(adapter(3, 0, 9));
    assertEquals(
        List.of("0.9", "0.10", "1.0"),
        registry.list().stream().map(e -> e.manifest().version().toString()).toList());
  }

  @Test
  void anAdapterWhoseWritingWasCutShortAnywhereDoesNotExistAndIsCompletedByTheNextAttempt() {
    AdapterArtifact adapter = adapter(1, 0, 1);
    for (int written = 0; written < 7; written++) {
      AdapterRegistry registry =
          AdapterRegistry.open(
              new RegistryOptions(
                  "objects://" + bucket + written, dir.resolve("c" + written).toString(), 1 << 20));
      ObjectStore.failAfter(written);
      assertThrows(UncheckedIOException.class, () -> registry.write(adapter));
      ObjectStore.failAfter(Integer.MAX_VALUE);
      assertEquals(written, ObjectStore.keys(bucket + written).size());
      assertFalse(registry.contains(adapter.digest()));
      assertEquals(List.of(), registry.list());
      assertThrows(BadInputException.class, () -> registry.read(adapter.digest()));
      registry.write(adapter);
      assertEquals(List.of(), registry.verify(adapter.digest()));
      assertEquals(adapter.manifest(), registry.read(adapter.digest()).manifest());
    }
  }

  @ParameterizedTest
  @EnumSource
  void oneChangedByteInAnyTensorIsFoundAndRepairedByWritingAgain(Kind kind) throws IOException {
    AdapterRegistry registry = registry(kind, 1);
    AdapterArtifact adapter = adapter(1, 0, 1);
    registry.write(adapter);
    for (String member : members(kind)) {
      byte[] right = member(kind, member);
      if (!member.endsWith(".safetensors")) {
        continue;
      }
      byte[] wrong = right.clone();
      wrong[wrong.length - 1] ^= 1;
      overwrite(kind, member, wrong);
      evict();
      assertFalse(registry.verify(adapter.digest()).isEmpty(), member);
      assertThrows(BadInputException.class, () -> registry.read(adapter.digest()), member);
      registry.write(adapter);
      assertEquals(List.of(), registry.verify(adapter.digest()));
      assertArrayEquals(right, member(kind, member));
    }
  }

  @Test
  void aDamagedCopyInTheCacheIsFetchedAgain() throws IOException {
    AdapterRegistry registry = registry(Kind.OBJECTS);
    AdapterArtifact adapter = adapter(1, 0, 1);
    registry.write(adapter);
    registry.read(adapter.digest());
    List<Path> copies = cached("adapter_model.safetensors");
    assertEquals(3, copies.size());
    for (Path copy : copies) {
      byte[] bytes = Files.readAllBytes(copy);
      bytes[bytes.length - 1] ^= 1;
      Files.write(copy, bytes);
    }
    assertEquals(adapter.digest(), registry.read(adapter.digest()).weights().digest());
  }

  @Test
  void theCacheIsBounded() throws IOException {
    AdapterRegistry registry = registry(Kind.OBJECTS, 10_000);
    for (int i = 1; i <= 12; i++) {
      AdapterArtifact adapter = adapter(i, 0, i);
      registry.write(adapter);
      registry.read(adapter.digest());
    }
    long bytes = 0;
    for (Path file : cached("")) {
      bytes += Files.size(file);
    }
    assertTrue(bytes <= 10_000, bytes + " bytes");
    assertTrue(bytes > 2_000, bytes + " bytes");
    for (int i = 1; i <= 12; i++) {
      registry.read(adapter(i, 0, i).digest());
    }
  }

  @ParameterizedTest
  @EnumSource
  void pruningKeepsTheYoungTheLastThePinnedAndTheUsed(Kind kind) throws IOException {
    AdapterRegistry registry = registry(kind);
    List<String> digests = new ArrayList<>();
    for (int i = 1; i <= 6; i++) {
      digests.add(registry.write(adapter(i, 0, i)).digest());
    }
    ageAll(kind);
    String young = registry.write(adapter(7, 0, 0)).digest();
    registry.pin("job", List.of(digests.get(1)), Duration.ofHours(1));
    registry.pin("gone", List.of(digests.get(2)), Duration.ofMillis(-1));
    PruneRules rules = new PruneRules(Duration.ofHours(1), 2, Set.of(digests.get(3)));
    Pruned dry = registry.prune(rules, true);
    assertEquals(7, registry.list().size());
    Pruned pruned = registry.prune(rules, false);
    assertEquals(dry, pruned);
    assertEquals(Set.of(digests.get(0), digests.get(2)), Set.copyOf(pruned.removed()));
    assertEquals("pinned by job", pruned.kept().get(digests.get(1)));
    assertEquals("in use", pruned.kept().get(digests.get(3)));
    assertEquals("among the last 2", pruned.kept().get(digests.get(5)));
    assertTrue(pruned.kept().get(young).startsWith("younger"));
    assertEquals(5, registry.list().stream().map(Entry::digest).distinct().count());
    assertThrows(BadInputException.class, () -> registry.read(digests.get(0)));
    registry.unpin("job");
    registry.unpin("job");
    assertEquals(List.of(digests.get(1)), registry.prune(rules, false).removed());
  }

  @ParameterizedTest
  @EnumSource
  void writersOfTheSameAdapterAtTheSameTimeAgree(Kind kind) {
    AdapterArtifact adapter = adapter(1, 0, 1);
    List<CompletableFuture<Stored>> writers =
        Stream.generate(() -> CompletableFuture.supplyAsync(() -> registry(kind).write(adapter)))
            .limit(8)
            .toList();
    for (CompletableFuture<Stored> writer : writers) {
      assertEquals(adapter.digest(), writer.join().digest());
    }
    assertEquals(List.of(), registry(kind).verify(adapter.digest()));
    assertEquals(1, registry(kind).list().size());
  }

  @Test
  void refusesWhatIsNoDigestSoThatNobodyLeavesTheDirectory() {
    AdapterRegistry registry = registry(Kind.POSIX);
    assertThrows(BadInputException.class, () -> registry.read("../../etc"));
    assertThrows(BadInputException.class, () -> registry.pin("../x", List.of(), Duration.ZERO));
  }

  // ---- files of either kind

  private List<String> members(Kind kind) throws IOException {
    if (kind == Kind.OBJECTS) {
      return ObjectStore.keys(bucket);
    }
    try (Stream<Path> walk = Files.walk(dir.resolve("store"))) {
      return walk.filter(Files::isRegularFile).map(Path::toString).toList();
    }
  }

  private static byte[] member(Kind kind, String name) throws IOException {
    return kind == Kind.OBJECTS ? ObjectStore.bytes(name) : Files.readAllBytes(Path.of(name));
  }

  private static void overwrite(Kind kind, String name, byte[] bytes) throws IOException {
    if (kind == Kind.OBJECTS) {
      ObjectStore.overwrite(name, bytes);
    } else {
      Files.write(Path.of(name), bytes);
    }
  }

  private void ageAll(Kind kind) throws IOException {
    if (kind == Kind.OBJECTS) {
      ObjectStore.age(bucket, Duration.ofDays(1).toMillis());
      return;
    }
    for (String file : members(kind)) {
      Files.setLastModifiedTime(
          Path.of(file),
          FileTime.fromMillis(System.currentTimeMillis() - Duration.ofDays(1).toMillis()));
    }
  }

  private List<Path> cached(String suffix) throws IOException {
    try (Stream<Path> walk = Files.walk(dir.resolve("cache"))) {
      return walk.filter(Files::isRegularFile)
          .filter(file -> file.toString().endsWith(suffix))
          .toList();
    }
  }

  private void evict() throws IOException {
    if (Files.exists(dir.resolve("cache"))) {
      for (Path file : cached("")) {
        Files.delete(file);
      }
    }
  }
}
