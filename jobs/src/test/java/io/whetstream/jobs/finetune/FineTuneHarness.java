package io.whetstream.jobs.finetune;

import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.connectors.registry.AdapterRegistry;
import io.whetstream.connectors.registry.RegistryOptions;
import io.whetstream.jobs.score.ScoreConfig;
import io.whetstream.jobs.score.ScoreJob;
import io.whetstream.kafka.EmbeddedKafka;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.apache.flink.api.common.JobID;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.runtime.execution.ExecutionState;
import org.apache.flink.runtime.highavailability.nonha.embedded.HaLeadershipControl;
import org.apache.flink.runtime.jobgraph.JobGraph;
import org.apache.flink.runtime.jobgraph.SavepointRestoreSettings;
import org.apache.flink.runtime.jobmaster.JobResult;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;

/** A broker and a Flink cluster in this process, and what the tests do with them. */
final class FineTuneHarness implements AutoCloseable {
  private final EmbeddedKafka broker;
  private final MiniCluster cluster;
  private final Path directory;
  private int taskManagersLost;

  FineTuneHarness(Path directory) throws Exception {
    this.directory = directory;
    broker = EmbeddedKafka.start(directory.resolve("kafka"), 0);
    Configuration flink = new Configuration();
    flink.set(RestOptions.BIND_PORT, "0");
    flink.set(TaskManagerOptions.MANAGED_MEMORY_SIZE, MemorySize.ofMebiBytes(96));
    flink.set(TaskManagerOptions.NETWORK_MEMORY_MIN, MemorySize.ofMebiBytes(32));
    flink.set(TaskManagerOptions.NETWORK_MEMORY_MAX, MemorySize.ofMebiBytes(32));
    cluster =
        new MiniCluster(
            new MiniClusterConfiguration.Builder()
                .setConfiguration(flink)
                .setNumTaskManagers(1)
                .setNumSlotsPerTaskManager(6)
                .setHaServices(MiniCluster.HaServices.WITH_LEADERSHIP_CONTROL)
                .build());
    cluster.start();
  }

  MiniCluster cluster() {
    return cluster;
  }

  /** Takes the machine away on which all operators run, and gives another. */
  void loseTaskManager() throws Exception {
    cluster.terminateTaskManager(taskManagersLost++).get(60, TimeUnit.SECONDS);
    cluster.startTaskManager();
  }

  /** Takes the job's master away and lets another lead. */
  void loseJobManager(JobID job) throws Exception {
    HaLeadershipControl leadership = cluster.getHaLeadershipControl().orElseThrow();
    leadership.revokeJobMasterLeadership(job).get(60, TimeUnit.SECONDS);
    leadership.grantJobMasterLeadership(job).get(60, TimeUnit.SECONDS);
    await(
        "the new master leads",
        Duration.ofMinutes(1),
        () -> cluster.getJobStatus(job).get(60, TimeUnit.SECONDS) == JobStatus.RUNNING);
  }

  /** The broker's address, own topics for one test, a registry and checkpoints of its own. */
  FineTuneConfig config(String name, int partitions, String... overrides) {
    try (Admin admin = connection().admin()) {
      new Topics(name + ".").create(admin, partitions, (short) 1);
    }
    return configured(name, List.of(overrides));
  }

  /** Other settings for the topics, registry and checkpoints of a job. */
  FineTuneConfig reconfigured(FineTuneConfig config, List<String> overrides) {
    return configured(config.name(), overrides);
  }

  private FineTuneConfig configured(String name, List<String> overrides) {
    List<String> all = new ArrayList<>();
    all.add("name=" + name);
    all.add("kafka.bootstrapServers=" + broker.bootstrapServers());
    all.add("kafka.topicPrefix=" + name + ".");
    all.add("registry.uri=" + directory.resolve(name + "-adapters"));
    all.add("checkpoint.directory=" + directory.resolve(name + "-checkpoints").toUri());
    all.add("checkpoint.interval=400ms");
    all.add("base.threads=1");
    all.add("base.device=cpu");
    all.addAll(overrides);
    FineTuneConfig config = FineTuneConfig.loader().parse("", name, all);
    FineTuneJob.check(config);
    return config;
  }

  private KafkaConnection connection() {
    return KafkaConnection.of(broker.bootstrapServers());
  }

  void produce(FineTuneConfig config, List<ImageTextPair> pairs) throws Exception {
    send(config, new Topics(config.kafka().topicPrefix()).pairs(), RecordType.PAIR, pairs);
  }

  void produce(FineTuneConfig config, AdapterControl control) throws Exception {
    send(
        config,
        new Topics(config.kafka().topicPrefix()).adaptersControl(),
        RecordType.ADAPTER_CONTROL,
        List.of(control));
  }

  /** Raw bytes as somebody else might send them. */
  void produceRaw(FineTuneConfig config, String key, byte[] value) {
    try (KafkaProducer<byte[], byte[]> producer = connection().producer(Topics.MAX_RECORD_BYTES)) {
      producer.send(
          new ProducerRecord<>(
              new Topics(config.kafka().topicPrefix()).pairs(),
              key.getBytes(StandardCharsets.UTF_8),
              value));
      producer.flush();
    }
  }

  <T extends StreamRecord> void send(
      FineTuneConfig config, String topic, RecordType<T> type, List<T> records) throws Exception {
    RecordCodec<T> codec = RecordFormat.json().codec(type, topic + "-value");
    try (KafkaProducer<byte[], byte[]> producer = connection().producer(Topics.MAX_RECORD_BYTES)) {
      List<Future<RecordMetadata>> sent = new ArrayList<>();
      for (T record : records) {
        sent.add(
            producer.send(
                new ProducerRecord<>(
                    topic, record.key().getBytes(StandardCharsets.UTF_8), codec.encode(record))));
      }
      for (Future<RecordMetadata> each : sent) {
        each.get(2, TimeUnit.MINUTES);
      }
    }
  }

  /** Deletes all pairs that the topic holds, as retention does. */
  void deletePairs(FineTuneConfig config) throws Exception {
    String topic = new Topics(config.kafka().topicPrefix()).pairs();
    try (Admin admin = connection().admin()) {
      admin
          .deleteRecords(Map.of(new TopicPartition(topic, 0), RecordsToDelete.beforeOffset(-1)))
          .all()
          .get(60, TimeUnit.SECONDS);
    }
  }

  /** Whether a completed checkpoint has all pairs that the topic holds behind it. */
  boolean allRead(FineTuneConfig config) throws Exception {
    String topic = new Topics(config.kafka().topicPrefix()).pairs();
    try (Admin admin = connection().admin();
        KafkaConsumer<byte[], byte[]> consumer = connection().consumer()) {
      var read =
          admin
              .listConsumerGroupOffsets(FineTuneJob.group(config))
              .partitionsToOffsetAndMetadata()
              .get(60, TimeUnit.SECONDS);
      List<TopicPartition> partitions =
          consumer.partitionsFor(topic).stream()
              .map(info -> new TopicPartition(topic, info.partition()))
              .toList();
      return consumer.endOffsets(partitions).entrySet().stream()
          .allMatch(
              end ->
                  read.get(end.getKey()) != null
                      && read.get(end.getKey()).offset() == end.getValue());
    }
  }

  /** Number of adapters in the registry of a job. */
  int adapters(FineTuneConfig config) {
    return AdapterRegistry.open(RegistryOptions.of(config.registry().uri())).list().size();
  }

  /** What a running job failed with last, or nothing. */
  String failure(JobID job) throws Exception {
    var info = cluster.getExecutionGraph(job).get(60, TimeUnit.SECONDS).getFailureInfo();
    return info == null ? "" : info.getExceptionAsString();
  }

  /** Everything committed on the adapters topic, in order. */
  List<AdapterAnnouncement> announcements(FineTuneConfig config) {
    String topic = new Topics(config.kafka().topicPrefix()).adapters();
    RecordCodec<AdapterAnnouncement> codec =
        RecordFormat.json().codec(RecordType.ADAPTER, topic + "-value");
    return read(topic).stream()
        .map(
            record ->
                codec.decode(
                    record.value(),
                    new Coordinates(topic, record.partition(), record.offset()),
                    record.timestamp()))
        .toList();
  }

  /** Alerts of a scoring job on the same topics. */
  List<Alert> alerts(FineTuneConfig config) {
    String topic = new Topics(config.kafka().topicPrefix()).alerts();
    RecordCodec<Alert> codec = RecordFormat.json().codec(RecordType.ALERT, topic + "-value");
    return read(topic).stream()
        .map(
            record ->
                codec.decode(
                    record.value(),
                    new Coordinates(topic, record.partition(), record.offset()),
                    record.timestamp()))
        .toList();
  }

  /** Committed dead letters as Kafka holds them. */
  List<ConsumerRecord<byte[], byte[]>> deadLetters(FineTuneConfig config) {
    return read(new Topics(config.kafka().topicPrefix()).pairsDeadLetters());
  }

  private List<ConsumerRecord<byte[], byte[]>> read(String topic) {
    List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
    try (KafkaConsumer<byte[], byte[]> consumer = connection().consumer()) {
      List<TopicPartition> partitions =
          consumer.partitionsFor(topic).stream()
              .map(info -> new TopicPartition(topic, info.partition()))
              .toList();
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      var ends = consumer.endOffsets(partitions);
      while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
        consumer.poll(Duration.ofMillis(100)).forEach(records::add);
      }
    }
    return records;
  }

  JobID submit(FineTuneConfig config, boolean untilEnd, TrainerHooks hooks, String savepoint)
      throws Exception {
    return submit(env -> FineTuneJob.build(env, config, untilEnd, hooks), savepoint);
  }

  JobID submit(ScoreConfig config, String savepoint) throws Exception {
    return submit(env -> ScoreJob.build(env, config), savepoint);
  }

  private JobID submit(Consumer<StreamExecutionEnvironment> job, String savepoint)
      throws Exception {
    Configuration flink = new Configuration();
    flink.set(RestartStrategyOptions.RESTART_STRATEGY, "fixed-delay");
    flink.set(RestartStrategyOptions.RESTART_STRATEGY_FIXED_DELAY_ATTEMPTS, 1_000);
    flink.set(RestartStrategyOptions.RESTART_STRATEGY_FIXED_DELAY_DELAY, Duration.ofMillis(50));
    StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(flink);
    env.setParallelism(1);
    job.accept(env);
    JobGraph graph = env.getStreamGraph().getJobGraph();
    if (savepoint != null) {
      graph.setSavepointRestoreSettings(SavepointRestoreSettings.forPath(savepoint));
    }
    return cluster.submitJob(graph).get(60, TimeUnit.SECONDS).getJobID();
  }

  /** Runs to the end of the topics. */
  void run(FineTuneConfig config, TrainerHooks hooks) throws Exception {
    finish(submit(config, true, hooks, null));
  }

  /** Waits for a job's end, and fails if it failed. */
  void finish(JobID job) throws Exception {
    JobResult result = cluster.requestJobResult(job).get(5, TimeUnit.MINUTES);
    result.toJobExecutionResult(getClass().getClassLoader());
  }

  /** Stops a job with a savepoint and says where it is. */
  String stop(JobID job) throws Exception {
    return stop(job, false);
  }

  /** Whether no task is on its way: a source that has an end may have reached it. */
  private boolean runs(JobID job) throws Exception {
    for (var vertex :
        cluster.getExecutionGraph(job).get(60, TimeUnit.SECONDS).getAllExecutionVertices()) {
      if (vertex.getExecutionState() != ExecutionState.RUNNING
          && vertex.getExecutionState() != ExecutionState.FINISHED) {
        return false;
      }
    }
    return true;
  }

  /** Ends a job as if its topics had ended: everything that waits is taken. */
  void drain(JobID job) throws Exception {
    stop(job, true);
  }

  private String stop(JobID job, boolean drain) throws Exception {
    await("all tasks run", Duration.ofMinutes(5), () -> runs(job));
    String savepoint =
        cluster
            .stopWithSavepoint(
                job,
                directory.resolve("savepoints").toUri().toString(),
                drain,
                SavepointFormatType.CANONICAL)
            .get(5, TimeUnit.MINUTES);
    cluster.requestJobResult(job).get(1, TimeUnit.MINUTES);
    return savepoint;
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

  @Override
  public void close() throws Exception {
    cluster.close();
    broker.close();
  }
}
