package io.whetstream.deploy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.whetstream.jobs.MetricCatalog;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * The catalogue of metrics against sources, page, dashboard and alert rules. That a running cluster
 * reports the same names is looked at by ImagesTest.
 */
class MetricsTest {
  private static final Path GRAFANA = Yaml.ROOT.resolve("infra/grafana");
  private static final Pattern REGISTERED =
      Pattern.compile("(?:counter|gauge|histogram|meter)\\(\\s*\"(\\w+)\"");

  /** Flink's own metrics that dashboard and alert rules use. */
  private static final Set<String> OF_FLINK =
      Set.of(
          "flink_jobmanager_job_numberOfCompletedCheckpoints",
          "flink_jobmanager_job_numberOfFailedCheckpoints",
          "flink_jobmanager_job_lastCheckpointDuration",
          "flink_jobmanager_job_lastCheckpointSize",
          "flink_jobmanager_job_numRestarts",
          "flink_jobmanager_numRunningJobs",
          "flink_taskmanager_job_task_operator_pendingRecords",
          "flink_taskmanager_job_task_operator_currentEmitEventTimeLag",
          "flink_taskmanager_Status_JVM_Memory_Heap_Used",
          "flink_taskmanager_Status_JVM_CPU_Load");

  /** Of NVIDIA's dcgm-exporter, among those that it exports unless told otherwise. */
  private static final Set<String> OF_GPUS =
      Set.of(
          "DCGM_FI_DEV_XID_ERRORS",
          "DCGM_FI_DEV_FB_FREE",
          "DCGM_FI_DEV_FB_USED",
          "DCGM_FI_DEV_GPU_UTIL");

  @Test
  void everyMetricThatSourcesRegisterIsInTheCatalogueAndNoOtherIs() throws Exception {
    Map<String, String> registered = new TreeMap<>();
    for (String module : List.of("jobs", "connectors")) {
      try (Stream<Path> files = Files.walk(Yaml.ROOT.resolve(module + "/src/main/java"))) {
        for (Path file : files.filter(f -> f.toString().endsWith(".java")).toList()) {
          // Functions of SQL are in a person's own jobs, not in ours.
          boolean sql = file.toString().contains("/jobs/table/");
          if (!file.endsWith("MetricCatalog.java") && !sql) {
            Matcher matcher = REGISTERED.matcher(Files.readString(file));
            while (matcher.find()) {
              registered.put(matcher.group(1), file.getFileName().toString());
            }
          }
        }
      }
    }
    Set<String> known =
        MetricCatalog.all().stream()
            .map(metric -> metric.name().replaceAll(".*\\.", ""))
            .collect(Collectors.toCollection(TreeSet::new));
    // The ledger's fates are registered in a loop over them.
    known.removeIf(name -> isFate(name));
    assertEquals(known, registered.keySet(), registered.toString());
    assertEquals(
        fates(),
        MetricCatalog.all().stream()
            .map(MetricCatalog.Metric::name)
            .filter(name -> name.startsWith("trainer.ledger."))
            .map(name -> name.substring("trainer.ledger.".length()))
            .collect(Collectors.toSet()));
  }

  private static boolean isFate(String name) {
    return MetricCatalog.all().stream()
        .anyMatch(metric -> metric.name().equals("trainer.ledger." + name));
  }

  private static Set<String> fates() throws IOException {
    String ledger =
        Files.readString(
            Yaml.ROOT.resolve("jobs/src/main/java/io/whetstream/jobs/finetune/Ledger.java"));
    Matcher matcher = Pattern.compile("enum Fate \\{([^}]*)}").matcher(ledger);
    assertTrue(matcher.find());
    return Pattern.compile("\\b([A-Z_]+)\\b")
        .matcher(matcher.group(1).replaceAll("/\\*\\*.*?\\*/|//.*", ""))
        .results()
        .map(found -> found.group(1).toLowerCase(Locale.ROOT))
        .collect(Collectors.toSet());
  }

  @Test
  void thePageIsTheCatalogue() throws Exception {
    String page = Files.readString(Yaml.ROOT.resolve("docs/metrics.md"));
    String table = MetricCatalog.markdown();
    if (!page.contains(table)) {
      assertEquals(table, page, "put this table into docs/metrics.md");
    }
  }

  @Test
  void dashboardAndAlertRulesNameMetricsThatThereAre() throws Exception {
    Set<String> known =
        MetricCatalog.all().stream()
            .map(MetricCatalog.Metric::inPrometheus)
            .collect(Collectors.toSet());
    known.addAll(OF_FLINK);
    known.addAll(OF_GPUS);
    List<String> expressions = new ArrayList<>();
    dashboard().findValues("expr").forEach(each -> expressions.add(each.asText()));
    int panels = expressions.size();
    rules().forEach(rule -> expressions.add(rule.path("expr").asText()));
    assertTrue(panels > 15 && expressions.size() > panels + 8, expressions.toString());
    for (String expression : expressions) {
      Matcher matcher = Pattern.compile("(?:flink|DCGM)_\\w+").matcher(expression);
      assertTrue(matcher.find(), expression);
      matcher.reset();
      while (matcher.find()) {
        assertTrue(known.contains(matcher.group()), matcher.group() + " in " + expression);
      }
    }
  }

  @Test
  void everyAlertSaysWhatItMeansHowBadItIsAndWhereTheRunbookIs() throws Exception {
    String runbooks = Files.readString(Yaml.ROOT.resolve("docs/runbooks.md"));
    for (JsonNode rule : rules()) {
      String name = rule.path("alert").asText();
      assertFalse(rule.path("annotations").path("summary").asText().isEmpty(), name);
      assertTrue(
          List.of("page", "ticket").contains(rule.path("labels").path("severity").asText()), name);
      String runbook = rule.path("annotations").path("runbook").asText();
      assertTrue(runbook.startsWith("docs/runbooks.md#"), name);
      String heading = runbook.substring(runbook.indexOf('#') + 1);
      assertTrue(
          runbooks
              .lines()
              .filter(line -> line.startsWith("#"))
              .map(line -> line.replaceAll("^#+ ", "").toLowerCase(Locale.ROOT))
              .map(line -> line.replaceAll("[^a-z0-9 -]", "").replace(' ', '-'))
              .anyMatch(heading::equals),
          name + ": " + runbook);
    }
  }

  @Test
  void panelsDoNotOverlapAndHaveIdsOfTheirOwn() throws Exception {
    Set<String> cells = new TreeSet<>();
    Set<Integer> ids = new TreeSet<>();
    for (JsonNode panel : dashboard().path("panels")) {
      assertTrue(ids.add(panel.path("id").asInt()), panel.path("title").asText());
      JsonNode at = panel.path("gridPos");
      for (int x = at.path("x").asInt(); x < at.path("x").asInt() + at.path("w").asInt(); x++) {
        assertTrue(x < 24);
        for (int y = at.path("y").asInt(); y < at.path("y").asInt() + at.path("h").asInt(); y++) {
          assertTrue(cells.add(x + "," + y), panel.path("title").asText());
        }
      }
    }
  }

  private static JsonNode dashboard() throws IOException {
    return Yaml.one(GRAFANA.resolve("dashboards/whetstream.json"));
  }

  private static List<JsonNode> rules() throws IOException {
    List<JsonNode> rules = new ArrayList<>();
    for (JsonNode group : Yaml.one(GRAFANA.resolve("alerts.yaml")).path("groups")) {
      group.path("rules").forEach(rules::add);
    }
    return rules;
  }
}
