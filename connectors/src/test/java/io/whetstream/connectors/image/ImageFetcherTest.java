package io.whetstream.connectors.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.Samples;
import io.whetstream.connectors.StoredFiles;
import io.whetstream.connectors.records.Item;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** All servers listen on loopback; the name {@code images.test} stands for a public host. */
@Timeout(60)
class ImageFetcherTest {
  private static final int MAX = 100_000;

  @TempDir Path dir;
  private WildServer server;
  private WildServer inner;
  private ImageFetcher fetcher;

  @BeforeEach
  void start() throws IOException {
    server = new WildServer("127.0.0.1");
    // What lies behind the fence: another loopback address.
    inner = new WildServer("127.0.0.2");
    inner.on(
        "/secret",
        "HTTP/1.1 200 OK\nContent-Length: 6",
        "secret".getBytes(StandardCharsets.US_ASCII));
    fetcher = fetcher(List.of("images.test:" + server.port(), "inner.test:" + inner.port()));
  }

  @AfterEach
  void stop() throws IOException {
    fetcher.close();
    server.close();
    inner.close();
  }

  /** On a machine that is busy with other builds nothing is late. */
  private ImageFetcher fetcher(List<String> hosts) {
    return fetcher(hosts, Duration.ofSeconds(20), Duration.ofSeconds(50));
  }

  private ImageFetcher fetcher(List<String> hosts, Duration attempt, Duration total) {
    return fetcher(hosts, attempt, total, 4, "");
  }

  private ImageFetcher fetcher(
      List<String> hosts, Duration attempt, Duration total, int perHost, String proxy) {
    return ImageFetcher.open(
        new ImageOptions(
            List.of(dir.resolve("allowed").toUri().toString()),
            hosts,
            List.of("127.0.0.1/32"),
            MAX,
            attempt,
            total,
            2,
            Duration.ofMillis(20),
            4,
            perHost,
            proxy,
            1 << 20,
            Duration.ofMinutes(1)),
        ImageFetcherTest::resolve);
  }

  private static InetAddress[] resolve(String host) throws UnknownHostException {
    return switch (host) {
      case "images.test" -> InetAddress.getAllByName("127.0.0.1");
      case "slow.test" -> InetAddress.getAllByName("127.0.0.1");
      case "inner.test" -> InetAddress.getAllByName("127.0.0.2");
      case "both.test" ->
          new InetAddress[] {
            InetAddress.getByAddress(new byte[] {127, 0, 0, 1}),
            InetAddress.getByAddress(new byte[] {10, 0, 0, 1})
          };
      default -> InetAddress.getAllByName(host);
    };
  }

  private String url(String path) {
    return "http://images.test:" + server.port() + path;
  }

  private String refusal(String uri) {
    return assertThrows(BadInputException.class, () -> fetcher.fetch(uri)).getMessage();
  }

  @Test
  void fetchesInEveryFraming() {
    byte[] image = Samples.bytes(1, 30_000);
    server.on("/length", "HTTP/1.1 200 OK\nContent-Length: 30000", image);
    server.on("/close", "HTTP/1.0 200 OK", image);
    server.on(
        "/chunked?a=b",
        out -> {
          out.write(
              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                  .getBytes(StandardCharsets.US_ASCII));
          for (int from = 0; from < image.length; from += 10_000) {
            out.write("2710;x=y\r\n".getBytes(StandardCharsets.US_ASCII));
            out.write(image, from, 10_000);
            out.write("\r\n".getBytes(StandardCharsets.US_ASCII));
          }
          out.write("0\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
        });
    for (String path : List.of("/length", "/close", "/chunked?a=b")) {
      assertArrayEquals(image, fetcher.fetch(url(path)).bytes());
    }
    assertEquals(64, fetcher.fetch(url("/length")).digest().length());
    assertEquals(3, server.requests.size(), "the last one comes from the cache");
  }

  @Test
  void aRootMayHaveAnyNameAndBeAPathOrAUri() throws Exception {
    for (String name : List.of("my data", "100%", "c#1", "q?x", "x%20y", "a,b")) {
      Path root = Files.createDirectories(dir.resolve(name));
      Path image = Files.write(root.resolve("b c%.png"), new byte[] {1, 2});
      for (String given : List.of(root.toString(), root.toUri().toString())) {
        try (ImageFetcher fetcher = ImageFetcher.open(ImageOptions.of(List.of(given), List.of()))) {
          assertEquals(2, fetcher.fetch(image.toUri().toString()).bytes().length, given);
        }
      }
    }
  }

  @Test
  void followsARedirectThatStaysOnTheList() {
    server.on("/old", "HTTP/1.1 302 Found\nLocation: /new", new byte[0]);
    server.on("/new", "HTTP/1.1 200 OK\nContent-Length: 1", new byte[1]);
    assertEquals(1, fetcher.fetch(url("/old")).bytes().length);
  }

  @Test
  void refusesARedirectToLoopback() {
    for (String target :
        List.of(
            "http://127.0.0.2:" + inner.port() + "/secret",
            "http://localhost:" + inner.port() + "/secret",
            "http://[::1]:" + inner.port() + "/secret",
            "http://2130706434:" + inner.port() + "/secret",
            "http://0x7f000002:" + inner.port() + "/secret",
            "//127.0.0.2:" + inner.port() + "/secret",
            "file:///etc/passwd",
            "http://inner.test:" + inner.port() + "/secret")) {
      server.on("/r", "HTTP/1.1 302 Found\nLocation: " + target, new byte[0]);
      assertTrue(refusal(url("/r")).contains("refused"), target);
    }
    assertEquals(List.of(), inner.requests);
  }

  @Test
  void refusesAHostOnTheListThatResolvesToAPrivateAddress() {
    assertTrue(refusal("http://inner.test:" + inner.port() + "/secret").contains("not public"));
    assertEquals(List.of(), inner.requests);
    try (ImageFetcher both = fetcher(List.of("both.test:" + server.port()))) {
      assertThrows(
          BadInputException.class, () -> both.fetch("http://both.test:" + server.port() + "/"));
    }
    assertEquals(List.of(), server.requests);
  }

  @Test
  void connectsToTheAddressItCheckedAlthoughTheNameNowMeansAnother() {
    AtomicInteger asked = new AtomicInteger();
    ImageOptions options = ImageOptions.of(List.of(), List.of("rebind.test:" + inner.port()));
    try (ImageFetcher rebound =
        ImageFetcher.open(
            new ImageOptions(
                options.roots(),
                options.hosts(),
                List.of("127.0.0.1/32"),
                MAX,
                Duration.ofSeconds(1),
                Duration.ofSeconds(1),
                0,
                Duration.ZERO,
                1,
                1,
                "",
                0,
                Duration.ZERO),
            host ->
                new InetAddress[] {
                  InetAddress.getByName(asked.getAndIncrement() == 0 ? "127.0.0.1" : "127.0.0.2")
                })) {
      assertThrows(
          BadInputException.class,
          () -> rebound.fetch("http://rebind.test:" + inner.port() + "/secret"));
    }
    assertEquals(1, asked.get());
    assertEquals(List.of(), inner.requests);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "http://other.test/x",
        "http://images.test/x",
        "http://images.test@other.test/x",
        "http://user:pw@images.test:1/x",
        "ftp://images.test/x",
        "jar:file:///x!/y",
        "relative.png",
        "http:///x",
        "file:///etc/passwd",
        "http://exa mple/"
      })
  void refusesWhatIsNotAllowed(String uri) {
    assertThrows(BadInputException.class, () -> fetcher.fetch(uri));
  }

  @Test
  void fetchesFilesBelowTheRootsOnly() throws IOException {
    Path allowed = Files.createDirectories(dir.resolve("allowed"));
    Files.write(allowed.resolve("a b.png"), new byte[] {1, 2});
    Files.write(dir.resolve("secret"), new byte[] {3});
    Files.createSymbolicLink(allowed.resolve("link"), dir.resolve("secret"));
    assertEquals(2, fetcher.fetch(allowed.resolve("a b.png").toUri().toString()).bytes().length);
    String root = allowed.toUri().toString();
    assertTrue(refusal(root + "../secret").contains("dots"));
    assertTrue(refusal(root + "%2e%2e/secret").contains("refused"));
    assertTrue(refusal(root + "link").contains("link"));
    assertTrue(refusal(dir.resolve("allowed-not").toUri().toString()).contains("roots"));
    assertTrue(refusal(root + "absent").contains("does not exist"));
    Files.write(allowed.resolve("big"), new byte[MAX + 1]);
    assertTrue(refusal(root + "big").contains("at most"));
  }

  @Test
  void refusesABodyOfTenGigabytesWithoutReadingIt() {
    server.on("/declared", "HTTP/1.1 200 OK\nContent-Length: 10000000000", new byte[10]);
    WildServer.Answer endless =
        out -> {
          out.write("HTTP/1.1 200 OK\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
          byte[] block = new byte[64 << 10];
          for (long sent = 0; sent < 10_000_000_000L; sent += block.length) {
            out.write(block);
          }
        };
    server.on("/endless", endless);
    server.on(
        "/chunks",
        out -> {
          out.write(
              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                  .getBytes(StandardCharsets.US_ASCII));
          out.write("7fffffff\r\n".getBytes(StandardCharsets.US_ASCII));
        });
    for (String path : List.of("/declared", "/endless", "/chunks")) {
      assertTrue(refusal(url(path)).contains("larger than"), path);
    }
  }

  @Test
  void givesUpOnABodyThatTrickles() throws Exception {
    CountDownLatch over = new CountDownLatch(1);
    server.on(
        "/slow",
        out -> {
          out.write(
              "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n"
                  .getBytes(StandardCharsets.US_ASCII));
          while (!over.await(50, java.util.concurrent.TimeUnit.MILLISECONDS)) {
            out.write(0);
            out.flush();
          }
        });
    Duration attempt = Duration.ofMillis(500);
    long start = System.nanoTime();
    try (ImageFetcher impatient =
        fetcher(List.of("images.test:" + server.port()), attempt, Duration.ofMillis(1500))) {
      String message =
          assertThrows(BadInputException.class, () -> impatient.fetch(url("/slow"))).getMessage();
      assertTrue(message.contains("attempts"), message);
    }
    over.countDown();
    assertTrue(System.nanoTime() - start >= attempt.toNanos());
  }

  /** The handshake too: each byte used to begin the wait anew. */
  @Test
  void givesUpOnAHandshakeThatTrickles() throws Exception {
    try (ServerSocket listening = new ServerSocket(0, 8, InetAddress.getLoopbackAddress());
        ImageFetcher own =
            fetcher(
                List.of(
                    InetAddress.getLoopbackAddress().getHostAddress()
                        + ":"
                        + listening.getLocalPort()),
                Duration.ofMillis(500),
                Duration.ofMillis(1500))) {
      AtomicInteger sentWhole = new AtomicInteger();
      Thread trickle =
          new Thread(
              () -> {
                try {
                  while (true) {
                    Socket socket = listening.accept();
                    new Thread(() -> trickle(socket, sentWhole)).start();
                  }
                } catch (IOException closed) {
                  // The test is over.
                }
              });
      trickle.setDaemon(true);
      trickle.start();
      String uri = "https://127.0.0.1:" + listening.getLocalPort() + "/x";
      BadInputException refused = assertThrows(BadInputException.class, () -> own.fetch(uri));
      assertTrue(refused.getMessage().contains("attempts"), refused.getMessage());
      assertEquals(0, sentWhole.get());
    }
  }

  /** The beginning of a TLS record of 16 KB, a byte every 50 ms for 20 s. */
  private static void trickle(Socket socket, AtomicInteger sentWhole) {
    try (socket) {
      socket.getOutputStream().write(new byte[] {0x16, 3, 3, 0x3F, 0});
      for (int i = 0; i < 400; i++) {
        socket.getOutputStream().write(2);
        java.util.concurrent.locks.LockSupport.parkNanos(50_000_000);
      }
      sentWhole.incrementAndGet();
    } catch (IOException gone) {
      // The client has given up.
    }
  }

  @Test
  void anIpv4AddressWrittenAsIpv6IsJudgedAsIpv4() throws UnknownHostException {
    byte[] mapped = new byte[16];
    mapped[10] = (byte) 0xFF;
    mapped[11] = (byte) 0xFF;
    for (byte[] address :
        new byte[][] {{10, 0, 0, 1}, {127, 0, 0, 1}, {(byte) 169, (byte) 254, 1, 1}}) {
      System.arraycopy(address, 0, mapped, 12, 4);
      // As a resolver may give it; getByAddress without a scope would unwrap it.
      assertFalse(Addresses.isPublic(Inet6Address.getByAddress("h", mapped.clone(), -1)));
    }
    assertTrue(
        Addresses.Range.parse("169.254.0.0/16")
            .contains(Inet6Address.getByAddress("h", mapped, -1)));
    System.arraycopy(new byte[] {8, 8, 8, 8}, 0, mapped, 12, 4);
    assertTrue(Addresses.isPublic(Inet6Address.getByAddress("h", mapped, -1)));
  }

  @Test
  void fetchesOnlySoManyAtATime() throws Exception {
    AtomicInteger now = new AtomicInteger();
    AtomicInteger most = new AtomicInteger();
    CountDownLatch full = new CountDownLatch(4);
    server.on(
        "/held",
        out -> {
          most.accumulateAndGet(now.incrementAndGet(), Math::max);
          full.countDown();
          // All that may come at a time are here before the first one is answered.
          full.await();
          now.decrementAndGet();
          out.write(
              "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
        });
    server.answerAnyWith("/held");
    List<CompletableFuture<Item>> fetches = new ArrayList<>();
    for (int i = 0; i < 40; i++) {
      fetches.add(
          fetcher.fetchLater(new Item("i", url("/held" + i), null, null, null, 1, null, null)));
    }
    fetches.forEach(CompletableFuture::join);
    assertEquals(4, most.get());
  }

  @Test
  void aHostThatDoesNotAnswerHoldsUpItsOwnImagesAlone() throws Exception {
    CountDownLatch end = new CountDownLatch(1);
    AtomicInteger held = new AtomicInteger();
    CountDownLatch asked = new CountDownLatch(2);
    server.on(
        "/slow",
        out -> {
          held.incrementAndGet();
          asked.countDown();
          end.await();
          out.write(
              "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
        });
    server.on("/quick", "HTTP/1.1 200 OK\nContent-Length: 1", new byte[] {7});
    server.answerAnyWith("/slow");
    try (ImageFetcher several =
        fetcher(
            List.of("slow.test:" + server.port(), "images.test:" + server.port()),
            Duration.ofSeconds(20),
            Duration.ofSeconds(50),
            2,
            "")) {
      List<CompletableFuture<Item>> slow = new ArrayList<>();
      for (int i = 0; i < 30; i++) {
        String uri = "http://slow.test:" + server.port() + "/slow" + i;
        slow.add(several.fetchLater(new Item("s", uri, null, null, null, 1, null, null)));
      }
      asked.await();
      // Behind thirty that wait for the other host.
      Item quick =
          several
              .fetchLater(new Item("q", url("/quick"), null, null, null, 1, null, null))
              .get(15, TimeUnit.SECONDS);
      assertEquals(1, quick.image().length);
      assertEquals(2, held.get());
      assertTrue(slow.stream().noneMatch(CompletableFuture::isDone));
      end.countDown();
      slow.forEach(CompletableFuture::join);
    }
  }

  /** Makes the tunnels it is asked for, and keeps what it was asked. */
  private static final class Proxy implements AutoCloseable {
    final ServerSocket server = new ServerSocket(0, 50, InetAddress.getByName("127.0.0.3"));
    final List<String> asked = new CopyOnWriteArrayList<>();

    Proxy() throws IOException {
      daemon(
          () -> {
            while (true) {
              Socket client = server.accept();
              daemon(() -> serve(client));
            }
          });
    }

    private interface Task {
      void run() throws IOException;
    }

    private static void daemon(Task task) {
      Thread thread =
          new Thread(
              () -> {
                try {
                  task.run();
                } catch (IOException e) {
                  // One side has closed.
                }
              });
      thread.setDaemon(true);
      thread.start();
    }

    private void serve(Socket client) throws IOException {
      StringBuilder head = new StringBuilder();
      while (head.indexOf("\r\n\r\n") < 0) {
        head.append((char) client.getInputStream().read());
      }
      String[] words = head.toString().split(" ", 3);
      asked.add(words[0] + " " + words[1]);
      int colon = words[1].lastIndexOf(':');
      int port = Integer.parseInt(words[1].substring(colon + 1));
      if (port == 1) {
        client
            .getOutputStream()
            .write("HTTP/1.1 403 Forbidden\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
        client.close();
        return;
      }
      try (client;
          Socket target = new Socket(words[1].substring(0, colon), port)) {
        client
            .getOutputStream()
            .write(
                "HTTP/1.1 200 Connection established\r\nVia: it\r\n\r\n"
                    .getBytes(StandardCharsets.US_ASCII));
        daemon(() -> client.getInputStream().transferTo(target.getOutputStream()));
        target.getInputStream().transferTo(client.getOutputStream());
      }
    }

    String uri() {
      return "http://127.0.0.3:" + server.getLocalPort();
    }

    @Override
    public void close() throws IOException {
      server.close();
    }
  }

  @Test
  void aProxyIsToldTheAddressThatWasCheckedAndNoName() throws Exception {
    server.on("/a", "HTTP/1.1 200 OK\nContent-Length: 1", new byte[] {7});
    try (Proxy proxy = new Proxy();
        ImageFetcher through =
            fetcher(
                List.of(
                    "images.test:" + server.port(), "inner.test:" + inner.port(), "images.test:1"),
                Duration.ofSeconds(20),
                Duration.ofSeconds(50),
                4,
                proxy.uri())) {
      assertEquals(1, through.fetch(url("/a")).bytes().length);
      assertEquals(List.of("CONNECT 127.0.0.1:" + server.port()), proxy.asked);
      // What must not be reached is not reached through it either.
      assertThrows(
          BadInputException.class,
          () -> through.fetch("http://inner.test:" + inner.port() + "/secret"));
      assertEquals(1, proxy.asked.size());
      String refused =
          assertThrows(BadInputException.class, () -> through.fetch("http://images.test:1/a"))
              .getMessage();
      assertTrue(refused.contains("the proxy answers 'HTTP/1.1 403 Forbidden'"), refused);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"proxy:3128", "https://p:1", "http://p", "http://u@p:1", "http://p:1/x"})
  void whatIsNoAddressOfAProxyIsRefused(String text) {
    assertThrows(
        BadInputException.class,
        () -> fetcher(List.of(), Duration.ofSeconds(1), Duration.ofSeconds(1), 4, text));
  }

  @Test
  void fetchesFromAnyFlinkFileSystemBelowARoot() throws IOException {
    org.apache.flink.core.fs.Path image =
        new org.apache.flink.core.fs.Path("objects:///pictures/a.png");
    StoredFiles.write(image, new byte[] {1, 2, 3});
    StoredFiles.write(
        new org.apache.flink.core.fs.Path("objects:///private/b.png"), new byte[] {4});
    ImageOptions options = ImageOptions.of(List.of("objects:///pictures"), List.of());
    try (ImageFetcher objects = ImageFetcher.open(options)) {
      assertArrayEquals(new byte[] {1, 2, 3}, objects.fetch("objects:///pictures/a.png").bytes());
      assertTrue(
          assertThrows(BadInputException.class, () -> objects.fetch("objects:///private/b.png"))
              .getMessage()
              .contains("allowed roots"));
    }
  }

  @Test
  void triesAgainAfterFailuresThatMayPassAndNotAfterOthers() {
    AtomicInteger asked = new AtomicInteger();
    server.on(
        "/flaky",
        out ->
            out.write(
                (asked.incrementAndGet() < 3
                        ? "HTTP/1.1 503 Busy\r\n\r\n"
                        : "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
                    .getBytes(StandardCharsets.US_ASCII)));
    assertEquals(1, fetcher.fetch(url("/flaky")).bytes().length);
    assertEquals(3, asked.get());
    server.on("/absent", "HTTP/1.1 404 Not Found", new byte[0]);
    assertTrue(refusal(url("/absent")).contains("404"));
    assertEquals(1, server.requests.stream().filter("/absent"::equals).count());
    server.on("/loop", "HTTP/1.1 302 Found\nLocation: /loop", new byte[0]);
    assertTrue(refusal(url("/loop")).contains("more than 3"));
    server.on("/header", out -> out.write(new byte[200_000]));
    assertTrue(refusal(url("/header")).contains("header is larger"));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "127.0.0.1",
        "10.1.2.3",
        "172.31.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd12::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "2001:0:1::",
        "ff02::1"
      })
  void knowsWhatIsNotPublic(String address) throws UnknownHostException {
    assertFalse(Addresses.isPublic(InetAddress.getByName(address)));
  }

  @ParameterizedTest
  @ValueSource(strings = {"1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1"})
  void knowsWhatIsPublic(String address) throws UnknownHostException {
    assertTrue(Addresses.isPublic(InetAddress.getByName(address)));
  }
}
