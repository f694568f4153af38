package io.whetstream.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.TopicScan;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.registry.AdapterRegistry;
import io.whetstream.connectors.registry.RegistryOptions;
import io.whetstream.kafka.EmbeddedKafka;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.FloatTensor;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The commands that speak to Kafka, on a real broker. */
@Tag("cluster")
class KafkaCommandsTest {
  @TempDir static Path directory;
  private static EmbeddedKafka kafka;

  @BeforeAll
  static void startBroker() {
    kafka = EmbeddedKafka.start(directory.resolve("kafka"), 0);
  }

  @AfterAll
  static void stopBroker() {
    kafka.close();
  }

  private record Ran(int code, String out, String err) {
    JsonNode json() throws Exception {
      String[] lines = out.strip().split("\n", -1);
      return new ObjectMapper().readTree(lines[lines.length - 1]);
    }
  }

  private static Ran run(String prefix, String... arguments) {
    List<String> all = new ArrayList<>(List.of(arguments));
    all.addAll(List.of("--bootstrap-servers", kafka.bootstrapServers(), "--prefix", prefix));
    return runAlone(all.toArray(String[]::new));
  }

  /** A command that does not speak to Kafka. */
  private static Ran runAlone(String... arguments) {
    List<String> all = new ArrayList<>(List.of(arguments));
    all.add("--json");
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code =
        Main.run(
            Main.commandLine(Commands.all().toArray()),
            all.toArray(String[]::new),
            new PrintWriter(out, true),
            new PrintWriter(err, true));
    return new Ran(code, out.toString(), err.toString());
  }

  @Test
  void doctorNamesMissingTopicsAndIsContentWhenTheyAreThere() throws Exception {
    String[] doctor = {"doctor", "--kafka", kafka.bootstrapServers(), "--prefix", "doctor."};
    Ran before = runAlone(doctor);
    assertEquals(Main.FAILED, before.code());
    assertTrue(before.out().contains("doctor.pairs does not exist"), before.out());
    assertEquals(0, run("doctor.", "topics", "create").code());
    Ran after = runAlone(doctor);
    assertEquals(0, after.code(), after.out());
    assertTrue(after.json().path("ok").asBoolean());
    assertEquals(3, after.json().path("checks").size(), after.out());
  }

  @Test
  void doctorSaysThatNoClusterAndNoBrokerAnswer() throws Exception {
    Ran nothing = runAlone("doctor", "--cluster", "http://127.0.0.1:1", "--kafka", "127.0.0.1:1");
    assertEquals(Main.FAILED, nothing.code());
    assertEquals(2, nothing.json().path("checks").size(), nothing.out());
    nothing.json().path("checks").forEach(check -> assertFalse(check.path("ok").asBoolean()));
  }

  private static KafkaConnection connection() {
    return KafkaConnection.of(kafka.bootstrapServers());
  }

  private static List<ConsumerRecord<byte[], byte[]>> read(String topic) {
    List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
    try (TopicScan scan = new TopicScan(connection(), topic)) {
      scan.toEnd(records::add);
    }
    return records;
  }

  private static void send(ProducerRecord<byte[], byte[]> record) throws Exception {
    try (KafkaProducer<byte[], byte[]> producer = connection().producer(8 << 20)) {
      producer.send(record).get();
    }
  }

  private static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  @Test
  void createsTheMissingTopicsAndThenFindsThemRight() throws Exception {
    Ran before = run("a.", "topics", "check");
    assertEquals(false, before.json().get("ok").asBoolean(), before.out());
    assertTrue(before.code() != 0);
    Ran created = run("a.", "topics", "create");
    assertEquals(0, created.code(), created.out() + created.err());
    assertTrue(created.json().get("created").size() >= 8, created.out());
    Ran after = run("a.", "topics", "check");
    assertEquals(0, after.code(), after.out() + after.err());
    assertEquals(true, after.json().get("ok").asBoolean());
    assertEquals(0, run("a.", "topics", "create").json().get("created").size());
  }

  @Test
  void checkNamesEveryTopicThatIsNotAsItMustBe() throws Exception {
    try (Admin admin = connection().admin()) {
      admin
          .createTopics(
              List.of(
                  new NewTopic("e.adapters", 3, (short) 1),
                  new NewTopic("e.pairs", 2, (short) 1)
                      .configs(Map.of("max.message.bytes", "5000000")),
                  new NewTopic("e.pairs.dlq", 2, (short) 1)))
          .all()
          .get();
    }
    Ran created = run("e.", "topics", "create", "--partitions", "3");
    assertTrue(created.code() != 0, created.out());
    JsonNode problems = run("e.", "topics", "check").json().path("problems");
    assertEquals(2, problems.size(), problems.toString());
    assertTrue(problems.path("e.adapters").asText().contains("must be compact"));
    assertTrue(problems.path("e.adapters").asText().contains("3 partitions"));
    assertTrue(problems.path("e.pairs.dlq").asText().contains("max.message.bytes"));
  }

  @Test
  void producesEveryLineOfAFileInlineOrByUriInEitherFormat() throws Exception {
    create("b.");
    Path pairs = directory.resolve("pairs.jsonl");
    Files.writeString(
        pairs,
        """
        {"id":"one","image":"one.png","caption":"a red cross"}
        {"id":"two","image":"https://h/two.png","captions":["a blue star","x"],"eventTime":"1970-01-01T01:00:00.007+01:00"}
        """);
    Files.write(directory.resolve("one.png"), png());
    String[] produce = {"produce", "--topic", "pairs", "--from", pairs.toString()};
    assertEquals(2, run("b.", produce).json().path("sent").asInt());
    List<String> more = new ArrayList<>(List.of(produce));
    more.addAll(List.of("--by-uri", "--format", "avro", "--rate", "1000", "--limit", "1"));
    assertEquals(1, run("b.", more.toArray(String[]::new)).json().path("sent").asInt());

    RecordCodec<ImageTextPair> json = RecordFormat.json().codec(RecordType.PAIR, null);
    RecordCodec<ImageTextPair> avro = RecordFormat.avro().codec(RecordType.PAIR, null);
    int inline = 0;
    for (ConsumerRecord<byte[], byte[]> record : read("b.pairs")) {
      ImageTextPair pair = (record.value()[0] == '{' ? json : avro).decode(record.value(), null, 0);
      assertEquals(pair.id(), new String(record.key(), StandardCharsets.UTF_8));
      if (pair.id().equals("two")) {
        assertEquals("https://h/two.png", pair.imageUri());
        assertEquals("a blue star", pair.caption());
        assertEquals(7, pair.eventTime());
      } else if (record.value()[0] == '{') {
        assertArrayEquals(png(), pair.image());
        inline++;
      } else {
        assertEquals(directory.resolve("one.png").toUri().toString(), pair.imageUri());
        assertEquals(null, pair.image());
      }
    }
    assertEquals(1, inline);
    assertEquals(3, read("b.pairs").size());
  }

  @Test
  void aTimeThatIsNoneIsRefusedWithItsLine() throws Exception {
    create("t.");
    Path items = directory.resolve("items.jsonl");
    Files.writeString(items, "{\"id\":\"a\",\"text\":\"t\",\"eventTime\":\"noon\"}\n");
    Ran refused = run("t.", "produce", "--topic", "items", "--from", items.toString());
    assertEquals(Main.BAD_INPUT, refused.code());
    assertTrue(refused.err().contains("line 1: eventTime"), refused.err());
    assertEquals(0, read("t.items").size());
  }

  @Test
  void producesEveryImageOfAFolderWithTheTextBesideIt() throws Exception {
    create("h.");
    Path folder = Files.createDirectories(directory.resolve("folder/sub"));
    Files.write(folder.resolve("a.png"), png());
    Files.writeString(folder.resolve("a.txt"), "\ufeffa red cross\n");
    // As systems and version control leave them beside pictures.
    for (String hidden : List.of("sub/._a.png", ".git/x.png", "__MACOSX/sub/a.png", "CVS/b.jpg")) {
      Path file = folder.resolveSibling(hidden);
      Files.createDirectories(file.getParent());
      Files.writeString(file, "no picture");
    }
    String from = folder.getParent().toString();
    Ran produced = run("h.", "produce", "--topic", "items", "--from", from);
    assertEquals(1, produced.json().path("sent").asInt(), produced.err());
    assertTrue(produced.err().contains("left out: 4 hidden files"), produced.err());
    Item item =
        RecordFormat.json()
            .codec(RecordType.ITEM, null)
            .decode(read("h.items").get(0).value(), null, 0);
    assertEquals("sub/a.png", item.id());
    assertEquals("a red cross", item.text());
    assertArrayEquals(png(), item.image());
  }

  /** As {@code train} reads it: the same mark, the same forms of an image, the same words. */
  @Test
  void readsAFileAsTrainingDoes() throws Exception {
    create("r.");
    Path file = directory.resolve("marked.jsonl");
    String image = "data:image/png;base64," + Base64.getEncoder().encodeToString(png());
    String good = "{\"id\":\"one\",\"image\":\"" + image + "\",\"caption\":\"a red cross\"}\n";
    Files.writeString(file, "\ufeff" + good);
    Ran produced = run("r.", "produce", "--topic", "pairs", "--from", file.toString());
    assertEquals(1, produced.json().path("sent").asInt(), produced.err());
    ImageTextPair pair =
        RecordFormat.json()
            .codec(RecordType.PAIR, null)
            .decode(read("r.pairs").get(0).value(), null, 0);
    assertArrayEquals(png(), pair.image());

    Files.write(file, concat(utf8(good), new byte[] {'"', (byte) 0xe9, '"', '\n'}));
    Ran refused = run("r.", "produce", "--topic", "pairs", "--from", file.toString());
    assertEquals(Main.BAD_INPUT, refused.code());
    assertTrue(refused.err().contains(file + ": line 2: not UTF-8 text"), refused.err());

    Path folder = Files.createDirectories(directory.resolve("latin"));
    Files.write(folder.resolve("a.png"), png());
    Files.write(folder.resolve("a.txt"), new byte[] {(byte) 0xe9});
    Ran named = run("r.", "produce", "--topic", "items", "--from", folder.toString());
    assertEquals(Main.BAD_INPUT, named.code());
    assertTrue(named.err().contains("a.txt: not UTF-8 text"), named.err());
  }

  private static byte[] concat(byte[] first, byte[] second) {
    byte[] both = Arrays.copyOf(first, first.length + second.length);
    System.arraycopy(second, 0, both, first.length, second.length);
    return both;
  }

  /** So that a script can tell it from what will never work. */
  @Test
  void aBrokerThatDoesNotAnswerHasAnExitCodeOfItsOwn() {
    Ran refused =
        runAlone(
            "topics",
            "check",
            "--bootstrap-servers",
            "127.0.0.1:1",
            "--kafka-property",
            "default.api.timeout.ms=1000",
            "--kafka-property",
            "request.timeout.ms=500");
    assertEquals(Main.TRY_AGAIN, refused.code(), refused.err());
    assertTrue(refused.err().contains("try again"), refused.err());
  }

  @Test
  void aQueryThatIsAddedIsListedAndOneThatIsRemovedIsNot() throws Exception {
    create("c.");
    Ran added =
        run(
            "c.",
            "queries",
            "add",
            "--id",
            "q1",
            "--text",
            "a red cross",
            "--unlike",
            "a red square",
            "--unlike",
            "a blue cross, or a star",
            "--min-score",
            "0.5",
            "--cool-down",
            "10m",
            "--disabled");
    assertEquals(0, added.code(), added.err());
    JsonNode listed = run("c.", "queries", "list").json().get(0);
    assertEquals("q1", listed.path("id").asText());
    assertEquals(2, listed.path("unlike").size(), listed.toString());
    assertEquals("a blue cross, or a star", listed.path("unlike").get(1).asText());
    Ran removed = run("c.", "queries", "remove", "q1");
    assertEquals(0, removed.code(), removed.err());
    assertTrue(!run("c.", "queries", "list").out().contains("\"q1\""));
  }

  @Test
  void anEmptyDeadLetterTopicListsNothing() throws Exception {
    create("d.");
    Ran listed = run("d.", "dlq", "list", "--topic", "pairs");
    assertEquals(0, listed.code(), listed.err());
  }

  private static Alert alert(String id, String query) {
    return new Alert(
        id,
        "item",
        null,
        null,
        query,
        0,
        null,
        null,
        "ab".repeat(32),
        0,
        1,
        null,
        List.of(),
        List.of(),
        0,
        false,
        false,
        5,
        6);
  }

  private static void sendAlert(String prefix, Alert alert) throws Exception {
    byte[] value = RecordFormat.json().codec(RecordType.ALERT, null).encode(alert);
    send(new ProducerRecord<>(prefix + "alerts", 0, utf8(alert.queryId()), value));
  }

  @Test
  void alertsAreTailedFromTheBeginningOrFromNowOnAndForOneQuery() throws Exception {
    create("f.");
    sendAlert("f.", alert("a1", "q1"));
    send(new ProducerRecord<>("f.alerts", 0, utf8("q1"), utf8("no alert")));
    sendAlert("f.", alert("a2", "q2"));
    Ran all = run("f.", "alerts", "tail", "--from-beginning", "--once");
    assertEquals(List.of("a1", "a2"), ids(all));
    assertTrue(all.err().contains("0@1"), all.err());
    assertEquals(
        List.of("a2"),
        ids(run("f.", "alerts", "tail", "--from-beginning", "--once", "--query", "q2")));
    assertEquals(
        List.of("a1"), ids(run("f.", "alerts", "tail", "--from-beginning", "--limit", "1")));
    CompletableFuture<Ran> following =
        CompletableFuture.supplyAsync(() -> run("f.", "alerts", "tail", "--limit", "1"));
    while (!following.isDone()) {
      // When it has found the end it does not say.
      sendAlert("f.", alert("a3", "q3"));
    }
    assertEquals(List.of("a3"), ids(following.join()));
  }

  private static List<String> ids(Ran ran) throws Exception {
    List<String> ids = new ArrayList<>();
    for (String line : ran.out().strip().split("\n")) {
      ids.add(new ObjectMapper().readTree(line).path("alertId").asText());
    }
    return ids;
  }

  private static ProducerRecord<byte[], byte[]> letter(int offset, int hops) {
    ProducerRecord<byte[], byte[]> record =
        new ProducerRecord<>("g.items.dlq", 0, utf8("k" + offset), new byte[] {(byte) offset, -1});
    Map.of(
            "trace", "t" + offset,
            "whetstream.topic", "g.items",
            "whetstream.partition", "1",
            "whetstream.offset", "" + offset,
            "whetstream.timestamp", "77",
            "whetstream.stage", "decode",
            "whetstream.error", "E",
            "whetstream.message", "not UTF-8",
            "whetstream.hops", "" + hops)
        .forEach((name, value) -> record.headers().add(name, utf8(value)));
    return record;
  }

  @Test
  void deadLettersAreListedAndSentBackOnceWithOneMoreHop() throws Exception {
    create("g.");
    send(letter(5, 0));
    send(new ProducerRecord<>("g.items.dlq", 0, utf8("k"), utf8("of somebody else")));
    send(letter(6, 3));
    JsonNode listed = run("g.", "dlq", "list", "--topic", "items").json();
    assertEquals(3, listed.size());
    assertEquals("g.items-1@5", listed.path(0).path("at").asText());
    assertEquals("not UTF-8", listed.path(0).path("message").asText());
    assertEquals("g.items.dlq-0@1", listed.path(1).path("at").asText());
    assertEquals("foreign", listed.path(1).path("stage").asText());
    assertEquals(3, listed.path(2).path("hops").asInt());

    String[] replay = {"dlq", "replay", "--topic", "items", "--max-hops", "3"};
    JsonNode dry = run("g.", "dlq", "replay", "--topic", "items", "--dry-run").json();
    assertEquals(1, dry.path("replayed").asInt());
    assertEquals(1, dry.path("tooManyHops").asInt());
    assertEquals(1, dry.path("foreign").asInt());
    assertEquals(0, read("g.items").size());
    assertEquals(1, run("g.", replay).json().path("replayed").asInt());
    assertEquals(0, run("g.", replay).json().path("replayed").asInt());
    assertEquals(0, run("g.", "dlq", "list", "--topic", "items", "--pending").json().size());

    List<ConsumerRecord<byte[], byte[]>> back = read("g.items");
    assertEquals(1, back.size());
    assertArrayEquals(new byte[] {5, -1}, back.get(0).value());
    assertArrayEquals(utf8("k5"), back.get(0).key());
    // Kafka's own time is that of the replay, or retention might delete it at once.
    assertTrue(back.get(0).timestamp() > System.currentTimeMillis() - 600_000);
    assertEquals("77", header(back.get(0), "whetstream.timestamp"));
    assertEquals("1", header(back.get(0), "whetstream.hops"));
    assertEquals("g.items-1@5", header(back.get(0), "whetstream.origin"));
    assertEquals("t5", header(back.get(0), "trace"));
  }

  private static String header(ConsumerRecord<byte[], byte[]> record, String name) {
    return new String(record.headers().lastHeader(name).value(), StandardCharsets.UTF_8);
  }

  private static AdapterArtifact adapter(float value, long n) {
    float[] data = new float[2 * 32];
    Arrays.fill(data, value);
    String module = "language_model.model.layers.0.self_attn.q_proj.";
    TreeMap<String, FloatTensor> lora = new TreeMap<>();
    lora.put(module + "lora_A.weight", new FloatTensor(new long[] {2, 32}, data));
    lora.put(module + "lora_B.weight", new FloatTensor(new long[] {32, 2}, data));
    FloatTensor soft = new FloatTensor(new long[] {1, 8}, new float[8]);
    AdapterWeights weights =
        new AdapterWeights(
            new AdapterConfig(2, 4, false, 0, List.of("q_proj"), "<image>[a]", "<text>[b]", 1, 1),
            lora,
            soft,
            soft,
            4f);
    return new AdapterArtifact(
        weights,
        AdapterManifest.builder(weights, "b".repeat(64)).stream("main")
            .version(new AdapterManifest.Version(0, n))
            .build());
  }

  @Test
  void adaptersAreListedShownVerifiedRolledBackAndPruned() throws Exception {
    create("i.");
    String uri = directory.resolve("adapters").toString();
    AdapterRegistry registry = AdapterRegistry.open(RegistryOptions.of(uri));
    List<String> digests = new ArrayList<>();
    for (int n = 1; n <= 4; n++) {
      digests.add(registry.write(adapter(n, n)).digest());
    }
    JsonNode listed = runAlone("adapters", "list", "--registry", uri).json();
    assertEquals(4, listed.size());
    assertEquals("0.1", listed.path(0).path("version").asText());
    assertEquals(digests.get(3), listed.path(3).path("digest").asText());
    String shortened = digests.get(1).substring(0, 10);
    assertEquals(
        digests.get(1),
        runAlone("adapters", "show", shortened, "--registry", uri).json().path("digest").asText());
    assertEquals(0, runAlone("adapters", "verify", "--registry", uri).code());

    Path damaged = directory.resolve("adapters/adapters/" + digests.get(0));
    Path tensors = damaged.resolve("lora/adapter_model.safetensors");
    byte[] bytes = Files.readAllBytes(tensors);
    bytes[bytes.length - 1] ^= 1;
    Files.write(tensors, bytes);
    Ran verified = runAlone("adapters", "verify", "--registry", uri);
    assertEquals(Main.FAILED, verified.code());
    assertEquals(1, verified.json().path("problems").size());
    assertTrue(verified.json().path("problems").has(digests.get(0)));

    String[] back = {"adapters", "rollback", "--registry", uri, "--reason", "worse", "--to"};
    Ran refused = run("i.", with(back, digests.get(0)));
    assertEquals(Main.BAD_INPUT, refused.code());
    assertTrue(refused.err().contains("damaged"), refused.err());
    assertEquals(0, run("i.", with(back, shortened)).code());
    RecordCodec<AdapterControl> codec = RecordFormat.json().codec(RecordType.ADAPTER_CONTROL, null);
    AdapterControl order = codec.decode(read("i.adapters.control").get(0).value(), null, 0);
    assertEquals("main", order.stream());
    assertEquals(AdapterControl.Action.ROLLBACK, order.action());
    assertEquals(digests.get(1), order.digest());
    assertEquals("worse", order.reason());

    // The rollback holds its adapter, the last one stays anyway.
    String[] prune = {
      "adapters", "prune", "--registry", uri, "--min-age", "PT0S", "--keep-last", "1"
    };
    JsonNode dry = run("i.", with(prune, "--dry-run")).json();
    assertEquals(2, dry.path("removed").size());
    assertEquals(4, registry.list().size());
    JsonNode pruned = run("i.", prune).json();
    assertEquals(dry, pruned);
    assertEquals("in use", pruned.path("kept").path(digests.get(1)).asText());
    assertEquals(
        List.of(digests.get(1), digests.get(3)),
        registry.list().stream().map(AdapterRegistry.Entry::digest).toList());

    assertEquals(0, run("i.", "adapters", "resume", "--stream", "main").code());
    order = codec.decode(read("i.adapters.control").get(1).value(), null, 0);
    assertEquals(AdapterControl.Action.RESUME, order.action());
    assertEquals(null, order.digest());
  }

  @Test
  void aRollbackGoesToTheStreamThatAnnouncedTheAdapterAndSeveralMustBeToldApart() throws Exception {
    create("j.");
    String uri = directory.resolve("shared-adapters").toString();
    AdapterArtifact artifact = adapter(1, 1);
    AdapterRegistry.open(RegistryOptions.of(uri)).write(artifact);
    assertEquals("main", artifact.manifest().stream());
    String[] back = {
      "adapters", "rollback", "--registry", uri, "--reason", "worse", "--to", artifact.digest()
    };
    RecordCodec<AdapterControl> codec = RecordFormat.json().codec(RecordType.ADAPTER_CONTROL, null);

    send(new ProducerRecord<>("j.adapters", utf8("first"), utf8("no announcement")));
    announce("j.", "second", artifact);
    Ran done = run("j.", back);
    assertEquals(0, done.code());
    assertTrue(done.err().contains("j.adapters 0@0: "), done.err());
    AdapterControl order = codec.decode(read("j.adapters.control").get(0).value(), null, 0);
    assertEquals("second", order.stream());

    announce("j.", "third", artifact);
    Ran unclear = run("j.", back);
    assertEquals(Main.BAD_INPUT, unclear.code());
    assertTrue(unclear.err().contains("second, third"), unclear.err());
    assertEquals(0, run("j.", with(with(back, "--stream"), "third")).code());
    order = codec.decode(read("j.adapters.control").get(1).value(), null, 0);
    assertEquals("third", order.stream());
  }

  private static void announce(String prefix, String stream, AdapterArtifact artifact)
      throws Exception {
    AdapterAnnouncement announcement =
        new AdapterAnnouncement(
            stream,
            0,
            1,
            artifact.digest(),
            artifact.manifest().manifestDigest(),
            null,
            artifact.manifest().baseDigest(),
            "file:///nowhere",
            1,
            1,
            Map.of(),
            1);
    byte[] value = RecordFormat.json().codec(RecordType.ADAPTER, null).encode(announcement);
    send(new ProducerRecord<>(prefix + "adapters", utf8(stream), value));
  }

  private static String[] with(String[] some, String more) {
    String[] all = Arrays.copyOf(some, some.length + 1);
    all[some.length] = more;
    return all;
  }

  private static void create(String prefix) {
    Ran created = run(prefix, "topics", "create");
    assertEquals(0, created.code(), created.out() + created.err());
  }

  private static byte[] png() {
    return SceneRenderer.png(
        SceneRenderer.render(new SceneGenerator(1, SceneLook.STANDARD).scene(0)));
  }
}
