package io.whetstream.jobs.score;

import io.whetstream.connectors.kafka.Topics;
import io.whetstream.kafka.EmbeddedKafka;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;
import org.apache.flink.api.common.JobID;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.runtime.checkpoint.CheckpointStatsSnapshot;
import org.apache.flink.runtime.client.JobStatusMessage;
import org.apache.flink.runtime.execution.ExecutionState;
import org.apache.flink.runtime.executiongraph.AccessExecutionGraph;
import org.apache.flink.runtime.jobgraph.JobGraph;
import org.apache.flink.runtime.jobgraph.SavepointRestoreSettings;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.junit.jupiter.api.extension.TestExecutionExceptionHandler;

/** A Kafka broker and a Flink cluster with RocksDB in this process. */
public final class ScoreCluster implements AutoCloseable {
  private static final Duration PATIENCE = Duration.ofSeconds(180);

  private static final Map<String, String> BROKER =
      Map.of(
          // Starved of processor time by whatever else runs, the one broker is not to be taken for
          // dead.
          "broker.session.timeout.ms",
          "60000",
          // Records carry event times of 1970: nothing is to be deleted for its age.
          "log.retention.ms",
          "-1");

  private final Path directory;
  private final EmbeddedKafka kafka;
  private final MiniCluster flink;
  private final KafkaProducer<byte[], byte[]> producer;
  private final AtomicReference<Exception> notSent = new AtomicReference<>();
  private final Map<String, Followed> followed = new HashMap<>();

  /** A topic as far as it was read. */
  private record Followed(TopicReader reader, List<ConsumerRecord<byte[], byte[]>> records) {}

  public ScoreCluster(Path directory, int slotsPerTaskManager, int taskManagers) throws Exception {
    this.directory = directory;
    kafka = EmbeddedKafka.start(directory.resolve("kafka"), 0, BROKER);
    Configuration configuration = flinkConfiguration();
    flink =
        new MiniCluster(
            new MiniClusterConfiguration.Builder()
                .setConfiguration(configuration)
                .setNumTaskManagers(taskManagers)
                .setNumSlotsPerTaskManager(slotsPerTaskManager)
                .build());
    flink.start();
    Properties properties = new Properties();
    properties.put("bootstrap.servers", kafka.bootstrapServers());
    properties.put("linger.ms", "0");
    properties.put("max.request.size", Integer.toString(2 * Topics.MAX_RECORD_BYTES));
    producer =
        new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
  }

  private Configuration flinkConfiguration() {
    Configuration configuration = new Configuration();
    configuration.setString("state.backend.type", "rocksdb");
    configuration.setString(
        "execution.checkpointing.dir", directory.resolve("cp").toUri().toString());
    configuration.setString("execution.checkpointing.interval", "200 ms");
    configuration.setString("restart-strategy.type", "fixed-delay");
    configuration.setString("restart-strategy.fixed-delay.attempts", "1000");
    configuration.setString("restart-strategy.fixed-delay.delay", "10 ms");
    configuration.setString("pipeline.generic-types", "false");
    configuration.setString("taskmanager.memory.network.min", "32 mb");
    configuration.setString("taskmanager.memory.network.max", "32 mb");
    configuration.setString("taskmanager.memory.managed.size", "64 mb");
    configuration.setString("rest.port", "0");
    return configuration;
  }

  public String bootstrapServers() {
    return kafka.bootstrapServers();
  }

  MiniCluster flink() {
    return flink;
  }

  public StreamExecutionEnvironment environment() {
    return StreamExecutionEnvironment.getExecutionEnvironment(flinkConfiguration());
  }

  public void topics(int partitions, String... names) {
    create(partitions, Map.of(), names);
  }

  void compactedTopics(String... names) {
    create(1, Map.of("cleanup.policy", "compact"), names);
  }

  void addPartitions(String topic, int inAll) throws Exception {
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", kafka.bootstrapServers()))) {
      admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(inAll))).all().get();
    }
  }

  private void create(int partitions, Map<String, String> config, String... names) {
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", kafka.bootstrapServers()))) {
      List<NewTopic> topics = new ArrayList<>();
      for (String name : names) {
        topics.add(new NewTopic(name, partitions, (short) 1).configs(config));
      }
      Topics.create(admin, topics);
    }
  }

  void send(String topic, String key, String value) {
    send(topic, null, null, key, value == null ? null : value.getBytes(StandardCharsets.UTF_8));
  }

  public void send(String topic, Integer partition, Long time, String key, byte[] value) {
    producer.send(
        new ProducerRecord<>(topic, partition, time, key.getBytes(StandardCharsets.UTF_8), value),
        (at, failure) -> {
          if (failure != null) {
            notSent.compareAndSet(null, failure);
          }
        });
  }

  /** Returns when all that was sent is in its topics. */
  public void flush() {
    producer.flush();
    if (notSent.get() != null) {
      throw new AssertionError("a record was not sent", notSent.get());
    }
  }

  public JobID submit(StreamExecutionEnvironment env, String savepoint) throws Exception {
    JobGraph graph = env.getStreamGraph().getJobGraph();
    if (savepoint != null) {
      graph.setSavepointRestoreSettings(SavepointRestoreSettings.forPath(savepoint));
    }
    flink.submitJob(graph).get();
    return graph.getJobID();
  }

  void awaitRunning(JobID job) throws Exception {
    await("all tasks run", () -> allRunning(job));
  }

  private boolean allRunning(JobID job) throws Exception {
    for (var vertex : flink.getExecutionGraph(job).get().getAllExecutionVertices()) {
      if (vertex.getExecutionState() != ExecutionState.RUNNING) {
        return false;
      }
    }
    return true;
  }

  JobStatus status(JobID job) throws Exception {
    return flink.getJobStatus(job).get();
  }

  public String stopWithSavepoint(JobID job) throws Exception {
    String path =
        flink
            .stopWithSavepoint(
                job,
                directory.resolve("savepoints").toUri().toString(),
                false,
                SavepointFormatType.CANONICAL)
            .get();
    await("job ends", () -> flink.getJobStatus(job).get().isGloballyTerminalState());
    return path;
  }

  public void cancel(JobID job) throws Exception {
    flink.cancelJob(job).get();
    await("job ends", () -> flink.getJobStatus(job).get().isGloballyTerminalState());
  }

  /** Cancels every job that has not ended. */
  public void cancelAll() throws Exception {
    for (JobStatusMessage job : flink.listJobs().get()) {
      if (!job.getJobState().isGloballyTerminalState()) {
        cancel(job.getJobId());
      }
    }
  }

  /** A failure names what the jobs were doing. */
  static TestExecutionExceptionHandler explaining(Supplier<ScoreCluster> cluster) {
    return (test, failure) -> {
      throw new AssertionError(failure + cluster.get().unfinishedJobs(), failure);
    };
  }

  /** What jobs that have not ended were doing when a test fails: states, failure, stacks. */
  String unfinishedJobs() throws Exception {
    StringBuilder text = new StringBuilder();
    for (JobStatusMessage job : flink.listJobs().get()) {
      if (job.getJobState().isGloballyTerminalState()) {
        continue;
      }
      AccessExecutionGraph graph = flink.getExecutionGraph(job.getJobId()).get();
      text.append("\njob ").append(job.getJobName()).append(" is ").append(graph.getState());
      for (var vertex : graph.getAllExecutionVertices()) {
        text.append("\n  ")
            .append(vertex.getTaskNameWithSubtaskIndex())
            .append(": ")
            .append(vertex.getExecutionState())
            .append(", attempt ")
            .append(vertex.getCurrentExecutionAttempt().getAttemptNumber());
      }
      CheckpointStatsSnapshot checkpoints = graph.getCheckpointStatsSnapshot();
      if (checkpoints != null) {
        text.append("\n  checkpoints: ")
            .append(checkpoints.getCounts().getNumberOfCompletedCheckpoints())
            .append(" completed, ")
            .append(checkpoints.getCounts().getNumberOfInProgressCheckpoints())
            .append(" begun, ")
            .append(checkpoints.getCounts().getNumberOfFailedCheckpoints())
            .append(" failed");
      }
      if (graph.getFailureInfo() != null) {
        text.append("\n  latest failure: ").append(graph.getFailureInfo().getExceptionAsString());
      }
      for (var vertex : graph.getAllExecutionVertices()) {
        if (vertex.getExecutionState() == ExecutionState.INITIALIZING) {
          appendStack(vertex.getTaskNameWithSubtaskIndex(), text);
        }
      }
    }
    return text.toString();
  }

  private static void appendStack(String task, StringBuilder text) {
    Thread.getAllStackTraces()
        .forEach(
            (thread, stack) -> {
              if (thread.getName().startsWith(task)) {
                text.append("\n  ").append(thread.getName()).append(' ').append(thread.getState());
                Arrays.stream(stack).limit(40).forEach(at -> text.append("\n    ").append(at));
              }
            });
  }

  /** Everything committed in a topic so far. */
  public List<ConsumerRecord<byte[], byte[]>> read(String topic) {
    Followed known =
        followed.computeIfAbsent(
            topic,
            name -> {
              Properties client = new Properties();
              client.put("bootstrap.servers", kafka.bootstrapServers());
              return new Followed(new TopicReader(client, name), new ArrayList<>());
            });
    known.reader().readToEnd(known.records()::add);
    return List.copyOf(known.records());
  }

  /** Waits for a condition; a test's own deadline, never a pause of fixed length. */
  public static void await(String what, Callable<Boolean> condition) throws Exception {
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    while (!condition.call()) {
      if (System.nanoTime() > deadline) {
        throw new AssertionError("in vain waited until " + what);
      }
      LockSupport.parkNanos(20_000_000);
    }
  }

  @Override
  public void close() throws Exception {
    followed.values().forEach(topic -> topic.reader().close());
    producer.close(Duration.ZERO);
    flink.close();
    kafka.close();
  }
}
