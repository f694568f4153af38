package io.whetstream.cli;

import io.whetstream.connectors.records.Alert;
import io.whetstream.jobs.score.Explainer;
import io.whetstream.jobs.score.Explanation;
import io.whetstream.jobs.score.Explanation.Comparison;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code whetstream explain}: computes an alert again. */
@Command(
    name = "explain",
    description =
        "Computes an alert again from Kafka and the registry, and says whether it holds under the"
            + " adapter published now.")
final class ExplainCommand implements Callable<Integer> {
  @Mixin private ResultOptions result;
  @Mixin private ScoreOptions score;

  @Option(
      names = "--alert",
      required = true,
      paramLabel = "FILE|ID",
      description = "A file with the alert as it is in the topic, or the alert's id.")
  private String alert;

  @Override
  public Integer call() throws IOException {
    try (Explainer explainer = new Explainer(score.config())) {
      Path file = Path.of(alert);
      Alert found =
          Files.isRegularFile(file)
              ? explainer.parse(Files.readAllBytes(file))
              : explainer.find(alert);
      Explanation explanation = explainer.explain(found);
      result.print(explanation, text(explanation));
    }
    return 0;
  }

  private static String text(Explanation explanation) {
    if (!explanation.retained()) {
      return "alert " + explanation.alertId() + ": " + explanation.reason();
    }
    StringBuilder text = new StringBuilder();
    text.append("alert ").append(explanation.alertId());
    text.append("\nunder its adapter ").append(explanation.adapterDigest());
    for (Comparison each : explanation.comparisons()) {
      text.append(
          String.format(
              "%n  %-11s %.6f, the alert says %.6f, threshold %.6f: %s",
              each.kind(), each.score(), each.alertScore(), each.threshold(), each.verdict()));
    }
    text.append(
        explanation.reproduces()
            ? "\n  the alert is reproduced within 1e-5"
            : "\n  THE ALERT IS NOT REPRODUCED");
    text.append("\nunder the published adapter ").append(explanation.publishedDigest());
    for (Comparison each : explanation.underPublished()) {
      text.append(
          String.format(
              "%n  %-11s %.6f, threshold %.6f: %s",
              each.kind(), each.score(), each.threshold(), each.verdict()));
    }
    return text.append(explanation.holdsUnderPublished() ? "\n  it holds" : "\n  it does not hold")
        .toString();
  }
}
