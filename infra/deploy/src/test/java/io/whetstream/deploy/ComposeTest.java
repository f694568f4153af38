package io.whetstream.deploy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.jobs.finetune.FineTuneConfig;
import io.whetstream.jobs.finetune.FineTuneJob;
import io.whetstream.jobs.score.ScoreConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.runtime.clusterframework.TaskExecutorProcessUtils;
import org.apache.kafka.server.config.AbstractKafkaConfig;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** docker/compose.yaml and what the images' own entrypoints make of its environment. */
class ComposeTest {
  private static final Path DOCKER = Yaml.ROOT.resolve("docker");
  private static final Set<String> ONCE = Set.of("topics");

  private static JsonNode compose;

  @BeforeAll
  static void read() throws IOException {
    // Merge keys are resolved by this parser, not by Jackson's.
    Object file =
        new org.yaml.snakeyaml.Yaml().load(Files.readString(DOCKER.resolve("compose.yaml")));
    compose = new ObjectMapper().valueToTree(file);
  }

  @Test
  void everyServiceComesBackAndSaysHowItIs() {
    services()
        .forEach(
            (name, service) -> {
              assertEquals(
                  ONCE.contains(name) ? "on-failure" : "unless-stopped",
                  service.path("restart").asText(),
                  name);
              // The keeper of jobs has no port; what it keeps is seen at the JobManager.
              if (!ONCE.contains(name) && !List.of("jobs", "grafana").contains(name)) {
                assertTrue(service.path("healthcheck").has("test"), name);
              }
              service
                  .path("depends_on")
                  .properties()
                  .forEach(
                      on -> {
                        JsonNode other = services().get(on.getKey());
                        assertTrue(other != null, name + " depends on " + on.getKey());
                        switch (on.getValue().path("condition").asText()) {
                          case "service_healthy" -> assertTrue(other.has("healthcheck"), name);
                          case "service_completed_successfully" ->
                              assertTrue(ONCE.contains(on.getKey()), name);
                          default -> throw new AssertionError(name + ": " + on);
                        }
                      });
            });
  }

  @Test
  void nothingListensBeyondLoopbackOfTheHost() {
    services()
        .forEach(
            (name, service) ->
                service
                    .path("ports")
                    .forEach(port -> assertTrue(port.asText().startsWith("127.0.0.1:"), name)));
  }

  @Test
  void everyVolumeIsDeclaredAndEveryMountedFileExists() {
    services()
        .forEach(
            (name, service) ->
                service
                    .path("volumes")
                    .forEach(
                        volume -> {
                          String source = volume.asText().split(":")[0];
                          if (source.startsWith(".")) {
                            assertTrue(Files.exists(DOCKER.resolve(source)), name + ": " + source);
                          } else {
                            assertTrue(compose.path("volumes").has(source), name + ": " + source);
                          }
                        }));
  }

  /** The class that the broker's image runs, on the environment of the file. */
  @Test
  void theBrokersEntrypointTakesItsEnvironmentAndItsLogsLieInTheVolume(@TempDir Path directory)
      throws Exception {
    JsonNode kafka = services().get("kafka");
    Map<String, String> environment = new TreeMap<>();
    kafka
        .path("environment")
        .properties()
        .forEach(entry -> environment.put(entry.getKey(), entry.getValue().asText()));
    String logs = environment.get("KAFKA_LOG_DIRS");
    assertEquals("kafka:" + logs, kafka.path("volumes").path(0).asText());
    environment.put("KAFKA_LOG_DIRS", directory.resolve("data").toString());

    Properties properties = setUp(directory, environment);
    assertEquals("broker,controller", properties.getProperty("process.roles"));
    assertEquals(directory.resolve("data").toString(), properties.getProperty("log.dirs"));
    assertTrue(Files.exists(directory.resolve("data/meta.properties")));
    List<String> unknown =
        properties.stringPropertyNames().stream()
            .filter(name -> !AbstractKafkaConfig.CONFIG_DEF.names().contains(name))
            .toList();
    assertEquals(List.of(), unknown);
  }

  @Test
  void aBrokersEnvironmentThatLacksItsRolesIsRefused(@TempDir Path directory) {
    assertThrows(
        AssertionError.class,
        () -> setUp(directory, Map.of("KAFKA_LOG_DIRS", directory.resolve("data").toString())));
  }

  private static Properties setUp(Path directory, Map<String, String> environment)
      throws Exception {
    Path defaults = Files.createDirectories(directory.resolve("default"));
    Path mounted = Files.createDirectories(directory.resolve("mounted"));
    Path made = Files.createDirectories(directory.resolve("made"));
    String logging =
        """
        Configuration:
          Loggers:
            Root:
              level: INFO
            Logger:
              - name: kafka
                level: INFO
        """;
    Files.writeString(defaults.resolve("server.properties"), "");
    Files.writeString(defaults.resolve("log4j2.yaml"), logging);
    Files.writeString(defaults.resolve("tools-log4j2.yaml"), logging);
    ProcessBuilder builder =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin/java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                "kafka.docker.KafkaDockerWrapper",
                "setup",
                "--default-configs-dir",
                defaults.toString(),
                "--mounted-configs-dir",
                mounted.toString(),
                "--final-configs-dir",
                made.toString())
            .redirectErrorStream(true);
    builder.environment().keySet().removeIf(name -> name.startsWith("KAFKA_"));
    builder.environment().putAll(environment);
    builder.environment().put("CLUSTER_ID", "5L6g3nShT-eMCtK--X86sw");
    Process process = builder.start();
    String text = new String(process.getInputStream().readAllBytes());
    assertTrue(process.waitFor(1, TimeUnit.MINUTES));
    assertEquals(0, process.exitValue(), text);
    Properties properties = new Properties();
    try (var in = Files.newInputStream(made.resolve("server.properties"))) {
      properties.load(in);
    }
    return properties;
  }

  @Test
  void flinksEntrypointMakesOptionsOfItsPropertiesThatFlinkKnowsAndCanStartWith() {
    for (String name : List.of("jobmanager", "taskmanager", "jobs")) {
      Map<String, String> options =
          FlinkOptions.ofEntrypoint(
              services().get(name).path("environment").path("FLINK_PROPERTIES").asText());
      FlinkOptions.check(options);
      Configuration flink = Configuration.fromMap(options);
      assertTrue(
          TaskExecutorProcessUtils.processSpecFromConfig(flink).getTaskOffHeapSize().getMebiBytes()
              >= 1024);
    }
  }

  @Test
  void commentsQuotesAndOptionsThatBeginAnotherAreRefused() {
    for (String bad :
        List.of(
            "# a comment: with a colon\nparallelism.default: 1",
            "state.backend.incrementall: true",
            "execution.checkpointing.incremental: \"true\"",
            "metrics.reporter: x\nmetrics.reporter.prom.port: 9249",
            "heartbeat.interval: 1 s extra")) {
      assertThrows(
          IllegalArgumentException.class,
          () -> FlinkOptions.check(FlinkOptions.ofEntrypoint(bad)),
          bad);
    }
  }

  @Test
  void theJobsConfigurationsFitEachOtherAndTheKeeperKnowsTheirNames() throws Exception {
    FineTuneConfig finetune =
        FineTuneConfig.loader().load(DOCKER.resolve("finetune.yaml"), List.of());
    ScoreConfig score = ScoreConfig.loader().load(DOCKER.resolve("score.yaml"), List.of());
    assertEquals(finetune.name(), score.adapterStream());
    assertEquals(finetune.registry(), score.registry());
    assertEquals("kafka:9092", finetune.kafka().bootstrapServers());
    assertEquals("kafka:9092", score.kafka().bootstrapServers());
    String keeper = Files.readString(DOCKER.resolve("keep-jobs.sh"));
    assertTrue(
        keeper.contains(FineTuneJob.class.getName() + " \"" + FineTuneJob.jobName(finetune)));
    assertTrue(keeper.contains("io.whetstream.jobs.score.ScoreJob " + score.name() + " "));
    assertFalse(keeper.contains("\t"));
  }

  private static Map<String, JsonNode> services() {
    return compose.path("services").properties().stream()
        .collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue));
  }
}
