package io.whetstream.connectors.kafka;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.KafkaBroker;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.types.Read;
import io.whetstream.connectors.types.Types;
import io.whetstream.kafka.EmbeddedKafka;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Two subtasks from a topic of two partitions to another, through a failure in the middle. */
@Tag("cluster")
@Timeout(300)
class ExactlyOnceTest {
  private static final int PARTITIONS = 2;
  private static final int BATCH = 50;
  private static final Duration POLL = Duration.ofMillis(100);
  private static final String IN = "once.in";
  private static final String OUT = "once.out";
  private static final RecordCodec<Item> JSON = RecordFormat.json().codec(RecordType.ITEM, null);

  @TempDir Path dir;
  private EmbeddedKafka broker;
  private KafkaConnection kafka;
  private JobClient job;
  private int sent;

  @BeforeEach
  void start() {
    broker = EmbeddedKafka.start(dir, 0, KafkaBroker.PATIENT);
    kafka = KafkaConnection.of(broker.bootstrapServers());
    KafkaBroker.create(kafka, IN, PARTITIONS, Map.of());
    KafkaBroker.create(kafka, OUT, PARTITIONS, Map.of());
  }

  @AfterEach
  void stop() throws Exception {
    if (job != null && !job.getJobExecutionResult().isDone()) {
      job.cancel().get();
    }
    broker.close();
  }

  /**
   * Throws once, at an item whose id begins so, when it has passed on an item that is in no
   * checkpoint and the test has seen that one in the topic.
   */
  private static final class FailOnce extends RichMapFunction<Read<Item>, Item>
      implements CheckpointedFunction {
    private static final long serialVersionUID = 1L;
    private static final AtomicInteger FAILURES = new AtomicInteger();
    private static final AtomicReference<String> PASSED_ON = new AtomicReference<>();
    private static volatile CountDownLatch written;

    private final String at;
    private transient String inNoCheckpoint;

    FailOnce(String at) {
      this.at = at;
    }

    @Override
    public Item map(Read<Item> read) throws InterruptedException {
      String id = read.value().id();
      if (inNoCheckpoint != null && id.startsWith(at) && FAILURES.compareAndSet(0, 1)) {
        PASSED_ON.set(inNoCheckpoint);
        written.await();
        throw new IllegalStateException("injected at " + read.at());
      }
      inNoCheckpoint = id;
      return read.value();
    }

    @Override
    public void snapshotState(FunctionSnapshotContext context) {
      inNoCheckpoint = null;
    }

    @Override
    public void initializeState(FunctionInitializationContext context) {}
  }

  private void awaitFailure() throws Exception {
    await(
        () -> {
          String id = FailOnce.PASSED_ON.get();
          return id != null && read("read_uncommitted").contains(id);
        });
    FailOnce.written.countDown();
  }

  private void submit(DeliveryGuarantee delivery, Duration checkpoints, String failAt)
      throws Exception {
    FailOnce.FAILURES.set(0);
    FailOnce.PASSED_ON.set(null);
    FailOnce.written = new CountDownLatch(1);
    Configuration config = new Configuration();
    config.set(PipelineOptions.GENERIC_TYPES, false);
    config.set(RestartStrategyOptions.RESTART_STRATEGY, "fixed-delay");
    config.set(RestartStrategyOptions.RESTART_STRATEGY_FIXED_DELAY_ATTEMPTS, 1000);
    config.set(RestartStrategyOptions.RESTART_STRATEGY_FIXED_DELAY_DELAY, Duration.ofMillis(50));
    StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(config);
    env.setParallelism(PARTITIONS);
    env.enableCheckpointing(checkpoints.toMillis());
    SinkOptions options =
        delivery == DeliveryGuarantee.EXACTLY_ONCE
            ? SinkOptions.exactlyOnce(kafka, "once")
            : SinkOptions.atLeastOnce(kafka);
    Sources.read(
            env,
            RecordType.ITEM,
            SourceOptions.of(kafka, IN, RecordFormat.json(), "g").startingAt("earliest"),
            "items")
        .reads()
        .map(new FailOnce(failAt))
        .returns(Types.of(RecordType.ITEM))
        .sinkTo(Sinks.records(RecordType.ITEM, OUT, RecordFormat.json(), options));
    job = env.executeAsync();
  }

  /** A batch in each partition; ids say batch, partition and number. */
  private void send(String batch) {
    List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
    for (int p = 0; p < PARTITIONS; p++) {
      for (int i = 0; i < BATCH; i++) {
        String id = batch + "-" + p + "-" + i;
        long now = System.currentTimeMillis();
        byte[] value = JSON.encode(new Item(id, null, null, "t", null, now, null, null));
        records.add(new ProducerRecord<>(IN, p, id.getBytes(StandardCharsets.UTF_8), value));
      }
    }
    KafkaBroker.send(kafka, records);
    sent += records.size();
  }

  /** Ids in a topic in the order of each partition, as readers of that isolation see them. */
  private List<String> read(String isolation) {
    List<String> ids = new ArrayList<>();
    Properties client = kafka.clientProperties();
    client.put("isolation.level", isolation);
    client.put("enable.auto.commit", "false");
    try (KafkaConsumer<byte[], byte[]> consumer =
        new KafkaConsumer<>(client, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      for (int p = 0; p < PARTITIONS; p++) {
        TopicPartition partition = new TopicPartition(OUT, p);
        consumer.assign(List.of(partition));
        consumer.seekToBeginning(List.of(partition));
        long end = consumer.endOffsets(List.of(partition)).get(partition);
        while (consumer.position(partition) < end) {
          consumer
              .poll(POLL)
              .forEach(
                  record -> {
                    if (record.offset() < end) {
                      ids.add(JSON.decode(record.value(), null, 0).id());
                    }
                  });
        }
      }
    }
    return ids;
  }

  private void await(BooleanSupplier condition) throws Exception {
    while (!condition.getAsBoolean()) {
      if (job.getJobExecutionResult().isDone()) {
        job.getJobExecutionResult().get();
      }
      LockSupport.parkNanos(POLL.toNanos());
    }
  }

  private void awaitCommitted(int count) throws Exception {
    await(() -> new HashSet<>(read("read_committed")).size() >= count);
  }

  private void assertEachOnce() {
    List<String> committed = read("read_committed");
    assertEquals(sent, committed.size());
    assertEquals(sent, new HashSet<>(committed).size());
  }

  @Test
  void aFailedTaskNeitherLosesNorDoublesARecord() throws Exception {
    submit(DeliveryGuarantee.EXACTLY_ONCE, Duration.ofMillis(500), "b-1-4");
    send("a");
    awaitCommitted(sent);
    send("b");
    awaitFailure();
    awaitCommitted(sent);
    send("c");
    awaitCommitted(sent);
    assertEachOnce();
    assertEquals(1, FailOnce.FAILURES.get());
    // The failed attempt had written already: what it wrote was aborted.
    assertTrue(read("read_uncommitted").size() > sent);
  }

  @Test
  void aWriterKeepsNoAdminClientThatWouldOutliveItsJob() throws Exception {
    submit(DeliveryGuarantee.EXACTLY_ONCE, Duration.ofMillis(100), "none");
    send("a");
    awaitCommitted(sent);
    assertEquals(
        List.of(),
        Thread.getAllStackTraces().keySet().stream()
            .map(Thread::getName)
            .filter(name -> name.startsWith("kafka-admin-client-thread | adminclient-"))
            .toList());
  }

  @Test
  void atLeastOnceDoublesRecordsAfterTheSameFailureButLosesNone() throws Exception {
    submit(DeliveryGuarantee.AT_LEAST_ONCE, Duration.ofHours(1), "c-1-4");
    send("a");
    send("b");
    awaitCommitted(sent);
    send("c");
    awaitFailure();
    awaitCommitted(sent);
    assertEquals(1, FailOnce.FAILURES.get());
    List<String> all = read("read_committed");
    assertEquals(sent, new HashSet<>(all).size());
    assertTrue(all.size() > sent, all.size() + " of " + sent);
  }

  @Test
  void aRestartedBrokerNeitherLosesNorDoublesARecord() throws Exception {
    // The broker goes while records of an open transaction are in it.
    submit(DeliveryGuarantee.EXACTLY_ONCE, Duration.ofSeconds(2), "never");
    send("a");
    awaitCommitted(sent);
    send("b");
    await(() -> new HashSet<>(read("read_uncommitted")).size() == sent);
    broker.stop();
    assertFalse(broker.running());
    broker = EmbeddedKafka.start(dir, broker.port(), KafkaBroker.PATIENT);
    send("c");
    awaitCommitted(sent);
    assertEachOnce();
  }

  @Test
  void sourcesPassOverWhatWasAbortedAndWaitForWhatIsNotCommitted() throws Exception {
    submit(DeliveryGuarantee.EXACTLY_ONCE, Duration.ofMillis(500), "never");
    Properties client = kafka.clientProperties();
    client.put("transactional.id", "user");
    try (KafkaProducer<byte[], byte[]> producer =
        new KafkaProducer<>(client, new ByteArraySerializer(), new ByteArraySerializer())) {
      producer.initTransactions();
      for (String id : List.of("aborted", "kept")) {
        producer.beginTransaction();
        Item item = new Item(id, null, null, "t", null, System.currentTimeMillis(), null, null);
        producer.send(new ProducerRecord<>(IN, 0, null, JSON.encode(item))).get();
        if (id.equals("kept")) {
          // Behind an open transaction in one partition, and not in the other.
          sent++;
          send("a");
          await(() -> read("read_committed").size() == BATCH);
          assertTrue(read("read_committed").stream().allMatch(each -> each.startsWith("a-1-")));
          producer.commitTransaction();
        } else {
          producer.abortTransaction();
        }
      }
    }
    awaitCommitted(sent);
    List<String> committed = read("read_committed");
    assertTrue(committed.contains("kept"));
    assertFalse(committed.contains("aborted"));
    assertEachOnce();
  }
}
