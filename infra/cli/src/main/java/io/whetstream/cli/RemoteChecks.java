package io.whetstream.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.cli.DoctorCommand.Check;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.jobs.config.KafkaSettings;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.flink.configuration.MemorySize;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.KafkaException;

/** What {@code whetstream doctor} sees of a Flink cluster and of a Kafka broker. */
final class RemoteChecks {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Duration PATIENCE = Duration.ofSeconds(15);

  /** Beyond this nothing has been checkpointed for long, whatever the interval. */
  private static final Duration CHECKPOINT_AGE = Duration.ofMinutes(10);

  private static final long OFF_HEAP = MemorySize.parse("512m").getBytes();

  private RemoteChecks() {}

  /** Looks at a Flink cluster through its REST interface. */
  static List<Check> flink(URI address) throws InterruptedException {
    List<Check> checks = new ArrayList<>();
    Rest rest = new Rest(address);
    JsonNode overview;
    try {
      overview = rest.get("/overview");
    } catch (IOException | IllegalArgumentException e) {
      String found = "no answer from " + address + ": " + Failures.oneLine(String.valueOf(e));
      return List.of(
          new Check(
              "flink", found, false, "give the address of the JobManager's web page, --cluster"));
    }
    String version = overview.path("flink-version").asText();
    checks.add(
        new Check(
            "flink",
            version + " at " + address,
            atLeast(version, 2, 2),
            "the jobs need Flink 2.2 or newer"));
    int slots = overview.path("slots-total").asInt();
    checks.add(
        new Check(
            "slots",
            overview.path("taskmanagers").asInt()
                + " TaskManagers, "
                + overview.path("slots-available").asInt()
                + " of "
                + slots
                + " slots free",
            slots > 0,
            "start a TaskManager; in application mode they come with the job"));
    try {
      checks.add(offHeap(rest.get("/jobmanager/config")));
      for (JsonNode job : rest.get("/jobs/overview").path("jobs")) {
        checks.addAll(job(rest, job));
      }
    } catch (IOException e) {
      checks.add(
          new Check(
              "jobs",
              Failures.oneLine(String.valueOf(e)),
              false,
              "the JobManager stopped answering: look at its log"));
    }
    return checks;
  }

  private static Check offHeap(JsonNode configuration) {
    String value = "0";
    for (JsonNode entry : configuration) {
      if (entry.path("key").asText().equals("taskmanager.memory.task.off-heap.size")) {
        value = entry.path("value").asText();
      }
    }
    return new Check(
        "off-heap",
        "taskmanager.memory.task.off-heap.size is " + value,
        MemorySize.parse(value).getBytes() >= OFF_HEAP,
        "give libtorch and ONNX Runtime 512m or more there, or the process is killed for memory");
  }

  private static List<Check> job(Rest rest, JsonNode job) throws IOException, InterruptedException {
    String name = job.path("name").asText();
    String state = job.path("state").asText();
    List<Check> checks = new ArrayList<>();
    boolean meant = List.of("FINISHED", "CANCELED").contains(state);
    checks.add(
        new Check(
            "job",
            name + " is " + state,
            state.equals("RUNNING") || meant,
            "its exceptions in Flink's web page say why; docs/runbooks.md, Restarts"));
    if (state.equals("RUNNING")) {
      JsonNode checkpoints = rest.get("/jobs/" + job.path("jid").asText() + "/checkpoints");
      long now = job.path("start-time").asLong() + job.path("duration").asLong();
      JsonNode newest = checkpoints.at("/latest/completed/latest_ack_timestamp");
      long since = newest.isMissingNode() ? job.path("start-time").asLong() : newest.asLong();
      Duration age = Duration.ofMillis(Math.max(0, now - since));
      checks.add(
          new Check(
              "checkpoint",
              name
                  + ": "
                  + checkpoints.at("/counts/completed").asLong()
                  + " completed, "
                  + checkpoints.at("/counts/failed").asLong()
                  + " failed, the newest "
                  + age.toSeconds()
                  + " s ago",
              age.compareTo(CHECKPOINT_AGE) < 0,
              "after 14 minutes transactions time out; docs/runbooks.md, No checkpoint"));
    }
    return checks;
  }

  private static boolean atLeast(String version, int major, int minor) {
    String[] parts = version.split("[.-]");
    try {
      int first = Integer.parseInt(parts[0]);
      return first > major || first == major && Integer.parseInt(parts[1]) >= minor;
    } catch (NumberFormatException | ArrayIndexOutOfBoundsException e) {
      return false;
    }
  }

  /** Looks at a broker and its topics. */
  static List<Check> kafka(KafkaConnection kafka, Topics topics) throws InterruptedException {
    List<Check> checks = new ArrayList<>();
    try (Admin admin = kafka.admin()) {
      int brokers =
          admin.describeCluster().nodes().get(PATIENCE.toSeconds(), TimeUnit.SECONDS).size();
      checks.add(
          new Check("kafka", brokers + " brokers at " + kafka.bootstrapServers(), brokers > 0, ""));
      Map<String, String> problems = topics.check(admin, List.of());
      if (problems.isEmpty()) {
        checks.add(new Check("topics", topics.specs().size() + " as they must be", true, ""));
      }
      problems.forEach(
          (topic, problem) ->
              checks.add(
                  new Check(
                      "topics",
                      topic + " " + problem,
                      false,
                      "whetstream topics create or check")));
      checks.add(transactions(admin));
    } catch (KafkaException | ExecutionException | TimeoutException e) {
      checks.add(
          new Check(
              "kafka",
              "no answer from "
                  + kafka.bootstrapServers()
                  + ": "
                  + Failures.oneLine(String.valueOf(e.getCause() == null ? e : e.getCause())),
              false,
              "give an address that answers, and with --kafka-config what it asks of clients"));
    }
    return checks;
  }

  private static Check transactions(Admin admin) {
    Duration wanted = KafkaSettings.defaults().transactionTimeout();
    try {
      Topics.requireTransactionTimeout(admin, wanted);
      return new Check(
          "transactions", "of " + wanted.toMinutes() + " minutes are allowed", true, "");
    } catch (BadInputException e) {
      return new Check(
          "transactions",
          Failures.oneLine(e.getMessage()),
          false,
          "raise the broker's transaction.max.timeout.ms, or lower kafka.transactionTimeout");
    }
  }

  private static final class Rest {
    private final HttpClient http = HttpClient.newBuilder().connectTimeout(PATIENCE).build();
    private final String address;

    Rest(URI address) {
      this.address = address.toString().replaceAll("/+$", "");
    }

    JsonNode get(String path) throws IOException, InterruptedException {
      HttpResponse<String> answer =
          http.send(
              HttpRequest.newBuilder(URI.create(address + path)).timeout(PATIENCE).build(),
              BodyHandlers.ofString());
      if (answer.statusCode() != 200) {
        throw new IOException(address + path + " answers " + answer.statusCode());
      }
      return JSON.readTree(answer.body());
    }
  }
}
