package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.DeadLetterReplay;
import io.whetstream.connectors.kafka.DeadLetters;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.SinkOptions;
import io.whetstream.connectors.kafka.Sinks;
import io.whetstream.connectors.kafka.TopicScan;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.types.Types;
import io.whetstream.kafka.EmbeddedKafka;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Images inside of pairs and by URI, good and bad, on the job's way up to mining. */
@Tag("cluster")
@Timeout(240)
class BadImagesTest {
  private static final RecordCodec<ImageTextPair> JSON =
      RecordFormat.json().codec(RecordType.PAIR, null);
  private static final byte[] KEY = {0, 1, 2};

  @TempDir Path directory;
  private EmbeddedKafka broker;
  private KafkaConnection kafka;
  private Topics topics;
  private HttpServer web;
  private Path files;
  private FineTuneConfig config;
  private JobClient job;
  private final List<byte[]> pictures =
      ScenePairs.of(7, 0, 5).stream().map(MinedPair::image).toList();

  @BeforeEach
  void start() throws IOException {
    // A machine that is busy with other builds must not look like a broker that is gone.
    broker =
        EmbeddedKafka.start(
            directory.resolve("kafka"), 0, Map.of("broker.session.timeout.ms", "9000"));
    kafka = KafkaConnection.of(broker.bootstrapServers());
    topics = new Topics("bad.");
    try (Admin admin = kafka.admin()) {
      topics.create(admin, 1, (short) 1);
    }
    files = Files.createDirectories(directory.resolve("images"));
    web = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    web.createContext(
        "/good.png",
        exchange -> {
          exchange.sendResponseHeaders(200, pictures.get(2).length);
          exchange.getResponseBody().write(pictures.get(2));
          exchange.close();
        });
    web.start();
    String host = "127.0.0.1:" + web.getAddress().getPort();
    config =
        FineTuneConfig.loader()
            .parse(
                """
                name: bad
                kafka: {bootstrapServers: '%s', topicPrefix: bad., startingOffsets: earliest}
                registry: {uri: '%s'}
                base: {model: ../model/src/test/resources/golden/llava-tiny}
                checkpoint: {interval: 200ms}
                prepare: {maxPixels: 100000}
                images:
                  roots: ['%s']
                  hosts: ['%s']
                  privateNetworks: [127.0.0.1/32]
                  retries: 0
                  cache: 0
                """
                    .formatted(
                        broker.bootstrapServers(),
                        directory.resolve("registry").toUri(),
                        files.toUri(),
                        host),
                "test",
                List.of());
  }

  @AfterEach
  void stop() {
    web.stop(0);
    broker.close();
  }

  private String url(String path) {
    return "http://127.0.0.1:" + web.getAddress().getPort() + path;
  }

  private String file(String name) {
    return files.resolve(name).toUri().toString();
  }

  private static ImageTextPair pair(String id, byte[] image, String uri, String digest) {
    return new ImageTextPair(
        id, uri, digest, "a red cross", null, null, System.currentTimeMillis(), image, null);
  }

  /** The header of a PNG of 60,000 by 60,000 pixels. */
  private byte[] bomb() {
    byte[] bytes = pictures.get(0).clone();
    ByteBuffer.wrap(bytes).putInt(16, 60_000).putInt(20, 60_000);
    return bytes;
  }

  private record Sent(ImageTextPair pair, String stage, String reason) {
    boolean good() {
      return stage == null;
    }
  }

  private static Sent good(ImageTextPair pair) {
    return new Sent(pair, null, null);
  }

  @Test
  void goodOnesPassInOrderAndEachBadOneIsADeadLetterThatCanBeSentBack() throws Exception {
    Files.write(files.resolve("good.png"), pictures.get(1));
    Files.write(files.resolve("garbage.png"), new byte[100]);
    byte[] whole = pictures.get(0);
    String digest =
        HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(pictures.get(1)));
    List<Sent> sent =
        List.of(
            good(pair("inline", whole, null, null)),
            new Sent(pair("noise", new byte[64], null, null), "prepare", "known format"),
            new Sent(
                pair("cut", Arrays.copyOf(whole, whole.length / 2), null, null), "prepare", "cut"),
            good(pair("file", null, file("good.png"), digest)),
            new Sent(pair("bomb", bomb(), null, null), "prepare", "more than the limit"),
            new Sent(pair("late", null, file("late.png"), null), "fetch", "does not exist"),
            good(pair("web", null, url("/good.png"), null)),
            new Sent(pair("gone", null, url("/gone.png"), null), "fetch", "404"),
            new Sent(
                pair("foreign", null, "http://other.example/x.png", null), "fetch", "on the list"),
            new Sent(pair("passwd", null, "file:///etc/passwd", null), "fetch", "allowed roots"),
            new Sent(
                pair("changed", null, file("good.png"), "ab".repeat(32)), "fetch", "was meant"),
            new Sent(pair("garbage", null, file("garbage.png"), null), "prepare", "known format"),
            good(pair("last", pictures.get(3), null, null)));
    job = submit();
    try {
      send(sent.stream().map(Sent::pair).toList());
      List<Sent> bad = sent.stream().filter(each -> !each.good()).toList();
      List<DeadLetter> letters = letters(bad.size());
      List<ImageTextPair> passed = passed((int) sent.stream().filter(Sent::good).count());
      assertEquals(
          sent.stream().filter(Sent::good).map(each -> each.pair().id()).toList(), ids(passed));
      // The digest of what was fetched travels with the pair.
      assertEquals(
          List.of(0, 1, 2, 3).stream().map(i -> PairIds.digest(pictures.get(i))).toList(),
          passed.stream().map(ImageTextPair::imageDigest).toList());
      for (Sent each : bad) {
        DeadLetter letter = letterOf(letters, each.pair().id());
        assertEquals(each.stage(), letter.stage(), each.pair().id());
        assertTrue(letter.message().contains(each.reason()), letter.message());
        assertArrayEquals(JSON.encode(each.pair()), letter.value());
        assertArrayEquals(KEY, letter.recordKey());
        assertEquals(new Coordinates(topics.pairs(), 0, sent.indexOf(each)), letter.at());
        assertEquals(0, letter.hops());
        assertEquals("trace", letter.headers().get(0).name());
      }

      // Two are repaired where they lie; one of them was already let through as the first of its
      // id.
      Files.write(files.resolve("late.png"), pictures.get(4));
      Files.write(files.resolve("garbage.png"), pictures.get(4));
      DeadLetterReplay replay = new DeadLetterReplay(kafka, topics.pairsDeadLetters(), null, 1);
      assertEquals(new DeadLetterReplay.Result(bad.size(), 0, 0), replay.run());
      // What is bad still may be back already, and is left.
      DeadLetterReplay.Result second = replay.run();
      assertEquals(0, second.replayed());
      List<DeadLetter> again = letters(2 * bad.size() - 2).subList(bad.size(), 2 * bad.size() - 2);
      passed = passed(passed.size() + 2);
      // A replay sends letters as they lie. Those of different stages lie in no order of pairs.
      List<String> repaired =
          letters.stream()
              .map(letter -> JSON.decode(letter.value(), null, 0).id())
              .filter(Set.of("late", "garbage")::contains)
              .toList();
      assertEquals(repaired, ids(passed.subList(4, 6)));
      for (DeadLetter letter : again) {
        assertEquals(1, letter.hops());
        assertEquals(
            List.of("trace"), letter.headers().stream().map(header -> header.name()).toList());
      }
      DeadLetterReplay.Result third = replay.run();
      assertEquals(0, third.replayed());
      assertEquals(again.size(), second.tooManyHops() + third.tooManyHops());

      // A pair of an id that was trained is a duplicate, whatever its headers say.
      send(List.of(pair("inline", whole, null, null), pair("end", whole, null, null)));
      assertEquals("end", passed(passed.size() + 1).get(passed.size()).id());
      assertEquals(JobStatus.RUNNING, job.getJobStatus().get());
    } finally {
      if (!job.getJobExecutionResult().isDone()) {
        job.cancel().get();
      }
    }
  }

  /** Up to mining, then out again; a failure of any task would end the job. */
  private JobClient submit() throws Exception {
    Configuration flink = new Configuration();
    flink.set(RestartStrategyOptions.RESTART_STRATEGY, "none");
    flink.setString("taskmanager.memory.network.max", "32 mb");
    flink.setString("pipeline.generic-types", "false");
    try (Admin admin = kafka.admin()) {
      admin
          .createTopics(
              List.of(new org.apache.kafka.clients.admin.NewTopic("bad.passed", 1, (short) 1)))
          .all()
          .get();
    }
    StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(flink);
    env.setParallelism(1);
    env.enableCheckpointing(200);
    FineTuneJob.Pairs pairs = FineTuneJob.pairs(env, config, false);
    pairs
        .prepared()
        .map(
            image ->
                new ImageTextPair(
                    image.pair().id(),
                    "x:" + image.image().pixels().length,
                    image.pair().imageDigest(),
                    image.pair().shortCaption(),
                    null,
                    null,
                    image.pair().eventTime(),
                    null,
                    null))
        .returns(Types.of(RecordType.PAIR))
        .sinkTo(
            Sinks.records(
                RecordType.PAIR,
                "bad.passed",
                RecordFormat.json(),
                SinkOptions.exactlyOnce(kafka, "passed")));
    FineTuneJob.sinkDeadLetters(config, pairs.dead());
    return env.executeAsync();
  }

  private void send(List<ImageTextPair> pairs) {
    try (KafkaProducer<byte[], byte[]> producer = kafka.producer(8 << 20)) {
      for (ImageTextPair pair : pairs) {
        ProducerRecord<byte[], byte[]> record =
            new ProducerRecord<>(topics.pairs(), KEY, JSON.encode(pair));
        record.headers().add("trace", pair.id().getBytes(StandardCharsets.UTF_8));
        producer.send(record);
      }
    }
  }

  private List<ConsumerRecord<byte[], byte[]>> records(String topic, int count) {
    List<ConsumerRecord<byte[], byte[]>> all = new ArrayList<>();
    try (TopicScan scan = new TopicScan(kafka, topic)) {
      scan.follow(
          record -> {
            if (!DeadLetters.isReplayMark(record)) {
              all.add(record);
            }
          },
          () -> all.size() >= count || job.getJobExecutionResult().isDone());
    }
    if (all.size() < count) {
      job.getJobExecutionResult().join();
    }
    return all;
  }

  private List<DeadLetter> letters(int count) {
    return records(topics.pairsDeadLetters(), count).stream().map(DeadLetters::read).toList();
  }

  private List<ImageTextPair> passed(int count) {
    return records("bad.passed", count).stream()
        .map(record -> JSON.decode(record.value(), null, 0))
        .toList();
  }

  private static List<String> ids(List<ImageTextPair> pairs) {
    return pairs.stream().map(ImageTextPair::id).toList();
  }

  private static DeadLetter letterOf(List<DeadLetter> letters, String id) {
    List<DeadLetter> found =
        letters.stream()
            .filter(letter -> JSON.decode(letter.value(), null, 0).id().equals(id))
            .toList();
    assertEquals(1, found.size(), id);
    assertNull(found.get(0).spilledTo());
    return found.get(0);
  }
}
