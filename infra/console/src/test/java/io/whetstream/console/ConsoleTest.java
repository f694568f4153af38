package io.whetstream.console;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.TopicScan;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.Feedback;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.kafka.EmbeddedKafka;
import io.whetstream.model.BadInputException;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.function.Predicate;
import javax.imageio.ImageIO;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The console over plain HTTP, on a real broker. */
@Tag("cluster")
class ConsoleTest {
  private static final String TOKEN = "a-token-for-this-test";
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Duration PATIENCE = Duration.ofSeconds(60);
  private static final Topics TOPICS = new Topics("t.");
  private static final RecordFormat FORMAT = RecordFormat.avro();

  @TempDir static Path temp;
  private static EmbeddedKafka kafka;
  private static KafkaConnection connection;
  private final HttpClient http = HttpClient.newHttpClient();
  private Console console;

  @BeforeAll
  static void startBroker() {
    kafka = EmbeddedKafka.start(temp, 0);
    connection = KafkaConnection.of(kafka.bootstrapServers());
    try (Admin admin = connection.admin()) {
      TOPICS.create(admin, 2, (short) 1);
    }
  }

  @AfterAll
  static void stopBroker() {
    kafka.close();
  }

  @BeforeEach
  void startConsole() {
    console =
        Console.start(ConsoleOptions.of(connection, TOPICS).withFormat(FORMAT).withToken(TOKEN));
  }

  @AfterEach
  void stopConsole() {
    console.close();
  }

  private HttpRequest.Builder request(String path) {
    return HttpRequest.newBuilder(console.uri().resolve(path)).timeout(PATIENCE);
  }

  private HttpRequest.Builder change(String path, String body) {
    String origin = console.uri().toString();
    return request(path)
        .header("Content-Type", "application/json")
        .header("Origin", origin.substring(0, origin.length() - 1))
        .header(WebServer.TOKEN_HEADER, TOKEN)
        .POST(HttpRequest.BodyPublishers.ofString(body));
  }

  private HttpResponse<String> send(HttpRequest.Builder request) throws Exception {
    return http.send(request.build(), HttpResponse.BodyHandlers.ofString());
  }

  private JsonNode until(Predicate<JsonNode> holds) throws Exception {
    long end = System.nanoTime() + PATIENCE.toNanos();
    while (true) {
      JsonNode all = JSON.readTree(send(request("/api/all")).body());
      if (holds.test(all)) {
        return all;
      }
      assertTrue(System.nanoTime() < end, all.toString());
      Thread.onSpinWait();
    }
  }

  private static <T extends StreamRecord> Coordinates put(String topic, RecordType<T> type, T value)
      throws Exception {
    try (KafkaProducer<byte[], byte[]> producer = connection.producer(Topics.MAX_RECORD_BYTES)) {
      var metadata =
          producer
              .send(
                  new ProducerRecord<>(
                      topic,
                      value.key().getBytes(StandardCharsets.UTF_8),
                      FORMAT.codec(type, topic + "-value").encode(value)))
              .get();
      return new Coordinates(topic, metadata.partition(), metadata.offset());
    }
  }

  private static Alert alert(String id, Coordinates item) {
    return new Alert(
        id,
        "item-1",
        item,
        "d",
        "q",
        0,
        null,
        "d",
        "f".repeat(64),
        1,
        2,
        "b".repeat(64),
        List.of(new Alert.Score(MatchKind.IMAGE_TEXT, 0.8, 0.5)),
        List.of(),
        0,
        false,
        false,
        1,
        2);
  }

  private static byte[] picture(int side) throws IOException {
    BufferedImage image = new BufferedImage(side, side, BufferedImage.TYPE_INT_RGB);
    image.setRGB(0, 0, 0x123456);
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    ImageIO.write(image, "png", out);
    // What follows a picture's end is nobody's business.
    out.write("<script>alert(1)</script>".getBytes(StandardCharsets.UTF_8));
    return out.toByteArray();
  }

  @Test
  void everyAnswerForbidsForeignScriptsFramesAndGuesses() throws Exception {
    for (String path : List.of("/", "/app.js", "/style.css", "/api/all", "/nothing")) {
      HttpResponse<String> answer = send(request(path).GET());
      String policy = answer.headers().firstValue("Content-Security-Policy").orElseThrow();
      assertTrue(policy.startsWith("default-src 'none'"), policy);
      assertFalse(policy.contains("unsafe"), policy);
      assertFalse(policy.contains("http"), policy);
      assertEquals("nosniff", answer.headers().firstValue("X-Content-Type-Options").orElseThrow());
    }
    HttpResponse<String> page = send(request("/").GET());
    assertEquals(200, page.statusCode());
    assertFalse(page.body().contains(TOKEN), "the page must not give the token away");
    assertFalse(page.body().contains("https://"), "nothing comes from elsewhere");
    assertTrue(send(request("/chart.umd.js").GET()).body().contains("Chart.js"));
    assertEquals(404, send(request("/../console/Console.class").GET()).statusCode());
  }

  @Test
  void aChangeNeedsTheTokenAndThePagesOwnOrigin() throws Exception {
    String body = "{\"alertId\":\"a\",\"verdict\":\"confirm\"}";
    String path = "/api/feedback";
    assertEquals(200, send(change(path, body)).statusCode());
    HttpRequest.Builder noToken =
        request(path)
            .header("Content-Type", "application/json")
            .header("Origin", console.uri().toString().replaceFirst("/$", ""))
            .POST(HttpRequest.BodyPublishers.ofString(body));
    assertEquals(401, send(noToken).statusCode());
    assertEquals(
        401, send(change(path, body).setHeader(WebServer.TOKEN_HEADER, TOKEN + "x")).statusCode());
    assertEquals(
        403, send(change(path, body).setHeader("Origin", "http://evil.example")).statusCode());
    assertEquals(403, send(change(path, body).setHeader("Origin", "null")).statusCode());
    assertEquals(
        403, send(change(path, body).setHeader("Sec-Fetch-Site", "cross-site")).statusCode());
    HttpRequest.Builder noOrigin =
        request(path)
            .header("Content-Type", "application/json")
            .header(WebServer.TOKEN_HEADER, TOKEN)
            .POST(HttpRequest.BodyPublishers.ofString(body));
    assertEquals(403, send(noOrigin).statusCode());
    assertEquals(
        415, send(change(path, body).setHeader("Content-Type", "text/plain")).statusCode());
    assertEquals(
        405,
        send(request(path).method("PUT", HttpRequest.BodyPublishers.ofString(body))).statusCode());
    assertEquals(413, send(change(path, "{\"x\":\"" + "y".repeat(3 << 20) + "\"}")).statusCode());
  }

  @Test
  void aNameThatMerelyPointsAtLoopbackIsNotAnswered() throws Exception {
    assertTrue(raw("Host: localhost:" + console.uri().getPort()).startsWith("HTTP/1.1 200"));
    assertTrue(raw("Host: evil.example").startsWith("HTTP/1.1 421"));
    assertTrue(raw("Host: 127.0.0.1.evil.example").startsWith("HTTP/1.1 421"));
  }

  /** A page of elsewhere may let its own name point here: DNS rebinding. */
  @Test
  void beyondLoopbackOnlyAddressesAndTheNamesGivenAreAnswered() throws Exception {
    try (Console open =
        Console.start(
            ConsoleOptions.of(connection, TOPICS)
                .withFormat(FORMAT)
                .withAddress("0.0.0.0", 0)
                .withNames(List.of("Console.example")))) {
      for (String name :
          List.of("127.0.0.1:1", "10.1.2.3", "[2001:db8::1]:80", "console.example:8")) {
        assertTrue(raw(open, "Host: " + name).startsWith("HTTP/1.1 200"), name);
      }
      for (String name : List.of("evil.example", "console.example.evil.example", "10.1.2.3.evil")) {
        assertTrue(raw(open, "Host: " + name).startsWith("HTTP/1.1 421"), name);
      }
    }
  }

  private String raw(String header) throws IOException {
    return raw(console, header);
  }

  /** The client of the JDK does not let a request name another host. */
  private static String raw(Console console, String header) throws IOException {
    try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), console.uri().getPort())) {
      OutputStream out = socket.getOutputStream();
      out.write(
          ("GET /api/all HTTP/1.1\r\n" + header + "\r\nConnection: close\r\n\r\n")
              .getBytes(StandardCharsets.UTF_8));
      out.flush();
      return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  @Test
  void anItemsImageIsDrawnAnewAndSmall() throws Exception {
    Coordinates at =
        put(
            TOPICS.items(),
            RecordType.ITEM,
            new Item("item-1", null, null, "a <b>text</b>", null, 5, picture(900), null));
    put(TOPICS.alerts(), RecordType.ALERT, alert("pictured", at));
    JsonNode all =
        until(
            a ->
                a.path("alerts").findValuesAsText("alertId").contains("pictured")
                    && a.toString().contains("a <b>text</b>"));
    assertTrue(all.at("/totals/alerts").asLong() > 0);
    HttpResponse<InputStream> image =
        http.send(
            request("/api/alerts/pictured/image").GET().build(),
            HttpResponse.BodyHandlers.ofInputStream());
    assertEquals("image/png", image.headers().firstValue("Content-Type").orElseThrow());
    byte[] bytes = image.body().readAllBytes();
    assertFalse(new String(bytes, StandardCharsets.ISO_8859_1).contains("script"));
    assertEquals(384, ImageIO.read(new ByteArrayInputStream(bytes)).getWidth());
  }

  @Test
  void anAlertThatNamesAnotherTopicMakesNobodyReadIt() throws Exception {
    Coordinates secret =
        put(
            TOPICS.feedback(),
            RecordType.FEEDBACK,
            new Feedback("x", Feedback.Verdict.REJECT, null, null, 1));
    put(TOPICS.alerts(), RecordType.ALERT, alert("misleading", secret));
    JsonNode all = until(a -> a.toString().contains("another topic than that of items"));
    assertEquals(404, send(request("/api/alerts/misleading/image").GET()).statusCode());
    assertTrue(all.path("alerts").size() > 0);
  }

  private SimilarityQuery newest(String id) {
    var record = TopicScan.newest(connection, TOPICS.queries()).get(id);
    return FORMAT.codec(RecordType.QUERY, "x").decode(record.value(), null, record.timestamp());
  }

  @Test
  void aChangeKeepsWhatItDoesNotNameAndARemovalCanBeUndone() throws Exception {
    byte[] image = {1, 2, 3};
    SimilarityQuery before =
        new SimilarityQuery(
            "kept",
            "a cat",
            null,
            "d",
            List.of(MatchKind.IMAGE_IMAGE),
            List.of("a dog"),
            null,
            0.01,
            7_000L,
            true,
            5,
            image,
            null);
    put(TOPICS.queries(), RecordType.QUERY, before);
    until(a -> a.path("queries").findValuesAsText("id").contains("kept"));
    String off = "{\"id\":\"kept\",\"enabled\":false}";
    assertEquals(200, send(change("/api/queries/change", off)).statusCode());
    SimilarityQuery after = newest("kept");
    assertFalse(after.enabled());
    assertArrayEquals(image, after.image());
    assertEquals(before.kinds(), after.kinds());
    assertEquals(before.unlike(), after.unlike());
    assertEquals(before.text(), after.text());
    assertEquals(before.maxFalsePositiveRate(), after.maxFalsePositiveRate());
    assertEquals(before.coolDownMillis(), after.coolDownMillis());
    until(a -> a.toString().contains("\"enabled\":false"));

    // Without its text only the image can be compared.
    String edit =
        "{\"id\":\"kept\",\"text\":null,\"unlike\":[],\"minScore\":0.5,\"coolDownSeconds\":null}";
    assertEquals(200, send(change("/api/queries/change", edit)).statusCode());
    after = newest("kept");
    assertNull(after.text());
    assertNull(after.maxFalsePositiveRate());
    assertEquals(0.5, after.minScore());
    assertNull(after.coolDownMillis());
    assertFalse(after.enabled());
    assertArrayEquals(image, after.image());
    until(a -> a.toString().contains("\"minScore\":0.5"));

    HttpRequest.Builder remove =
        HttpRequest.newBuilder(URI.create(console.uri() + "api/queries/kept"))
            .header("Origin", console.uri().toString().replaceFirst("/$", ""))
            .header(WebServer.TOKEN_HEADER, TOKEN)
            .DELETE();
    String removed = send(remove).body();
    until(a -> !a.path("queries").findValuesAsText("id").contains("kept"));
    assertEquals(200, send(change("/api/queries/restore", removed)).statusCode());
    assertEquals(after, newest("kept"));
    assertReason("/api/queries/change", "{\"id\":\"nobody\"}", "no query");
    assertReason("/api/queries/restore", removed.replace("\"kept\"", "\"other\""), "another query");
  }

  @Test
  void verdictsAndQueriesAreRecordsInTheirTopics() throws Exception {
    assertEquals(
        200,
        send(change("/api/feedback", "{\"alertId\":\"judged\",\"verdict\":\"reject\"}"))
            .statusCode());
    until(a -> a.path("feedback").toString().contains("judged"));
    var verdict = TopicScan.newest(connection, TOPICS.feedback()).get("judged");
    Feedback read =
        FORMAT.codec(RecordType.FEEDBACK, "x").decode(verdict.value(), null, verdict.timestamp());
    assertEquals(Feedback.Verdict.REJECT, read.verdict());

    String id = "a/b ü+c";
    String body =
        "{\"id\":\""
            + id
            + "\",\"text\":\"a red cross\",\"unlike\":[\"a red"
            + " star\"],\"maxFalsePositiveRate\":0.01}";
    assertEquals(200, send(change("/api/queries", body)).statusCode());
    until(a -> a.path("queries").findValuesAsText("id").contains(id));
    var record = TopicScan.newest(connection, TOPICS.queries()).get(id);
    SimilarityQuery query =
        FORMAT.codec(RecordType.QUERY, "x").decode(record.value(), null, record.timestamp());
    assertEquals("a red cross", query.text());
    assertEquals(List.of("a red star"), query.unlike());
    assertEquals(0.01, query.maxFalsePositiveRate());

    URI path = URI.create(console.uri() + "api/queries/a%2Fb%20%C3%BC%2Bc");
    HttpRequest.Builder remove =
        HttpRequest.newBuilder(path)
            .header("Origin", console.uri().toString().replaceFirst("/$", ""))
            .header(WebServer.TOKEN_HEADER, TOKEN)
            .DELETE();
    assertEquals(200, send(remove).statusCode());
    until(a -> !a.path("queries").findValuesAsText("id").contains(id));
    assertFalse(TopicScan.newest(connection, TOPICS.queries()).containsKey(id));
  }

  @Test
  void aPageThatReadsNothingLosesItsConnection() throws Exception {
    try (Socket stalled = new Socket()) {
      stalled.setReceiveBufferSize(4096);
      stalled.connect(new InetSocketAddress(console.uri().getHost(), console.uri().getPort()));
      stalled
          .getOutputStream()
          .write(
              ("GET /api/events HTTP/1.1\r\nHost: " + console.uri().getAuthority() + "\r\n\r\n")
                  .getBytes(StandardCharsets.US_ASCII));
      long end = System.nanoTime() + PATIENCE.toNanos();
      while (console.board().listenerCount() == 0) {
        assertTrue(System.nanoTime() < end, "the page is listened to");
        Thread.onSpinWait();
      }
      String text = "x".repeat(100_000);
      for (int i = 0; i < 200; i++) {
        console.board().problem("part", text + i);
      }
      while (console.board().listenerCount() > 0) {
        assertTrue(System.nanoTime() < end, "the page is dropped");
        Thread.onSpinWait();
      }
    }
  }

  @Test
  void badOrdersAreRefusedWithAReason() throws Exception {
    assertReason("/api/feedback", "{\"verdict\":\"confirm\"}", "alertId is missing");
    assertReason("/api/feedback", "{\"alertId\":\"a\",\"verdict\":\"maybe\"}", "confirm or reject");
    assertReason("/api/queries", "{\"id\":\"q\",\"text\":\"t\"}", "exactly one of");
    assertReason("/api/queries", "{\"id\":\"q\",\"text\":7,\"minScore\":0}", "must be text");
    assertReason(
        "/api/queries",
        "{\"id\":\"q\",\"text\":\"t\",\"unlike\":[7],\"minScore\":0}",
        "must be text");
    assertReason(
        "/api/queries", "{\"id\":\"q\",\"text\":\"t\",\"unlike\":[\"t\"],\"minScore\":0}", "own");
    assertReason("/api/queries", "[]", "JSON object");
    assertReason("/api/queries", "{", "no JSON");
    assertReason("/api/adapters/resume", "{\"stream\":\"s\"}", "is not rolled back");
    assertReason(
        "/api/adapters/rollback",
        "{\"digest\":\"abc\",\"reason\":\"r\"}",
        "no adapter of a stream");
  }

  private void assertReason(String path, String body, String reason) throws Exception {
    HttpResponse<String> answer = send(change(path, body));
    assertEquals(400, answer.statusCode(), answer.body());
    assertTrue(answer.body().contains(reason), answer.body());
  }

  @Test
  void aBusyPortAndAWeakTokenAreRefused() throws Exception {
    try (ServerSocket busy = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      ConsoleOptions taken =
          ConsoleOptions.of(connection, TOPICS).withAddress("127.0.0.1", busy.getLocalPort());
      BadInputException refused =
          assertThrows(BadInputException.class, () -> Console.start(taken).close());
      assertTrue(refused.getMessage().contains("another port"), refused.getMessage());
    }
    assertThrows(
        BadInputException.class, () -> ConsoleOptions.of(connection, TOPICS).withToken("short"));
    try (Console one = Console.start(ConsoleOptions.of(connection, TOPICS));
        Console other = Console.start(ConsoleOptions.of(connection, TOPICS))) {
      assertNotEquals(one.link().getFragment(), other.link().getFragment());
    }
  }

  @Test
  void whatIsMissingIsSaid() throws Exception {
    try (Console other =
        Console.start(
            ConsoleOptions.of(connection, new Topics("absent."))
                .withFlink(URI.create("http://127.0.0.1:1")))) {
      long end = System.nanoTime() + PATIENCE.toNanos();
      String body;
      do {
        assertTrue(System.nanoTime() < end);
        body =
            http.send(
                    HttpRequest.newBuilder(other.uri().resolve("/api/all")).build(),
                    HttpResponse.BodyHandlers.ofString())
                .body();
      } while (!body.contains("absent.alerts") || !body.contains("does not answer"));
    }
  }
}
