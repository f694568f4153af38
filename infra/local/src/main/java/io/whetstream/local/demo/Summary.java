package io.whetstream.local.demo;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Says in plain words what a run of the demo came to. */
final class Summary {
  private Summary() {}

  static List<String> lines(DemoReport report) {
    List<String> lines = new ArrayList<>();
    DemoReport.Pairs pairs = report.pairs();
    lines.add("");
    lines.add(
        String.format(
            Locale.ROOT,
            "Of %d pairs read, %d were trained on once each, %d kept apart for testing, %d could"
                + " not be read and lie in the dead-letter topic, %d wait in the savepoint%s%s%s.",
            pairs.consumed(),
            pairs.trained(),
            pairs.heldOut(),
            pairs.deadLettered(),
            pairs.pending(),
            pairs.duplicates() == 0 ? "" : ", " + pairs.duplicates() + " came a second time",
            pairs.skipped() == 0 ? "" : ", " + pairs.skipped() + " were skipped",
            pairs.unaccounted() == 0
                ? "; nothing was lost"
                : "; " + pairs.unaccounted() + " are not accounted for"));
    DemoReport.RecallAt1 recall = report.recallAt1();
    if (recall.start() == null) {
      addOwnPairs(lines, report);
      return lines;
    }
    lines.add(
        "Finding the right one of 256 unseen scenes: "
            + percent(recall.start())
            + " at the start, "
            + percent(recall.baseBestPrompt())
            + " for the untrained model with its best hand-written prompt, "
            + percent(recall.beforeDrift())
            + " after learning.");
    if (recall.preDriftOnDrifted() != null) {
      lines.add(
          "When the looks changed, that adapter fell to "
              + percent(recall.preDriftOnDrifted())
              + (recall.recovered() == null
                  ? "; none was published on the new looks."
                  : "; the one published last is at "
                      + percent(recall.recovered())
                      + " on the new looks."));
    }
    if (report.compositionalAccuracy().published() != null) {
      StringBuilder kinds = new StringBuilder("Telling a caption from one with a single change: ");
      for (Map.Entry<String, Double> kind : report.compositionalAccuracy().published().entrySet()) {
        kinds
            .append(kind.getKey())
            .append(' ')
            .append(percent(report.compositionalAccuracy().start().get(kind.getKey())))
            .append(" -> ")
            .append(percent(kind.getValue()))
            .append("  ");
      }
      lines.add(kinds.append("(chance 50 %)").toString());
    }
    addAlerts(lines, report);
    return lines;
  }

  private static void addOwnPairs(List<String> lines, DemoReport report) {
    DemoReport.HeldOut heldOut = report.heldOut();
    if (heldOut.published() == null) {
      lines.add(
          "Nothing was published, so nothing was scored: "
              + (report.adapters().refused() > 0
                  ? "the gate found each candidate worse than what was in use."
                  : "there were too few steps or too few held-out pairs to decide on."));
      return;
    }
    lines.add(
        String.format(
            Locale.ROOT,
            "Finding the right one of the pairs kept apart: %s of %d for the untrained model when"
                + " the first adapter was published, %s of %d with the adapter published last.",
            percent(heldOut.start()),
            heldOut.startPairs(),
            percent(heldOut.published()),
            heldOut.publishedPairs()));
    lines.add(
        report.alerts().raised()
            + " alerts: of the images whose own caption is watched for, "
            + percent(report.alerts().recall())
            + " were found; whether the others fit a caption as well, nobody has said.");
    addAdapters(lines, report);
  }

  private static void addAlerts(List<String> lines, DemoReport report) {
    DemoReport.Alerts alerts = report.alerts();
    lines.add(
        alerts.raised()
            + " alerts: precision "
            + percent(alerts.precision())
            + ", recall "
            + percent(alerts.recall())
            + " on what was planted, outside the time from the change to the recovery.");
    addAdapters(lines, report);
  }

  private static void addAdapters(List<String> lines, DemoReport report) {
    lines.add(
        report.adapters().published()
            + " adapters published, "
            + report.adapters().refused()
            + " kept out by the gate; from a pair to its effect on scores "
            + seconds(report.freshnessSeconds().p50())
            + " (median).");
  }

  private static String percent(Double share) {
    return share == null ? "(not measured)" : String.format(Locale.ROOT, "%.0f %%", 100 * share);
  }

  private static String seconds(Double value) {
    return value == null ? "(not measured)" : String.format(Locale.ROOT, "%.1f s", value);
  }
}
