package io.whetstream.cli;

import io.whetstream.connectors.kafka.DeadLetterReplay;
import io.whetstream.connectors.kafka.DeadLetters;
import io.whetstream.connectors.kafka.TopicScan;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.model.BadInputException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code whetstream dlq}: records that could not be used. */
@Command(
    name = "dlq",
    description = "Lists and replays dead letters: records that could not be used.")
final class DeadLettersCommand implements Runnable {
  @Spec private CommandSpec spec;

  /** Whose dead letters. */
  enum Source {
    PAIRS,
    ITEMS
  }

  /** A line of {@code list} with {@code --json}. */
  record Listed(
      String at,
      String stage,
      String error,
      String message,
      long bytes,
      int hops,
      String spilledTo) {}

  /** The result of {@code replay} with {@code --json}. */
  record Replayed(String topic, long replayed, long tooManyHops, long foreign, boolean dryRun) {}

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "say what to do: list or replay");
  }

  private static String source(Topics topics, Source source) {
    return source == Source.PAIRS ? topics.pairs() : topics.items();
  }

  private static String letters(Topics topics, Source source) {
    return source == Source.PAIRS ? topics.pairsDeadLetters() : topics.itemsDeadLetters();
  }

  @Command(name = "list", description = "Lists dead letters with where they lay and why.")
  int list(
      @Mixin KafkaOptions kafka,
      @Mixin ResultOptions result,
      @Option(names = "--topic", required = true, description = "pairs or items.") Source source,
      @Option(names = "--pending", description = "Only those that were not replayed yet.")
          boolean pending) {
    String topic = letters(kafka.topics(), source);
    List<Listed> listed = new ArrayList<>();
    // Only what is printed is kept: values may be large.
    Consumer<ConsumerRecord<byte[], byte[]>> add =
        record -> {
          if (!DeadLetters.isReplayMark(record)) {
            listed.add(listed(record));
          }
        };
    if (pending) {
      new DeadLetterReplay(kafka.connection(), topic, null, 1).pending(add);
    } else {
      try (TopicScan scan = new TopicScan(kafka.connection(), topic)) {
        scan.toEnd(add);
      }
    }
    StringBuilder lines = new StringBuilder();
    for (Listed line : listed) {
      lines
          .append(line.at())
          .append("  ")
          .append(line.stage())
          .append("  ")
          .append(Failures.oneLine(line.message()))
          .append("  ")
          .append(
              line.spilledTo() == null ? line.bytes() + " bytes" : "value in " + line.spilledTo())
          .append(line.hops() == 0 ? "" : "  replayed " + line.hops() + " times")
          .append('\n');
    }
    result.print(listed, listed.isEmpty() ? "no dead letters" : lines.toString().stripTrailing());
    return 0;
  }

  private static Listed listed(ConsumerRecord<byte[], byte[]> record) {
    long bytes = record.value() == null ? 0 : record.value().length;
    try {
      DeadLetter letter = DeadLetters.read(record);
      return new Listed(
          letter.at().toString(),
          letter.stage(),
          letter.errorClass(),
          letter.message(),
          bytes,
          letter.hops(),
          letter.spilledTo());
    } catch (BadInputException e) {
      String at = new Coordinates(record.topic(), record.partition(), record.offset()).toString();
      return new Listed(at, "foreign", e.getClass().getName(), e.getMessage(), bytes, 0, null);
    }
  }

  @Command(
      name = "replay",
      description =
          "Sends dead letters that were not replayed yet back to their topic, bytes unchanged.")
  int replay(
      @Mixin KafkaOptions kafka,
      @Mixin ResultOptions result,
      @Option(names = "--topic", required = true, description = "pairs or items.") Source source,
      @Option(
              names = "--max-hops",
              paramLabel = "N",
              defaultValue = "3",
              description = "Leave letters that were replayed so often already (default: 3).")
          int maxHops,
      @Option(
              names = "--registry",
              paramLabel = "URI",
              description =
                  "Where adapters are, with values that were too large for the topic beside them.")
          String registry,
      @Option(names = "--dry-run", description = "Only say how many.") boolean dryRun) {
    Topics topics = kafka.topics();
    DeadLetterReplay replay =
        new DeadLetterReplay(
            kafka.connection(),
            letters(topics, source),
            registry == null ? null : registry + "/dead-letters",
            maxHops);
    DeadLetterReplay.Result done = dryRun ? replay.preview() : replay.run();
    result.print(
        new Replayed(
            source(topics, source), done.replayed(), done.tooManyHops(), done.foreign(), dryRun),
        done.replayed()
            + (dryRun ? " would go back to " : " went back to ")
            + source(topics, source)
            + (done.tooManyHops() == 0
                ? ""
                : "; " + done.tooManyHops() + " came back too often and stay")
            + (done.foreign() == 0
                ? ""
                : "; " + done.foreign() + " are no dead letters of ours and stay"));
    return 0;
  }
}
