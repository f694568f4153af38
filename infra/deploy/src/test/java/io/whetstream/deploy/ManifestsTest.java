package io.whetstream.deploy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.jobs.finetune.FineTuneConfig;
import io.whetstream.jobs.finetune.FineTuneJob;
import io.whetstream.jobs.score.ScoreConfig;
import io.whetstream.kafka.EmbeddedKafka;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.flink.runtime.jobgraph.JobVertex;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The manifests of infra/kubernetes, as a cluster would get them. */
class ManifestsTest {
  private static final Path KUBERNETES = Yaml.ROOT.resolve("infra/kubernetes");

  @ParameterizedTest
  @ValueSource(strings = {"base", "overlays/cpu", "overlays/gpu", "overlays/tls", "overlays/s3"})
  void isReadToTheLastKeyByTheClassesOfTheOperators(String directory) throws Exception {
    List<ObjectNode> objects = Kustomization.render(KUBERNETES.resolve(directory));
    assertTrue(objects.size() > 25, directory + ": " + objects.size());
    for (ObjectNode object : objects) {
      Models.read(object);
    }
    List<String> names = objects.stream().map(ManifestsTest::name).toList();
    assertEquals(names.size(), new HashSet<>(names).size(), names.toString());
  }

  @ParameterizedTest
  @ValueSource(strings = {"base", "overlays/cpu", "overlays/gpu", "overlays/tls", "overlays/s3"})
  void isRenderedHereAsByKubectl(String directory) throws Exception {
    assumeTrue(
        Arrays.stream(System.getenv("PATH").split(File.pathSeparator))
            .anyMatch(path -> Files.isExecutable(Path.of(path, "kubectl"))),
        "no kubectl here");
    Process kubectl =
        new ProcessBuilder("kubectl", "kustomize", KUBERNETES.resolve(directory).toString())
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start();
    String text;
    try (InputStream out = kubectl.getInputStream()) {
      text = new String(out.readAllBytes(), StandardCharsets.UTF_8);
    }
    assertEquals(0, kubectl.waitFor());
    assertEquals(
        byName(Yaml.all(text)), byName(Kustomization.render(KUBERNETES.resolve(directory))));
  }

  @Test
  void refusesWhatNoOperatorWouldTake() throws Exception {
    refused("finetune", "/spec/job/upgradMode", "savepoint");
    refused("finetune", "/spec/job/upgradeMode", "sometimes");
    refused("finetune", "/spec/flinkVersion", "v9_9");
    refused("finetune", "/spec/podTemplate/spec/container", "x");
    refused("pairs", "/spec/partition", "4");
    refused("console", "/spec/template/spec/containers/0/imagePulPolicy", "Always");
    ObjectNode old = object("overlays/cpu", "KafkaTopic/pairs");
    old.put("apiVersion", "kafka.strimzi.io/v1beta2");
    assertThrows(IllegalArgumentException.class, () -> Models.read(old));
  }

  @Test
  void theTopicsAreThoseOfTopicsCreate() throws Exception {
    Map<String, JsonNode> topics =
        Kustomization.render(KUBERNETES.resolve("base")).stream()
            .filter(object -> object.path("kind").asText().equals("KafkaTopic"))
            .collect(Collectors.toMap(o -> o.path("spec").path("topicName").asText(), o -> o));
    List<Topics.Spec> specs = new Topics("").specs();
    assertEquals(
        specs.stream().map(Topics.Spec::name).collect(Collectors.toSet()), topics.keySet());
    Path directory = Files.createTempDirectory("topics");
    try (EmbeddedKafka kafka = EmbeddedKafka.start(directory, 0);
        Admin admin =
            Admin.create(
                Map.of(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, kafka.bootstrapServers()))) {
      new Topics("").create(admin, 4, (short) 1);
      var descriptions = admin.describeTopics(topics.keySet()).allTopicNames().get();
      for (Topics.Spec spec : specs) {
        JsonNode topic = topics.get(spec.name());
        assertEquals("kafka", topic.path("metadata").path("namespace").asText());
        assertEquals(spec.name(), topic.path("metadata").path("name").asText());
        assertEquals(
            descriptions.get(spec.name()).partitions().size(),
            topic.path("spec").path("partitions").asInt(),
            spec.name());
        var resource =
            new org.apache.kafka.common.config.ConfigResource(
                org.apache.kafka.common.config.ConfigResource.Type.TOPIC, spec.name());
        Map<String, String> made = new TreeMap<>();
        for (var entry :
            admin.describeConfigs(List.of(resource)).all().get().get(resource).entries()) {
          if (entry.source()
              == org.apache.kafka.clients.admin.ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG) {
            made.put(entry.name(), entry.value());
          }
        }
        Map<String, String> written = new TreeMap<>();
        topic
            .path("spec")
            .path("config")
            .properties()
            .forEach(entry -> written.put(entry.getKey(), entry.getValue().asText()));
        // Three copies, of which two must be written: it says something for several brokers only.
        assertEquals("2", written.remove("min.insync.replicas"));
        assertEquals(3, topic.path("spec").path("replicas").asInt());
        assertEquals(made, written, spec.name());
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"cpu", "gpu", "tls", "s3"})
  void theArgumentsAreConfigurationsThatTheJobsTake(String overlay) throws Exception {
    FineTuneConfig finetune =
        FineTuneConfig.loader().parse("", "arguments", arguments(overlay, "finetune"));
    ScoreConfig score = ScoreConfig.loader().parse("", "arguments", arguments(overlay, "score"));
    assertEquals(finetune.name(), score.adapterStream());
    assertEquals(finetune.registry(), score.registry());
    assertEquals(
        "kafka-kafka-bootstrap.kafka.svc:" + (overlay.equals("tls") ? 9093 : 9092),
        finetune.kafka().bootstrapServers());
    assertEquals(finetune.kafka().bootstrapServers(), score.kafka().bootstrapServers());
    assertEquals(finetune.kafka().properties(), score.kafka().properties());
    assertEquals(overlay.equals("gpu") ? 1 : 0, finetune.resources().gpus());
    assertEquals(
        overlay.equals("s3"), finetune.registry().uri().startsWith("s3://"), finetune.toString());
    for (String job : List.of("finetune", "score")) {
      JsonNode spec = object("overlays/" + overlay, "FlinkDeployment/" + job).path("spec");
      assertTrue(
          java.util.stream.StreamSupport.stream(
                  spec.path("flinkConfiguration").properties().spliterator(), false)
              .filter(e -> e.getKey().matches(".*(checkpointing.dir|savepoint-dir|storageDir)"))
              .allMatch(
                  e ->
                      e.getValue()
                          .asText()
                          .startsWith(overlay.equals("s3") ? "s3://" : "file:///data/")));
      assertEquals(
          overlay.equals("s3"),
          !spec.toString().contains("whetstream-data"),
          job + " in " + overlay);
    }
  }

  @Test
  void thePasswordIsReadFromItsMountedSecretByTheKafkaClient(@TempDir Path secret)
      throws Exception {
    Files.writeString(secret.resolve("password"), "pass-word");
    FineTuneConfig config =
        FineTuneConfig.loader().parse("", "arguments", arguments("tls", "finetune"));
    Map<String, Object> properties = new HashMap<>(config.kafka().properties());
    Properties ofConsole = new Properties();
    ofConsole.load(
        new java.io.StringReader(
            object("overlays/tls", "ConfigMap/kafka-client")
                .path("data")
                .path("client.properties")
                .asText()));
    assertEquals(properties, ofConsole);
    properties.replaceAll(
        (key, value) -> value.toString().replace("/etc/kafka-user", secret.toString()));
    properties.put(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, "localhost:9093");
    AdminClientConfig client = new AdminClientConfig(properties);
    assertEquals("SASL_SSL", client.getString("security.protocol"));
    assertEquals(
        "org.apache.kafka.common.security.scram.ScramLoginModule required"
            + " username=\"whetstream\" password=\"pass-word\";",
        client.getPassword("sasl.jaas.config").value());
  }

  /** Ids of vertices follow from uids; the autoscaler knows vertices by them alone. */
  @Test
  void theAutoscalerLeavesTheTrainerAlone() throws Exception {
    FineTuneConfig config =
        FineTuneConfig.loader().parse("", "arguments", arguments("cpu", "finetune"));
    Path directory = Files.createTempDirectory("graph");
    Set<String> single = new HashSet<>();
    Map<String, String> vertices = new TreeMap<>();
    try (EmbeddedKafka kafka = EmbeddedKafka.start(directory, 0);
        Admin admin =
            Admin.create(
                Map.of(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, kafka.bootstrapServers()))) {
      new Topics("").create(admin, 1, (short) 1);
      List<String> arguments = new ArrayList<>(arguments("cpu", "finetune"));
      arguments.add("kafka.bootstrapServers=" + kafka.bootstrapServers());
      StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
      FineTuneJob.build(env, FineTuneConfig.loader().parse("", "test", arguments), false);
      for (JobVertex vertex : env.getStreamGraph().getJobGraph().getVertices()) {
        vertices.put(vertex.getID().toHexString(), vertex.getName());
        if (vertex.getMaxParallelism() == 1 || vertex.getName().toLowerCase().contains("trainer")) {
          single.add(vertex.getID().toHexString());
        }
      }
    }
    assertEquals(config.name(), "main");
    Set<String> excluded =
        Set.of(
            object("overlays/cpu", "FlinkDeployment/finetune")
                .path("spec")
                .path("flinkConfiguration")
                .path("job.autoscaler.vertex.exclude.ids")
                .asText()
                .split(","));
    assertEquals(single, excluded, vertices.toString());
  }

  /** Whatever one object names is there: claims, accounts, ConfigMaps, services, labels. */
  @ParameterizedTest
  @ValueSource(strings = {"cpu", "gpu", "tls", "s3"})
  void whatIsNamedIsThere(String overlay) throws Exception {
    List<ObjectNode> objects = Kustomization.render(KUBERNETES.resolve("overlays/" + overlay));
    Set<String> names = objects.stream().map(ManifestsTest::name).collect(Collectors.toSet());
    // Secrets are not in the repository; the comments say which there must be.
    Set<String> missing = new HashSet<>();
    for (ObjectNode object : objects) {
      for (JsonNode claim : object.findValues("claimName")) {
        want(names, "PersistentVolumeClaim/" + claim.asText(), missing);
      }
      for (JsonNode account : object.findValues("serviceAccount")) {
        want(names, "ServiceAccount/" + account.asText(), missing);
      }
      for (JsonNode map : object.findValues("configMap")) {
        want(names, "ConfigMap/" + map.path("name").asText(), missing);
      }
      Set<String> volumes =
          object.findValues("volumes").stream()
              .flatMap(list -> list.findValuesAsText("name").stream())
              .collect(Collectors.toSet());
      for (JsonNode mounts : object.findValues("volumeMounts")) {
        for (JsonNode mount : mounts) {
          if (!volumes.contains(mount.path("name").asText())) {
            missing.add(name(object) + " volume " + mount.path("name").asText());
          }
        }
      }
    }
    assertEquals(Set.of(), missing);
    assertTrue(
        objects.stream()
            .filter(o -> !o.path("kind").asText().equals("Namespace"))
            .allMatch(o -> o.path("metadata").has("namespace")));
  }

  private static void want(Set<String> names, String name, Set<String> missing) {
    if (!names.contains(name)) {
      missing.add(name);
    }
  }

  private static void refused(String name, String pointer, String value) throws Exception {
    ObjectNode object =
        Kustomization.render(KUBERNETES.resolve("overlays/cpu")).stream()
            .filter(o -> o.path("metadata").path("name").asText().equals(name))
            .filter(o -> !o.at(pointer.substring(0, pointer.lastIndexOf('/'))).isMissingNode())
            .findFirst()
            .orElseThrow();
    int last = pointer.lastIndexOf('/');
    ((ObjectNode) object.at(pointer.substring(0, last))).put(pointer.substring(last + 1), value);
    assertThrows(JsonProcessingException.class, () -> Models.read(object), pointer);
  }

  private static List<String> arguments(String overlay, String job) throws IOException {
    List<String> values = new ArrayList<>();
    boolean value = false;
    for (JsonNode argument :
        object("overlays/" + overlay, "FlinkDeployment/" + job)
            .path("spec")
            .path("job")
            .path("args")) {
      if (value) {
        values.add(argument.asText());
      } else {
        assertEquals("-D", argument.asText());
      }
      value = !value;
    }
    return values;
  }

  private static ObjectNode object(String directory, String name) throws IOException {
    return Kustomization.render(KUBERNETES.resolve(directory)).stream()
        .filter(object -> name(object).equals(name))
        .findFirst()
        .orElseThrow();
  }

  private static Map<String, JsonNode> byName(List<? extends JsonNode> objects) {
    return objects.stream()
        .collect(
            Collectors.toMap(ManifestsTest::name, object -> object, (a, b) -> b, TreeMap::new));
  }

  private static String name(JsonNode object) {
    return object.path("kind").asText() + "/" + object.path("metadata").path("name").asText();
  }
}
