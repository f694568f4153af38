package io.whetstream.connectors.kafka;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.KafkaBroker;
import io.whetstream.connectors.SelfSigned;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.types.Read;
import io.whetstream.connectors.types.Types;
import io.whetstream.kafka.EmbeddedKafka;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.SaslAuthenticationException;
import org.apache.kafka.common.errors.SslAuthenticationException;
import org.apache.logging.log4j.Level;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Through a listener that wants TLS and a password, with nothing but properties passed through. */
@Tag("cluster")
@Timeout(180)
class SecuredBrokerTest {
  private static final String PASSWORD = "hunter2";
  private static final String STORE_PASSWORD = "opensesame";

  @TempDir static Path directory;
  private static SelfSigned certificate;
  private static EmbeddedKafka broker;
  private static String address;

  @BeforeAll
  static void start() throws Exception {
    certificate = SelfSigned.make(directory, STORE_PASSWORD);
    try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      address = "127.0.0.1:" + free.getLocalPort();
    }
    Map<String, String> properties = new HashMap<>(KafkaBroker.PATIENT);
    properties.put("listeners", "SECURED://" + address);
    properties.put("advertised.listeners", "SECURED://" + address);
    properties.put("listener.security.protocol.map", "SECURED:SASL_SSL");
    properties.put("sasl.enabled.mechanisms", "PLAIN");
    properties.put(
        "listener.name.secured.plain.sasl.jaas.config",
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_whet=\""
            + PASSWORD
            + "\";");
    properties.put("ssl.keystore.type", "PKCS12");
    properties.put("ssl.keystore.location", certificate.keys().toString());
    properties.put("ssl.keystore.password", STORE_PASSWORD);
    properties.put("ssl.key.password", STORE_PASSWORD);
    broker = EmbeddedKafka.start(directory.resolve("kafka"), 0, properties);
  }

  @AfterAll
  static void stop() {
    broker.close();
  }

  private static KafkaConnection connection(String password) {
    return new KafkaConnection(
        address,
        Map.of(
            "security.protocol",
            "SASL_SSL",
            "sasl.mechanism",
            "PLAIN",
            "sasl.jaas.config",
            "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"whet\""
                + " password=\""
                + password
                + "\";",
            "ssl.truststore.type",
            "PKCS12",
            "ssl.truststore.location",
            certificate.trust().toString(),
            "ssl.truststore.password",
            STORE_PASSWORD));
  }

  @Test
  void recordsPassExactlyOnceAndNoSecretIsLogged() throws Exception {
    KafkaConnection kafka = connection(PASSWORD);
    List<String> said;
    try (Logged logged = Logged.at(Level.INFO)) {
      KafkaBroker.create(kafka, "in", 1, Map.of());
      KafkaBroker.create(kafka, "out", 1, Map.of());
      KafkaBroker.create(kafka, "in.dlq", 1, Map.of());
      RecordCodec<Item> codec = RecordFormat.json().codec(RecordType.ITEM, null);
      Item item = new Item("i", null, null, "t", null, System.currentTimeMillis(), null, null);
      byte[] poison = "no JSON".getBytes(StandardCharsets.UTF_8);
      KafkaBroker.send(kafka, "in", new byte[] {1}, List.of(codec.encode(item), poison));
      StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
      env.setParallelism(1);
      env.enableCheckpointing(200);
      SourceOptions options =
          SourceOptions.of(kafka, "in", RecordFormat.json(), "g").startingAt("earliest").bounded();
      Sources.Stream<Item> items = Sources.read(env, RecordType.ITEM, options, "in");
      items
          .reads()
          .map(Read::value)
          .returns(Types.of(RecordType.ITEM))
          .sinkTo(
              Sinks.records(
                  RecordType.ITEM,
                  "out",
                  RecordFormat.json(),
                  SinkOptions.exactlyOnce(kafka, "out")));
      items
          .deadLetters()
          .sinkTo(Sinks.deadLetters("in.dlq", SinkOptions.exactlyOnce(kafka, "dlq")));
      env.execute();
      List<ConsumerRecord<byte[], byte[]>> out = KafkaBroker.readAll(kafka, "out");
      assertEquals(1, out.size());
      assertEquals(item, codec.decode(out.get(0).value(), null, 0));
      assertEquals(
          new DeadLetterReplay.Result(1, 0, 0),
          new DeadLetterReplay(kafka, "in.dlq", null, 1).run());
      said = logged.lines();
    }
    // What is looked through does hold the properties of every kind of client.
    for (String client : List.of("AdminClientConfig", "ConsumerConfig", "ProducerConfig")) {
      assertTrue(
          said.stream()
              .anyMatch(
                  line ->
                      line.contains(client + " values")
                          && line.contains("sasl.jaas.config = [hidden]")),
          client);
    }
    for (String line : said) {
      assertFalse(line.contains(PASSWORD) || line.contains(STORE_PASSWORD), line);
    }
  }

  private static Throwable refusal(KafkaConnection kafka) {
    try (KafkaProducer<byte[], byte[]> producer = kafka.producer(1000)) {
      return assertThrows(
              ExecutionException.class,
              () -> producer.send(new ProducerRecord<>("refused", new byte[1])).get())
          .getCause();
    }
  }

  @Test
  void withoutTheRightPasswordOrTrustNobodyGetsIn() {
    KafkaException password =
        assertInstanceOf(SaslAuthenticationException.class, refusal(connection("hunter3")));
    assertFalse(password.getMessage().contains("hunter3"), password.getMessage());
    Map<String, String> trustless = new HashMap<>(connection(PASSWORD).properties());
    trustless.keySet().removeIf(key -> key.startsWith("ssl."));
    assertInstanceOf(
        SslAuthenticationException.class, refusal(new KafkaConnection(address, trustless)));
  }
}
