package io.whetstream.local;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.BadInputException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.metrics.Gauge;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@Tag("cluster")
class LocalRuntimeTest {
  private static final String JOB = "counting";
  private static final String TOPIC = "words";

  /** Of all that means something in a URI, in a list of paths or to Kafka. */
  private static final String DATA = "my data, 100% c#1 q?x%20y:z";

  @TempDir Path temp;

  /** Counts in keyed state and shows the count as a metric. */
  static final class Counting extends RichMapFunction<String, Long> {
    private static final long serialVersionUID = 1L;
    private transient ValueState<Long> count;
    private transient volatile long shown;

    @Override
    public void open(OpenContext context) {
      count = getRuntimeContext().getState(new ValueStateDescriptor<>("count", Types.LONG));
      getRuntimeContext().getMetricGroup().gauge("counted", (Gauge<Long>) () -> shown);
    }

    @Override
    public Long map(String word) throws Exception {
      if (word.equals("fail")) {
        throw new BadInputException("a word that cannot be counted");
      }
      Long before = count.value();
      long now = before == null ? 1 : before + 1;
      count.update(now);
      shown = now;
      return now;
    }
  }

  private static LocalJob submit(LocalRuntime runtime) {
    String servers = runtime.bootstrapServers();
    return runtime.submit(JOB, environment -> build(environment, servers));
  }

  private static void build(StreamExecutionEnvironment environment, String servers) {
    KafkaSource<String> source =
        KafkaSource.<String>builder()
            .setBootstrapServers(servers)
            .setTopics(TOPIC)
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setValueOnlyDeserializer(new SimpleStringSchema())
            .build();
    environment.setParallelism(1);
    // Every piece of state in a file of its own, as large state is: none may go missing.
    environment.configure(
        Configuration.fromMap(Map.of("execution.checkpointing.data-inline-threshold", "0 b")));
    environment
        .fromSource(source, WatermarkStrategy.noWatermarks(), "words")
        .uid("words")
        .keyBy(word -> 0)
        .map(new Counting())
        .uid("count")
        .sinkTo(new DiscardingSink<>());
  }

  private static void produce(LocalRuntime runtime, int words) throws Exception {
    try (KafkaProducer<String, String> producer =
        new KafkaProducer<>(
            Map.of("bootstrap.servers", runtime.bootstrapServers()),
            new StringSerializer(),
            new StringSerializer())) {
      for (int i = 0; i < words; i++) {
        producer.send(new ProducerRecord<>(TOPIC, "word")).get();
      }
    }
  }

  private static void createTopic(LocalRuntime runtime) throws Exception {
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", runtime.bootstrapServers()))) {
      admin.createTopics(List.of(new NewTopic(TOPIC, 1, (short) 1))).all().get();
    }
  }

  private static void awaitCount(LocalRuntime runtime, long count) {
    await(
        () -> runtime.metrics().sum(JOB, "counted").orElse(-1) == count,
        () -> count + " words, not " + runtime.metrics().sum(JOB, "counted"));
  }

  private static void await(BooleanSupplier condition, Supplier<String> what) {
    long end = System.nanoTime() + Duration.ofSeconds(60).toNanos();
    while (!condition.getAsBoolean()) {
      assertTrue(System.nanoTime() < end, what);
      LockSupport.parkNanos(5_000_000);
    }
  }

  private LocalOptions options() {
    return LocalOptions.in(temp.resolve(DATA));
  }

  @Test
  void aStoppedJobGoesOnFromItsSavepointAndAKilledOneFromItsCheckpoint() throws Exception {
    try (LocalRuntime first = LocalRuntime.start(options())) {
      createTopic(first);
      produce(first, 5);
      assertNull(submit(first).restoredFrom());
      awaitCount(first, 5);
      Path savepoint = first.stop().get(JOB);
      assertTrue(Files.exists(savepoint.resolve("_metadata")), "no savepoint at " + savepoint);
    }
    try (LocalRuntime second = LocalRuntime.start(options())) {
      produce(second, 2);
      LocalJob job = submit(second);
      assertTrue(job.restoredFrom().toString().contains("savepoint"), job.toString());
      awaitCount(second, 7);
      second.checkpoint(job);
      produce(second, 1);
      awaitCount(second, 8);
      // No savepoint: the word after the checkpoint is counted again.
      second.close();
    }
    try (LocalRuntime third = LocalRuntime.start(options())) {
      LocalJob job = submit(third);
      assertNotNull(job.restoredFrom());
      assertTrue(job.restoredFrom().toString().contains("chk-"), job.toString());
      awaitCount(third, 8);
    }
    try (LocalRuntime fresh = LocalRuntime.start(options().withFresh(true))) {
      createTopic(fresh);
      produce(fresh, 1);
      assertNull(submit(fresh).restoredFrom());
      awaitCount(fresh, 1);
    }
  }

  @Test
  void theWebUiAnswersOnTheGivenPortAndAFailedJobTellsWhy() throws Exception {
    int port;
    try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      port = free.getLocalPort();
    }
    try (LocalRuntime runtime = LocalRuntime.start(options().withPorts(0, port))) {
      assertEquals(port, runtime.webUi().getPort());
      HttpResponse<String> page =
          HttpClient.newHttpClient()
              .send(
                  HttpRequest.newBuilder(runtime.webUi().resolve("/")).build(),
                  HttpResponse.BodyHandlers.ofString());
      assertEquals(200, page.statusCode());
      assertTrue(page.body().contains("Flink"), page.body());

      LocalJob job =
          runtime.submit(
              "failing",
              environment -> {
                environment.configure(
                    Configuration.fromMap(Map.of("restart-strategy.type", "none")));
                environment.setParallelism(1);
                environment
                    .fromData("fail")
                    .keyBy(word -> 0)
                    .map(new Counting())
                    .sinkTo(new DiscardingSink<>());
              });
      ExecutionException failure =
          assertThrows(
              ExecutionException.class, () -> runtime.ended(job).get(60, TimeUnit.SECONDS));
      assertTrue(
          failure.getCause() instanceof BadInputException bad
              && bad.getMessage().contains("cannot be counted"),
          failure.toString());
    }
  }

  @Test
  void refusesABusyPortAndADirectoryInUse() throws Exception {
    try (ServerSocket busy = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      int port = busy.getLocalPort();
      for (LocalOptions options :
          List.of(options().withPorts(port, 0), options().withPorts(0, port))) {
        BadInputException refused =
            assertThrows(BadInputException.class, () -> LocalRuntime.start(options).close());
        assertTrue(refused.getMessage().contains("port " + port), refused.getMessage());
      }
    }
    try (DataDirectory held = DataDirectory.open(temp.resolve(DATA), false)) {
      assertNotNull(held.resolve("x"));
      BadInputException refused =
          assertThrows(BadInputException.class, () -> LocalRuntime.start(options()).close());
      assertTrue(refused.getMessage().contains("in use"), refused.getMessage());
    }
    Path file = Files.writeString(temp.resolve("file"), "");
    assertThrows(BadInputException.class, () -> LocalRuntime.start(LocalOptions.in(file)).close());
  }

  @Test
  void freshDeletesOnlyWhatIsOurs() throws Exception {
    Path root = Files.createDirectories(temp.resolve(DATA));
    Path foreign = Files.writeString(root.resolve("notes.txt"), "keep");
    Path old = Files.createDirectories(root.resolve("adapters/old"));
    DataDirectory.open(root, true).close();
    assertTrue(Files.exists(foreign));
    assertTrue(Files.notExists(old));
  }

  @Test
  void anUnfinishedCheckpointIsNotGoneOnFrom() throws Exception {
    try (DataDirectory data = DataDirectory.open(temp.resolve(DATA), false)) {
      Path complete = Files.createDirectories(data.checkpoints(JOB).resolve("id/chk-3"));
      Files.writeString(complete.resolve("_metadata"), "");
      Files.createDirectories(data.checkpoints(JOB).resolve("id/chk-4"));
      assertEquals(complete, data.newestState(JOB).orElseThrow());
      data.forgetStatesExcept(JOB, complete);
      assertEquals(complete, data.newestState(JOB).orElseThrow());
    }
  }

  @Test
  void aJobThatHasLostItsStateBeginsAnewOnlyWhenThatIsSaid() throws Exception {
    try (LocalRuntime first = LocalRuntime.start(options())) {
      createTopic(first);
      produce(first, 3);
      submit(first);
      awaitCount(first, 3);
      first.stop();
    }
    for (String name : List.of("checkpoints", "savepoints")) {
      DataDirectory.delete(temp.resolve(DATA).resolve(name));
    }
    try (LocalRuntime second = LocalRuntime.start(options())) {
      BadInputException refused = assertThrows(BadInputException.class, () -> submit(second));
      assertTrue(refused.getMessage().contains("--without-state"), refused.getMessage());
      assertTrue(refused.getMessage().contains(DATA), refused.getMessage());
    }
    try (LocalRuntime told = LocalRuntime.start(options().withoutState(true))) {
      assertNull(submit(told).restoredFrom());
      awaitCount(told, 3);
    }
  }

  @Test
  void aJobThatWasKilledBeforeItHadStateBeginsAnew() throws Exception {
    LocalOptions never = options().withCheckpointInterval(Duration.ofHours(1));
    for (int start = 0; start < 2; start++) {
      try (LocalRuntime runtime = LocalRuntime.start(never)) {
        if (start == 0) {
          createTopic(runtime);
          produce(runtime, 3);
        }
        assertNull(submit(runtime).restoredFrom());
        awaitCount(runtime, 3);
        runtime.noteStates();
      }
    }
  }

  /** As the first release left it: under the name that a URI writes. */
  @Test
  void stateThatAnEarlierReleasePutBesideTheDirectoryIsFound() throws Exception {
    Path root = temp.resolve("my data");
    Path state = temp.resolve("my%20data/savepoints/" + JOB + "/savepoint-1");
    Files.createDirectories(state);
    Files.writeString(state.resolve("_metadata"), "");
    try (DataDirectory data = DataDirectory.open(root, false)) {
      assertEquals(state, data.newestState(JOB).orElseThrow());
    }
    try (DataDirectory data = DataDirectory.open(root, true)) {
      assertTrue(data.newestState(JOB).isEmpty());
    }
  }

  @Test
  void peakMemoryIsThatOfThisProcess() {
    assertTrue(LocalRuntime.peakResidentBytes() > 50 << 20);
  }
}
