package io.whetstream.local.demo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DemoReportTest {
  @TempDir Path temp;

  @Test
  void isWrittenWholeWithTheKeysThatReadersExpect() throws Exception {
    DemoReport report =
        new DemoReport(
            DemoReport.Pairs.of(10, 5, 2, 1, 0, 1, 1),
            new DemoReport.Adapters(3, 1),
            new DemoReport.RecallAt1(0.7, 0.02, 0.9, 0.2, null),
            new DemoReport.CompositionalAccuracy(Map.of("swap", 0.5), Map.of("swap", 0.6)),
            new DemoReport.HeldOut(0.1, 40L, 0.5, 90L),
            new DemoReport.Alerts(
                4, 0, DemoReport.orNull(Double.NaN), 0.9, new DemoReport.DuringDrift(5, 0.5, 0.5)),
            DemoReport.Percentiles99.of(new double[] {2, 1}),
            DemoReport.Percentiles95.of(new double[0]),
            12.5,
            1L << 30);
    Path file = temp.resolve("sub/report.json");
    report.write(file);
    JsonNode json = new ObjectMapper().readTree(file.toFile());
    for (String key :
        new String[] {
          "pairs/consumed",
          "pairs/trained",
          "pairs/heldOut",
          "pairs/deadLettered",
          "adapters/published",
          "adapters/refused",
          "recallAt1/baseBestPrompt",
          "recallAt1/start",
          "recallAt1/beforeDrift",
          "recallAt1/preDriftOnDrifted",
          "recallAt1/recovered",
          "compositionalAccuracy/start/swap",
          "compositionalAccuracy/published/swap",
          "heldOut/start",
          "heldOut/startPairs",
          "heldOut/published",
          "heldOut/publishedPairs",
          "alerts/raised",
          "alerts/suppressed",
          "alerts/precision",
          "alerts/recall",
          "swapMillis/p50",
          "swapMillis/p99",
          "freshnessSeconds/p50",
          "freshnessSeconds/p95",
          "startSeconds",
          "peakRssBytes"
        }) {
      assertTrue(!json.at("/" + key).isMissingNode(), key);
    }
    assertTrue(json.at("/recallAt1/recovered").isNull(), "what was not measured is null");
    assertTrue(json.at("/alerts/precision").isNull());
    try (Stream<Path> files = Files.list(file.getParent())) {
      assertEquals(1, files.count(), "nothing but the report is left behind");
    }
  }

  @Test
  void aLostPairIsUnaccountedForAndSoIsADoubledOne() {
    assertEquals(0, DemoReport.Pairs.of(10, 5, 2, 1, 0, 1, 1).unaccounted());
    assertEquals(1, DemoReport.Pairs.of(10, 4, 2, 1, 0, 1, 1).unaccounted());
    assertEquals(-1, DemoReport.Pairs.of(10, 6, 2, 1, 0, 1, 1).unaccounted());
  }

  @Test
  void percentilesAreNearestRank() {
    double[] values = IntStream.rangeClosed(1, 100).mapToDouble(i -> i).toArray();
    assertEquals(50.0, DemoReport.percentile(values, 50));
    assertEquals(99.0, DemoReport.percentile(values, 99));
    assertEquals(3.0, DemoReport.percentile(new double[] {3}, 99));
    assertNull(DemoReport.percentile(new double[0], 50));
  }
}
