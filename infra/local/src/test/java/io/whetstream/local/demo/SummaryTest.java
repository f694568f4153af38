package io.whetstream.local.demo;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class SummaryTest {
  private static String ownPairs(DemoReport.HeldOut heldOut, long published, long refused) {
    return String.join(
        "\n",
        Summary.lines(
            new DemoReport(
                DemoReport.Pairs.of(303, 240, 48, 1, 0, 2, 12),
                new DemoReport.Adapters(published, refused),
                new DemoReport.RecallAt1(null, null, null, null, null),
                new DemoReport.CompositionalAccuracy(null, null),
                heldOut,
                new DemoReport.Alerts(9, 0, null, 0.25, new DemoReport.DuringDrift(0, null, null)),
                DemoReport.Percentiles99.of(new double[0]),
                DemoReport.Percentiles95.of(new double[] {3}),
                12.5,
                1L << 30)));
  }

  @Test
  void ownPairsAreToldWithTheirOwnMeasureAndTheirCountsAddUp() {
    String said = ownPairs(new DemoReport.HeldOut(0.1, 32L, 0.5, 44L), 3, 1);
    assertTrue(said.contains("2 came a second time; nothing was lost"), said);
    assertTrue(said.contains("10 % of 32 for the untrained model"), said);
    assertTrue(said.contains("50 % of 44 with the adapter published last"), said);
    assertTrue(
        said.contains("9 alerts: of the images whose own caption is watched for, 25 %"), said);
    assertFalse(said.contains("scene"), said);
    assertFalse(said.contains("precision"), said);
  }

  @Test
  void withoutAnAdapterItIsSaidWhyAndNothingElse() {
    DemoReport.HeldOut nothing = new DemoReport.HeldOut(null, null, null, null);
    assertTrue(ownPairs(nothing, 0, 0).contains("too few held-out pairs"));
    String refused = ownPairs(nothing, 0, 4);
    assertTrue(refused.contains("worse than what was in use"), refused);
    assertFalse(refused.contains("alerts"), refused);
    assertFalse(refused.contains("not measured"), refused);
  }
}
