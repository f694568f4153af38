package io.whetstream.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.TopicScan;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.Alert;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.time.Instant;
import java.util.Locale;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code whetstream alerts}: what matched. */
@Command(name = "alerts", description = "Shows alerts.")
final class AlertsCommand implements Runnable {
  private static final ObjectMapper JSON = new ObjectMapper();

  @Spec private CommandSpec spec;

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "say what to do: tail");
  }

  @Command(
      name = "tail",
      description = "Prints alerts as they come, one a line; with --json each as JSON.")
  int tail(
      @Mixin KafkaOptions kafka,
      @Mixin FormatOptions format,
      @Mixin ResultOptions result,
      @Option(names = "--from-beginning", description = "Begin with the oldest one there is.")
          boolean beginning,
      @Option(names = "--once", description = "End at what is the end now.") boolean once,
      @Option(names = "--query", paramLabel = "ID", description = "Only alerts of this query.")
          String query,
      @Option(
              names = "--limit",
              paramLabel = "N",
              defaultValue = "9223372036854775807",
              description = "End after so many.")
          long limit) {
    Topics topics = kafka.topics();
    RecordCodec<Alert> codec = format.format().codec(RecordType.ALERT, topics.alerts() + "-value");
    RecordCodec<Alert> json = RecordFormat.json().codec(RecordType.ALERT, null);
    long[] printed = {0};
    Consumer<ConsumerRecord<byte[], byte[]>> print =
        record -> {
          if (printed[0] >= limit || record.value() == null) {
            return;
          }
          try {
            Alert alert = codec.decode(record.value(), null, record.timestamp());
            if (query == null || query.equals(alert.queryId())) {
              result.out().println(result.json() ? line(json.encode(alert)) : text(alert));
              result.out().flush();
              printed[0]++;
            }
          } catch (BadInputException e) {
            result
                .err()
                .println(record.partition() + "@" + record.offset() + ": " + e.getMessage());
          }
        };
    try (TopicScan scan = new TopicScan(kafka.connection(), topics.alerts())) {
      if (!beginning) {
        scan.seekToEnd();
      }
      if (once) {
        scan.toEnd(print);
      } else {
        scan.follow(print, () -> printed[0] >= limit || result.out().checkError());
      }
    }
    return 0;
  }

  private static String line(byte[] json) {
    try {
      return JSON.writeValueAsString(JSON.readTree(json));
    } catch (IOException e) {
      throw new IllegalStateException("our own JSON can be read", e);
    }
  }

  private static String text(Alert alert) {
    String score =
        alert.scores().isEmpty()
            ? ""
            : String.format(
                Locale.ROOT,
                "%s %.4f (from %.4f)",
                alert.scores().get(0).kind().label(),
                alert.scores().get(0).score(),
                alert.scores().get(0).threshold());
    return Instant.ofEpochMilli(alert.eventTime())
        + "  "
        + alert.queryId()
        + " <- "
        + alert.itemId()
        + "  "
        + score
        + (alert.suppressed() > 0 ? "  +" + alert.suppressed() + " suppressed" : "")
        + (alert.finalCount() ? "  final count" : "")
        + "  adapter "
        + alert.adapterDigest().substring(0, Math.min(12, alert.adapterDigest().length()))
        + "  "
        + alert.alertId();
  }
}
