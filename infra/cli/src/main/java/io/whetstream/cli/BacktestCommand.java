package io.whetstream.cli;

import io.whetstream.jobs.score.Backtest;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code whetstream backtest}: what a query would have matched. */
@Command(
    name = "backtest",
    description =
        "Runs a query over the items that are still retained, under one or several adapters. The"
            + " live job does not notice.")
final class BacktestCommand implements Callable<Integer> {
  @Mixin private ResultOptions result;
  @Mixin private ScoreOptions score;

  @Option(
      names = "--query",
      required = true,
      paramLabel = "FILE",
      description = "A file with the query as it would be in the topic.")
  private Path query;

  @Option(
      names = "--from",
      defaultValue = "EARLIEST",
      paramLabel = "EARLIEST|TIME",
      description = "Where to begin: EARLIEST or a time like 2026-01-31T12:00:00Z.")
  private String from;

  @Option(
      names = "--adapters",
      split = ",",
      paramLabel = "DIGEST",
      description = "Digests, or base, separated by commas (default: the published adapter).")
  private List<String> adapters = new ArrayList<>();

  @Override
  public Integer call() throws IOException {
    if (!Files.isRegularFile(query)) {
      throw new BadInputException("--query " + query + " does not exist; give a file");
    }
    try (Backtest backtest = new Backtest(score.config())) {
      List<Backtest.Result> results =
          backtest.run(List.of(backtest.parse(Files.readAllBytes(query))), fromMillis(), adapters);
      result.print(results, text(results));
    }
    return 0;
  }

  private long fromMillis() {
    if (from.equalsIgnoreCase("EARLIEST")) {
      return 0;
    }
    try {
      return Instant.parse(from).toEpochMilli();
    } catch (DateTimeParseException e) {
      throw new BadInputException(
          "--from " + from + ": give EARLIEST or a time like 2026-01-31T12:00:00Z", e);
    }
  }

  private static String text(List<Backtest.Result> results) {
    StringBuilder text = new StringBuilder();
    for (Backtest.Result each : results) {
      text.append(text.isEmpty() ? "" : "\n");
      text.append("query ").append(each.queryId()).append(" under ").append(each.adapterDigest());
      if (!each.refused().isEmpty()) {
        text.append("\n  refused: ").append(each.refused());
        continue;
      }
      text.append("\n  thresholds ").append(each.thresholds());
      text.append(
          String.format(
              "%n  %d of %d items match (%d could not be used)",
              each.matches(), each.items(), each.unusable()));
      for (Backtest.Example best : each.best()) {
        text.append(
            String.format(
                "%n  %-11s %.4f >= %.4f  %s (%s)",
                best.kind(), best.score(), best.threshold(), best.itemId(), best.itemAt()));
      }
    }
    return text.toString();
  }
}
