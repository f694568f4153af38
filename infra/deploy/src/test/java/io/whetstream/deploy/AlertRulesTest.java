package io.whetstream.deploy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/**
 * Alert rules as Prometheus itself evaluates them. Its promtool is not in Maven repositories: where
 * it is not installed that test is left out, unless WHETSTREAM_REQUIRE_PROMTOOL is set.
 */
class AlertRulesTest {
  private static final Path GRAFANA = Yaml.ROOT.resolve("infra/grafana");

  @Test
  void everyRuleIsBrokenByATest() throws Exception {
    Set<String> rules = new TreeSet<>();
    for (JsonNode group : Yaml.one(GRAFANA.resolve("alerts.yaml")).path("groups")) {
      group.path("rules").forEach(rule -> rules.add(rule.path("alert").asText()));
    }
    Set<String> broken = new TreeSet<>();
    for (JsonNode test : Yaml.one(GRAFANA.resolve("alerts.test.yaml")).path("tests")) {
      String name = test.path("name").asText();
      for (JsonNode asked : test.path("promql_expr_test")) {
        for (JsonNode sample : asked.path("exp_samples")) {
          assertTrue(sample.path("labels").asText().contains('"' + name + '"'), name);
          broken.add(name);
        }
      }
    }
    assertEquals(rules, broken);
  }

  @Test
  void everyRuleFiresWhereItsThresholdIsCrossedAndNotJustBelow() throws Exception {
    Process process;
    try {
      process =
          new ProcessBuilder("promtool", "test", "rules", "alerts.test.yaml")
              .directory(GRAFANA.toFile())
              .redirectErrorStream(true)
              .start();
    } catch (IOException e) {
      assumeTrue(System.getenv("WHETSTREAM_REQUIRE_PROMTOOL") != null, "promtool is not installed");
      throw e;
    }
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertTrue(process.waitFor(1, TimeUnit.MINUTES));
    assertEquals(0, process.exitValue(), said);
  }
}
