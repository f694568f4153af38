package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.cli.Main;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.records.Item;
import io.whetstream.jobs.MetricCatalog;
import io.whetstream.jobs.finetune.Processes.Running;
import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import io.whetstream.scenes.SceneStream;
import java.io.IOException;
import java.net.http.HttpClient;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The containers' file trees, laid out as docker/Dockerfile copies them and without any other file
 * of ours: both jobs are kept on a cluster by docker/keep-jobs.sh, the console serves, and what
 * they report is what docs/metrics.md, dashboard and alert rules name.
 */
@Tag("cluster")
class ImagesTest {
  private static final Duration LONG = Duration.ofMinutes(4);
  private static final Path ROOT = Path.of("../..").toAbsolutePath().normalize();
  private static final Pattern COPY =
      Pattern.compile("^COPY --from=build \\S+ (.+) (/opt/\\S+)$", Pattern.MULTILINE);
  private static final HttpClient HTTP = HttpClient.newHttpClient();

  @TempDir private Path directory;

  @Test
  void jobsAreKeptThroughALostJobManagerAndEverythingNamedIsReported() throws Exception {
    Path tree = layOut();
    Path flinkHome = tree.resolve("opt/flink");
    Path data = Files.createDirectory(directory.resolve("data"));
    Path logs = Path.of("target/images");
    try (SessionCluster cluster =
        new SessionCluster(
            directory,
            logs,
            List.of(),
            flinkHome.resolve("lib"),
            flinkHome.resolve("usrlib/whetstream-jobs.jar"))) {
      String kafka = cluster.kafka().bootstrapServers();
      Path bin = cluster.writeFlinkScript(directory.resolve("bin")).getParent();
      Path configuration = configure(data, kafka);
      try (Processes processes = new Processes(Files.createDirectories(logs), Map.of())) {
        String console = tree.resolve("opt/whetstream/lib") + "/*";
        List<String> inContainer =
            List.of(
                "-Dwhetstream.console.level=info",
                "-Dwhetstream.home=" + directory,
                "-Dwhetstream.log=" + directory.resolve("console.log"));
        processes.run(
            "topics",
            console,
            inContainer,
            List.of(Main.class.getName(), "topics", "create", "--bootstrap-servers", kafka));
        processes.run(
            "queries",
            console,
            inContainer,
            List.of(
                Main.class.getName(),
                "queries",
                "add",
                "--id",
                "q",
                "--text",
                "a red circle",
                "--kinds",
                "text-text",
                "--min-score",
                "0.9",
                "--wait",
                "0",
                "--bootstrap-servers",
                kafka));
        Running taskManager = cluster.startTaskManager();
        keep(cluster, bin, data, configuration);
        assertEquals(Set.of("whetstream finetune compose", "compose-score"), jobs(cluster));
        send(cluster, 0);
        Scrape prometheus = Scrape.of(taskManager);
        SessionCluster.await(
            "an alert and a step under Prometheus",
            LONG,
            () ->
                prometheus.value("trainer_step") >= 2
                    && prometheus.value("whetstream_alertsRaised") >= 1);
        assertReported(prometheus, Scrape.of(cluster.jobManager()));

        String found =
            processes.run(
                "doctor",
                console,
                inContainer,
                List.of(
                    Main.class.getName(),
                    "doctor",
                    "--cluster=" + cluster.address(),
                    "--kafka=" + kafka));
        assertTrue(found.contains("compose-score is RUNNING"), found);

        // The keeper leaves alone what the JobManager knows.
        keep(cluster, bin, data, configuration);
        assertEquals(2, cluster.rest("/jobs/overview").path("jobs").size());

        for (var job : cluster.rest("/jobs/overview").path("jobs")) {
          cluster.awaitNextCheckpoint(job.path("jid").asText());
        }
        double before = prometheus.value("trainer_step");
        cluster.restartJobManager();
        SessionCluster.await(
            "no jobs, but the TaskManager",
            LONG,
            () ->
                cluster.rest("/jobs/overview").path("jobs").isEmpty()
                    && cluster.rest("/overview").path("slots-available").asInt() > 0);
        String said = keep(cluster, bin, data, configuration);
        assertEquals(
            2, said.lines().filter(line -> line.contains("goes on from " + data)).count(), said);
        SessionCluster.await(
            "the trainer where it was", LONG, () -> prometheus.value("trainer_step") >= before);
        send(cluster, 400);
        SessionCluster.await("a step more", LONG, () -> prometheus.value("trainer_step") > before);

        Running page =
            processes.start(
                "console",
                console,
                inContainer,
                List.of(
                    Main.class.getName(),
                    "console",
                    "--bootstrap-servers=" + kafka,
                    "--flink=" + cluster.address(),
                    "--registry=" + data.resolve("adapters"),
                    "--port=0"));
        Pattern link = Pattern.compile("console at (http://[^/\\s]+/)");
        SessionCluster.await("the console", LONG, () -> link.matcher(page.text()).find());
        Matcher matcher = link.matcher(page.text());
        assertTrue(matcher.find());
        assertTrue(Scrape.get(matcher.group(1)).contains("<title>"), page.text());
      }
    }
  }

  /** What the Dockerfile copies out of the build; no other file of ours is in the images. */
  private Path layOut() throws IOException {
    Path tree = Files.createDirectory(directory.resolve("tree"));
    Matcher copies = COPY.matcher(Files.readString(ROOT.resolve("docker/Dockerfile")));
    int found = 0;
    while (copies.find()) {
      String target = copies.group(2).substring(1);
      for (String source : copies.group(1).split("\\s+")) {
        Path pattern = ROOT.resolve(source.replaceFirst("^/src/", ""));
        List<Path> files = new ArrayList<>();
        try (DirectoryStream<Path> matches =
            Files.newDirectoryStream(pattern.getParent(), pattern.getFileName().toString())) {
          matches.forEach(files::add);
        }
        assertFalse(files.isEmpty(), source + " is not made by the build");
        if (!target.endsWith("/") || pattern.getFileName().toString().startsWith("whetstream-")) {
          assertEquals(1, files.size(), files.toString());
        }
        for (Path file : files) {
          Path to = tree.resolve(target);
          if (target.endsWith("/")) {
            to = Files.createDirectories(to).resolve(file.getFileName());
          } else {
            Files.createDirectories(to.getParent());
          }
          Files.createSymbolicLink(to, file);
        }
        found++;
      }
    }
    assertEquals(4, found);
    // One version of each library, or the one that loads is chance.
    for (String lib : List.of("opt/flink/lib", "opt/whetstream/lib")) {
      List<String> names = new ArrayList<>();
      try (DirectoryStream<Path> files = Files.newDirectoryStream(tree.resolve(lib))) {
        files.forEach(f -> names.add(f.getFileName().toString().replaceAll("-\\d[\\w.]*.*$", "")));
      }
      assertEquals(names.size(), Set.copyOf(names).size(), names.toString());
    }
    try (DirectoryStream<Path> files =
        Files.newDirectoryStream(tree.resolve("opt/whetstream/lib"), "{pytorch-*,kafka_*}.jar")) {
      for (Path file : files) {
        assertTrue(file.getFileName().toString().startsWith("pytorch-engine"), file.toString());
      }
    }
    return tree;
  }

  /** The files of docker/, with the addresses and the directory of this test. */
  private Path configure(Path data, String kafka) throws IOException {
    Path configuration = Files.createDirectory(directory.resolve("configuration"));
    for (String file : List.of("finetune.yaml", "score.yaml")) {
      String text = Files.readString(ROOT.resolve("docker").resolve(file));
      Files.writeString(
          configuration.resolve(file),
          text.replace("kafka:9092", kafka).replace("/data/", data + "/")
              + "checkpoint: {interval: 1s}\n"
              + (file.startsWith("score")
                  ? "startWith: base\n"
                  : "training: {globalBatch: 16}\nmining: {groupSize: 4, candidates: 8}\n"));
    }
    return configuration;
  }

  private String keep(SessionCluster cluster, Path bin, Path data, Path configuration)
      throws Exception {
    ProcessBuilder builder =
        new ProcessBuilder(
                "bash",
                ROOT.resolve("docker/keep-jobs.sh").toString(),
                cluster.address(),
                data.toString(),
                directory.resolve("tree/opt/flink/usrlib/whetstream-jobs.jar").toString(),
                configuration.toString())
            .redirectErrorStream(true);
    builder.environment().merge("PATH", bin.toString(), (path, first) -> first + ":" + path);
    Process process = builder.start();
    String text = new String(process.getInputStream().readAllBytes());
    assertTrue(process.waitFor(2, TimeUnit.MINUTES));
    assertEquals(0, process.exitValue(), text);
    return text;
  }

  private static Set<String> jobs(SessionCluster cluster) throws IOException {
    return cluster.rest("/jobs/overview").path("jobs").findValuesAsText("name").stream()
        .collect(Collectors.toSet());
  }

  private static void send(SessionCluster cluster, int from) throws Exception {
    Topics topics = new Topics("");
    SceneStream scenes = new SceneStream(1, SceneLook.STANDARD, 4);
    cluster.send(
        topics.pairs(),
        RecordType.PAIR,
        IntStream.range(from, from + 400)
            .mapToObj(
                number -> {
                  Scene scene = scenes.scene(number).scene();
                  return new ImageTextPair(
                      "scene-" + number,
                      null,
                      null,
                      Captioner.shortCaption(scene),
                      Captioner.longCaption(scene),
                      "drawn",
                      1_700_000_000_000L + number * 100L,
                      SceneRenderer.png(SceneRenderer.render(scene)),
                      null);
                })
            .toList());
    cluster.send(
        topics.items(),
        RecordType.ITEM,
        IntStream.range(from, from + 8)
            .mapToObj(
                number ->
                    new Item(
                        "item-" + number,
                        null,
                        null,
                        "a red circle",
                        "test",
                        1_700_000_000_000L + number * 1000L,
                        null,
                        null))
            .toList());
    try (KafkaProducer<byte[], byte[]> producer = cluster.kafka().producer(1 << 20)) {
      for (String topic : List.of(topics.pairs(), topics.items())) {
        producer.send(new ProducerRecord<>(topic, "no record".getBytes())).get();
      }
    }
  }

  /** The catalogue, and every name that dashboard and alert rules use, are in the scrapes. */
  private static void assertReported(Scrape taskManager, Scrape jobManager) throws Exception {
    Set<String> names = taskManager.names();
    names.addAll(jobManager.names());
    Set<String> wanted = new TreeSet<>();
    for (MetricCatalog.Metric metric : MetricCatalog.all()) {
      wanted.add(metric.inPrometheus());
    }
    for (String file : List.of("alerts.yaml", "dashboards/whetstream.json")) {
      Pattern.compile("\\bflink_\\w+")
          .matcher(Files.readString(ROOT.resolve("infra/grafana").resolve(file)))
          .results()
          .forEach(found -> wanted.add(found.group()));
    }
    Set<String> missing = new TreeSet<>(wanted);
    missing.removeAll(names);
    assertEquals(Set.of(), missing, String.join("\n", names));
    Set<String> groups =
        MetricCatalog.all().stream()
            .map(metric -> metric.inPrometheus().replaceAll("_[^_]+$", "").split("_operator_")[1])
            .map(group -> group.split("_")[0])
            .collect(Collectors.toSet());
    Set<String> unknown =
        names.stream()
            .filter(
                name ->
                    groups.stream()
                        .anyMatch(
                            group ->
                                name.startsWith(
                                    "flink_taskmanager_job_task_operator_" + group + "_")))
            .filter(name -> !wanted.contains(name.replaceAll("_count$", "")))
            .collect(Collectors.toCollection(TreeSet::new));
    assertEquals(Set.of(), unknown, "not in MetricCatalog");
  }
}
