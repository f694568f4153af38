package io.whetstream.jobs.finetune;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.cli.Main;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.TopicScan;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.jobs.finetune.Processes.Running;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.Uuid;

/**
 * What a user has: a Kafka broker, a Flink session cluster (JobManager, TaskManagers) and Flink's
 * command line client, each a process of its own, on loopback. There is no Flink distribution in
 * Maven repositories, so its {@code lib/} is made of the single jars; started is what its scripts
 * start, with the options that they ask for.
 */
final class SessionCluster implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Duration UP = Duration.ofMinutes(2);

  /** Of the options that a distribution's configuration has, the one that Flink itself needs. */
  private static final String OPENS = "--add-opens=java.base/java.util=ALL-UNNAMED";

  private static final String RESULT_OF_SCRIPT = "BASH_JAVA_UTILS_EXEC_RESULT:";

  private final HttpClient http = HttpClient.newHttpClient();
  private final Path home;
  private Path jobJar;
  private final List<Path> jobLibraries;
  private final String classPath;
  private final Processes processes;
  private final String bootstrapServers;
  private final int restPort = freePort();
  private Path brokerProperties;
  private Running broker;
  private int brokers;
  private Running jobManager;
  private int jobManagers;
  private int taskManagers;
  private int commands;

  /**
   * Starts everything but TaskManagers.
   *
   * @param directory for all files of the cluster
   * @param logs directory for what the processes write
   */
  SessionCluster(Path directory, Path logs) throws Exception {
    this(directory, logs, List.of());
  }

  /**
   * As {@link #SessionCluster(Path, Path)}.
   *
   * @param more lines of Flink's configuration
   */
  SessionCluster(Path directory, Path logs, List<String> more) throws Exception {
    this(
        directory,
        logs,
        more,
        Path.of(System.getProperty("job.directory"), "flink-lib"),
        Path.of(System.getProperty("job.directory"), System.getProperty("job.jar")));
  }

  /**
   * As {@link #SessionCluster(Path, Path)}.
   *
   * @param more lines of Flink's configuration
   * @param libraries what is put into {@code lib/} beside what a Flink distribution has there
   * @param jobJar what is submitted
   */
  SessionCluster(Path directory, Path logs, List<String> more, Path libraries, Path jobJar)
      throws Exception {
    home = directory.resolve("flink");
    this.jobJar = jobJar.toRealPath();
    jobLibraries = jars(libraries);
    // What Flink's scripts make of lib/ after cp jobs/target/flink-lib/*.jar $FLINK_HOME/lib/
    classPath =
        jobLibraries.stream().map(Path::toString).collect(Collectors.joining(":"))
            + ":"
            + Files.readString(Path.of(System.getProperty("flink.classpath"))).strip();
    configure(more);
    processes =
        new Processes(
            Files.createDirectories(logs),
            Map.of(
                "FLINK_CONF_DIR", home.resolve("conf").toString(),
                "FLINK_PLUGINS_DIR", home.resolve("plugins").toString()));
    try {
      bootstrapServers = startKafka(directory.resolve("kafka"));
      startJobManager();
      await("the broker", UP, this::brokerAnswers);
      await("the JobManager", UP, this::jobManagerAnswers);
    } catch (Exception | Error e) {
      processes.close();
      throw e;
    }
  }

  /** Configuration beside an empty {@code plugins/}. */
  private void configure(List<String> more) throws IOException {
    Files.createDirectories(home.resolve("plugins"));
    Path conf = Files.createDirectories(home.resolve("conf"));
    Files.writeString(
        conf.resolve("config.yaml"),
        """
        jobmanager.rpc.address: 127.0.0.1
        jobmanager.rpc.port: %d
        jobmanager.bind-host: 127.0.0.1
        jobmanager.memory.process.size: 1g
        rest.address: 127.0.0.1
        rest.bind-address: 127.0.0.1
        rest.port: %d
        taskmanager.host: 127.0.0.1
        taskmanager.bind-host: 127.0.0.1
        taskmanager.numberOfTaskSlots: 4
        taskmanager.memory.process.size: 1800m
        taskmanager.memory.managed.size: 128m
        taskmanager.memory.network.max: 64m
        # libtorch and ONNX Runtime allocate outside of the JVM.
        taskmanager.memory.task.off-heap.size: 512m
        metrics.reporter.prom.factory.class: org.apache.flink.metrics.prometheus.PrometheusReporterFactory
        metrics.reporter.prom.port: 20000-32000
        # A process that is gone is noticed after two heartbeats.
        heartbeat.interval: 1 s
        io.tmp.dirs: %s
        %s
        """
            .formatted(
                freePort(),
                restPort,
                Files.createDirectories(home.resolve("tmp")),
                String.join("\n", more)));
    Files.writeString(
        conf.resolve("log4j.properties"),
        """
        rootLogger.level = INFO
        rootLogger.appenderRef.out.ref = Out
        appender.out.type = Console
        appender.out.name = Out
        appender.out.layout.type = PatternLayout
        appender.out.layout.pattern = %d{UNIX_MILLIS} %-5p %c{1} - %m%n
        # A line for each step.
        logger.trainer.name = io.whetstream.jobs.finetune.ContinualTrainer
        logger.trainer.level = DEBUG
        """);
  }

  private String startKafka(Path directory) throws Exception {
    int port = freePort();
    int controller = freePort();
    Path properties = Files.createDirectories(directory).resolve("server.properties");
    Files.writeString(
        properties,
        """
        process.roles=broker,controller
        node.id=1
        controller.quorum.voters=1@127.0.0.1:%2$d
        listeners=PLAINTEXT://127.0.0.1:%1$d,CONTROLLER://127.0.0.1:%2$d
        controller.listener.names=CONTROLLER
        log.dirs=%3$s
        offsets.topic.replication.factor=1
        transaction.state.log.replication.factor=1
        transaction.state.log.min.isr=1
        group.initial.rebalance.delay.ms=0
        """
            .formatted(port, controller, directory.resolve("data")));
    String own = System.getProperty("java.class.path");
    List<String> options = List.of("-Xmx512m", logging());
    processes.run(
        "kafka-format",
        own,
        options,
        List.of(
            "kafka.tools.StorageTool",
            "format",
            "-t",
            Uuid.randomUuid().toString(),
            "-c",
            properties.toString()));
    brokerProperties = properties;
    startBroker();
    return "127.0.0.1:" + port;
  }

  private void startBroker() {
    brokers++;
    broker =
        processes.start(
            "kafka-" + brokers,
            System.getProperty("java.class.path"),
            List.of("-Xmx512m", logging()),
            List.of("kafka.Kafka", brokerProperties.toString()));
  }

  /** Kills the broker, starts it again on its data and waits until it answers. */
  void restartBroker() throws Exception {
    broker.kill();
    startBroker();
    await("the broker", UP, this::brokerAnswers);
  }

  /** From now on submits another jar: the same, and a file that was not in it. */
  void upgradeJar(Path to) throws IOException {
    Files.copy(jobJar, to);
    try (FileSystem jar = FileSystems.newFileSystem(to)) {
      Files.writeString(jar.getPath("META-INF", "upgraded"), "upgraded");
    }
    jobJar = to;
  }

  private boolean brokerAnswers() throws Exception {
    try (Admin admin = kafka().admin()) {
      return !admin.describeCluster().nodes().get(UP.toSeconds(), TimeUnit.SECONDS).isEmpty();
    }
  }

  private boolean jobManagerAnswers() {
    try {
      return rest("/overview").has("taskmanagers");
    } catch (IOException e) {
      return false;
    }
  }

  private void startJobManager() throws Exception {
    jobManagers++;
    jobManager =
        startFlink(
            "jobmanager-" + jobManagers,
            "GET_JM_RESOURCE_PARAMS",
            "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint");
  }

  /** The process of the JobManager. */
  Running jobManager() {
    return jobManager;
  }

  /** Kills the JobManager and starts another, which knows nothing, and waits until it answers. */
  void restartJobManager() throws Exception {
    jobManager.kill();
    startJobManager();
    await("the JobManager", UP, this::jobManagerAnswers);
  }

  /** Starts one more TaskManager; does not wait for it. */
  Running startTaskManager() throws Exception {
    taskManagers++;
    return startFlink(
        "taskmanager-" + taskManagers,
        "GET_TM_RESOURCE_PARAMS",
        "org.apache.flink.runtime.taskexecutor.TaskManagerRunner");
  }

  /** As Flink's scripts: memory options of the JVM and of the process are computed first. */
  private Running startFlink(String name, String parameters, String main) throws Exception {
    String conf = home.resolve("conf").toString();
    List<String> computed =
        processes
            .run(
                name + "-options",
                classPath,
                List.of(),
                List.of(
                    "org.apache.flink.runtime.util.bash.BashJavaUtils",
                    parameters,
                    "--configDir",
                    conf))
            .lines()
            .filter(line -> line.startsWith(RESULT_OF_SCRIPT))
            .map(line -> line.substring(RESULT_OF_SCRIPT.length()).strip())
            .toList();
    List<String> options = new ArrayList<>(List.of(computed.get(0).split(" ", -1)));
    options.addAll(flinkOptions());
    List<String> mainAndArgs = new ArrayList<>(List.of(main, "--configDir", conf));
    mainAndArgs.addAll(List.of(computed.get(1).split(" ", -1)));
    return processes.start(name, classPath, options, mainAndArgs);
  }

  private List<String> flinkOptions() {
    return List.of(OPENS, logging());
  }

  private String logging() {
    return "-Dlog4j2.configurationFile=" + home.resolve("conf/log4j.properties");
  }

  KafkaConnection kafka() {
    return KafkaConnection.of(bootstrapServers);
  }

  /** Sends records, compressed, so that a job's own native decompressor is needed too. */
  <T extends StreamRecord> void send(String topic, RecordType<T> type, List<T> records)
      throws Exception {
    RecordCodec<T> codec = RecordFormat.json().codec(type, topic + "-value");
    KafkaConnection connection =
        new KafkaConnection(bootstrapServers, Map.of("compression.type", "zstd"));
    try (KafkaProducer<byte[], byte[]> producer = connection.producer(Topics.MAX_RECORD_BYTES)) {
      List<Future<RecordMetadata>> sent = new ArrayList<>();
      for (T each : records) {
        byte[] key = each.key().getBytes(StandardCharsets.UTF_8);
        sent.add(producer.send(new ProducerRecord<>(topic, key, codec.encode(each))));
      }
      for (Future<RecordMetadata> each : sent) {
        each.get(1, TimeUnit.MINUTES);
      }
    }
  }

  /** Writes a {@code flink} into a directory: what a distribution has in its {@code bin/}. */
  Path writeFlinkScript(Path bin) throws IOException {
    Path script =
        Files.writeString(
            Files.createDirectories(bin).resolve("flink"),
            """
            #!/bin/sh
            export FLINK_CONF_DIR='%s'
            exec '%s' %s -cp '%s' org.apache.flink.client.cli.CliFrontend "$@"
            """
                .formatted(
                    home.resolve("conf"),
                    Path.of(System.getProperty("java.home"), "bin", "java"),
                    System.getProperty("test.jvm", "") + " " + String.join(" ", flinkOptions()),
                    classPath));
    if (!script.toFile().setExecutable(true)) {
      throw new IOException(script + " cannot be made executable");
    }
    return script;
  }

  /** Flink's REST address. */
  String address() {
    return "http://127.0.0.1:" + restPort;
  }

  /** All that is committed in a topic. */
  <T extends StreamRecord> List<T> read(String topic, RecordType<T> type) {
    RecordCodec<T> codec = RecordFormat.json().codec(type, topic + "-value");
    List<T> all = new ArrayList<>();
    try (TopicScan scan = new TopicScan(kafka(), topic)) {
      scan.toEnd(
          record ->
              all.add(
                  codec.decode(
                      record.value(),
                      new Coordinates(record.topic(), record.partition(), record.offset()),
                      record.timestamp())));
    }
    return all;
  }

  /** {@code whetstream ARGS}, on these topics: what a person types. */
  void whetstream(Topics topics, String... args) throws Exception {
    commands++;
    List<String> mainAndArgs = new ArrayList<>(List.of(Main.class.getName()));
    mainAndArgs.addAll(List.of(args));
    mainAndArgs.addAll(
        List.of("--bootstrap-servers", bootstrapServers, "--prefix", topics.prefix()));
    processes.run(
        "whetstream-" + commands,
        System.getProperty("java.class.path"),
        List.of("-Dwhetstream.home=" + home, logging()),
        mainAndArgs);
  }

  /**
   * Waits until all tasks of a job run and it has completed a checkpoint that began after this
   * call. Flink's answers may be seconds old, and its counts go on over a restart of the job; a
   * time of beginning cannot be from before.
   */
  void awaitNextCheckpoint(String job) throws Exception {
    long called = System.currentTimeMillis();
    await(
        "a checkpoint begun after " + called,
        UP,
        () ->
            rest("/jobs/" + job + "/checkpoints").at("/latest/completed/trigger_timestamp").asLong()
                > called);
    await("all tasks running", UP, () -> runs(job));
  }

  private boolean runs(String job) throws IOException {
    JsonNode answer = rest("/jobs/" + job);
    if (!answer.path("state").asText().equals("RUNNING")) {
      return false;
    }
    for (JsonNode vertex : answer.path("vertices")) {
      if (vertex.at("/tasks/RUNNING").asInt() != vertex.path("parallelism").asInt()) {
        return false;
      }
    }
    return true;
  }

  /** The native libraries and what loads them, as they are put into {@code lib/}. */
  List<Path> jobLibraries() {
    return jobLibraries;
  }

  /**
   * {@code flink run -d OPTIONS JOB-JAR ARGS}.
   *
   * @return the job's id
   */
  String submit(List<String> options, Class<?> main, String... args) throws Exception {
    List<String> all = new ArrayList<>(List.of("run", "-d", "-c", main.getName()));
    all.addAll(options);
    all.add(jobJar.toString());
    all.addAll(List.of(args));
    return found("JobID ([0-9a-f]{32})", flink(all));
  }

  /**
   * {@code flink stop}.
   *
   * @param drain as if the topics had ended: everything that waits is taken
   * @return where the savepoint is
   */
  URI stop(String job, boolean drain, Path savepoints) throws Exception {
    List<String> all = new ArrayList<>(List.of("stop"));
    if (drain) {
      all.add("--drain");
    }
    all.addAll(List.of("--savepointPath", savepoints.toUri().toString(), job));
    return URI.create(found("Path: (file:\\S+)", flink(all)));
  }

  /** {@code flink cancel}. */
  void cancel(String job) throws Exception {
    flink(List.of("cancel", job));
  }

  private String flink(List<String> args) throws Exception {
    commands++;
    List<String> mainAndArgs = new ArrayList<>(args);
    mainAndArgs.add(0, "org.apache.flink.client.cli.CliFrontend");
    return processes.run("flink-" + commands, classPath, flinkOptions(), mainAndArgs);
  }

  private static String found(String pattern, String text) {
    Matcher matcher = Pattern.compile(pattern).matcher(text);
    if (!matcher.find()) {
      throw new IllegalStateException("no " + pattern + " in:\n" + text);
    }
    return matcher.group(1);
  }

  /** What Flink's REST interface says at a path. */
  JsonNode rest(String path) throws IOException {
    try {
      URI uri = URI.create(address() + path);
      return JSON.readTree(
          http.send(HttpRequest.newBuilder(uri).build(), BodyHandlers.ofString()).body());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(e);
    }
  }

  static void await(String what, Duration most, Callable<Boolean> condition) throws Exception {
    long deadline = System.nanoTime() + most.toNanos();
    while (!condition.call()) {
      if (System.nanoTime() > deadline) {
        throw new AssertionError("not within " + most + ": " + what);
      }
      TimeUnit.MILLISECONDS.sleep(50);
    }
  }

  private static List<Path> jars(Path directory) throws IOException {
    List<Path> jars = new ArrayList<>();
    try (DirectoryStream<Path> found = Files.newDirectoryStream(directory.toRealPath(), "*.jar")) {
      found.forEach(jars::add);
    }
    return jars;
  }

  static int freePort() {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return socket.getLocalPort();
    } catch (IOException e) {
      throw new IllegalStateException("no free port on loopback", e);
    }
  }

  @Override
  public void close() throws Exception {
    processes.close();
  }
}
