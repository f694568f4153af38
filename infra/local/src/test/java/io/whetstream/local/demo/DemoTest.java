package io.whetstream.local.demo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.connectors.registry.AdapterRegistry;
import io.whetstream.connectors.registry.RegistryOptions;
import io.whetstream.local.LocalOptions;
import io.whetstream.local.StopSignal;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.scenes.DemoBase;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The demo in small: a few steps, on real Kafka, Flink, RocksDB, libtorch and ONNX Runtime. */
@Tag("cluster")
class DemoTest {
  private static final List<String> SMALL =
      List.of(
          "training.globalBatch=16",
          "mining.candidates=16",
          "mining.depth=0",
          "publish.everySteps=2",
          "heldOut.share=0.2",
          "gate.minSample=2",
          "gate.minChange=-1");

  @TempDir Path temp;
  private final List<String> said = new ArrayList<>();

  private JsonNode run(int seconds, String report) throws Exception {
    Path file = temp.resolve(report);
    // The change of looks comes at half of the first run.
    DemoOptions options = new DemoOptions(seconds, 1, 20, 4, 0.5, 4);
    new Demo(
            options,
            LocalOptions.in(temp.resolve("data")),
            DemoBase.unpack(temp.resolve("base")),
            file,
            new StreamJobs(SMALL),
            StopSignal.manual(),
            Demo.lines(said::add))
        .run();
    return new ObjectMapper().readTree(file.toFile());
  }

  private List<AdapterManifest> manifests() {
    return AdapterRegistry.open(RegistryOptions.of(temp.resolve("data/adapters").toString()))
        .list()
        .stream()
        .map(AdapterRegistry.Entry::manifest)
        .sorted(Comparator.comparing(AdapterManifest::version))
        .toList();
  }

  private AdapterManifest newest() {
    List<AdapterManifest> all = manifests();
    return all.get(all.size() - 1);
  }

  @Test
  void everyPairIsAccountedForAndASecondRunGoesOnWhereTheFirstStopped() throws Exception {
    JsonNode first = run(16, "first.json");
    JsonNode pairs = first.get("pairs");
    assertEquals(320, pairs.get("consumed").asLong(), pairs.toString());
    assertEquals(0, pairs.get("unaccounted").asLong(), pairs.toString());
    assertEquals(320 / DemoStream.BAD_PAIR_ONE_IN, pairs.get("deadLettered").asLong());
    assertTrue(pairs.get("trained").asLong() > 0, pairs.toString());
    assertTrue(pairs.get("heldOut").asLong() > 0, pairs.toString());
    assertTrue(first.at("/adapters/published").asLong() > 0, first.toString());
    assertNotNull(first.at("/recallAt1/recovered").numberValue(), first.toString());

    AdapterManifest last = newest();

    said.clear();
    JsonNode second = run(8, "second.json");
    assertTrue(
        said.stream().anyMatch(line -> line.startsWith("job finetune goes on from")),
        said.toString());
    // Same weights, next step: what was published last is what the next one was trained from.
    AdapterManifest next =
        manifests().stream()
            .filter(m -> m.version().epoch() > last.version().epoch())
            .findFirst()
            .orElseThrow();
    assertEquals(last.digest(), next.parent());
    assertTrue(next.step() > last.step(), next.step() + " after " + last.step());
    assertTrue(
        said.stream().noneMatch(line -> line.contains("trained again")),
        "a savepoint loses no step: " + said);
    JsonNode more = second.get("pairs");
    assertEquals(480, more.get("consumed").asLong(), more.toString());
    assertEquals(0, more.get("unaccounted").asLong(), more.toString());
    assertTrue(more.get("trained").asLong() > pairs.get("trained").asLong(), more.toString());
    assertTrue(
        second.at("/adapters/published").asLong() > first.at("/adapters/published").asLong(),
        second.toString());
  }
}
