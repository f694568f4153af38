package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.jobs.finetune.Processes.Running;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** What a JobManager or TaskManager reports to Prometheus. */
final class Scrape {
  private static final HttpClient HTTP = HttpClient.newHttpClient();
  private static final Duration LONG = Duration.ofMinutes(5);
  private static final Path RULES = Path.of("../grafana/alerts.yaml");

  private final String address;

  private Scrape(String address) {
    this.address = address;
  }

  /** Of a process that has the reporter, as soon as it says where it listens. */
  static Scrape of(Running process) throws Exception {
    Pattern started = Pattern.compile("Started PrometheusReporter HTTP server on port (\\d+)");
    SessionCluster.await("the reporter", LONG, () -> started.matcher(process.text()).find());
    Matcher matcher = started.matcher(process.text());
    assertTrue(matcher.find());
    return new Scrape("http://127.0.0.1:" + matcher.group(1) + "/metrics");
  }

  /** The largest value of a metric of an operator; -1 where there is none. */
  double value(String name) throws Exception {
    return Pattern.compile(
            "^flink_taskmanager_job_task_operator_" + name + "\\{[^}]*} (\\S+)$", Pattern.MULTILINE)
        .matcher(get(address))
        .results()
        .mapToDouble(found -> Double.parseDouble(found.group(1)))
        .max()
        .orElse(-1);
  }

  /** Names of all metrics. */
  Set<String> names() throws Exception {
    return Arrays.stream(get(address).split("\n"))
        .filter(line -> !line.startsWith("#"))
        .map(line -> line.replaceAll("[{ ].*", ""))
        .collect(Collectors.toCollection(TreeSet::new));
  }

  /** Waits until a counter has grown by as much as its alert rule asks about. */
  void awaitBeyondItsRule(String counter) throws Exception {
    Matcher rule =
        Pattern.compile(
                "increase\\(flink_taskmanager_job_task_operator_"
                    + counter
                    + "\\[\\w+]\\) > (\\d+)")
            .matcher(Files.readString(RULES));
    assertTrue(rule.find(), "no rule for " + counter);
    double bound = Double.parseDouble(rule.group(1));
    SessionCluster.await(counter + " above " + bound, LONG, () -> value(counter) > bound);
  }

  static String get(String address) throws Exception {
    return HTTP.send(HttpRequest.newBuilder(URI.create(address)).build(), BodyHandlers.ofString())
        .body();
  }
}
