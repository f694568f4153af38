package io.whetstream.cli;

import io.whetstream.connectors.kafka.Topics;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code whetstream topics}: creates and checks the topics. */
@Command(name = "topics", description = "Creates and checks the Kafka topics.")
final class TopicsCommand implements Runnable {
  @Spec private CommandSpec spec;

  /** The result of {@code create} with {@code --json}. */
  record Created(List<String> created, Map<String, String> problems) {}

  /** The result of {@code check} with {@code --json}. */
  record Checked(boolean ok, Map<String, String> problems) {}

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "say what to do: create or check");
  }

  @Command(
      name = "create",
      description = "Creates the topics that are missing; leaves the others as they are.")
  int create(
      @Mixin KafkaOptions kafka,
      @Mixin ResultOptions result,
      @Option(
              names = "--partitions",
              paramLabel = "N",
              defaultValue = "4",
              description = "Of topics that need not keep one order (default: 4).")
          int partitions,
      @Option(
              names = "--replication",
              paramLabel = "N",
              defaultValue = "1",
              description = "Copies of each (default: 1).")
          short replication) {
    Topics topics = kafka.topics();
    try (Admin admin = kafka.connection().admin()) {
      List<String> created = topics.create(admin, partitions, replication);
      Map<String, String> problems = topics.check(admin, List.of());
      result.print(
          new Created(created, problems),
          (created.isEmpty() ? "all topics are there" : "created " + String.join(", ", created))
              + text(problems));
      return problems.isEmpty() ? 0 : Main.FAILED;
    }
  }

  @Command(name = "check", description = "Says which topics are missing or not as they must be.")
  int check(@Mixin KafkaOptions kafka, @Mixin ResultOptions result) {
    try (Admin admin = kafka.connection().admin()) {
      Map<String, String> problems = kafka.topics().check(admin, List.of());
      result.print(
          new Checked(problems.isEmpty(), problems),
          problems.isEmpty() ? "all topics are as they must be" : text(problems).strip());
      return problems.isEmpty() ? 0 : Main.FAILED;
    }
  }

  private static String text(Map<String, String> problems) {
    StringBuilder text = new StringBuilder();
    problems.forEach(
        (topic, problem) -> text.append('\n').append(topic).append(": ").append(problem));
    return text.toString();
  }
}
