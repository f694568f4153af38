package io.whetstream.console;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterManifest;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.BindException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLDecoder;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * HTTP. Reading is free for whoever reaches the address; on loopback only under a name of loopback,
 * elsewhere only under an address or a name that was given, so that no page of elsewhere can read
 * through a DNS answer of its own. Changing needs the token in a header of ours and an {@code
 * Origin} equal to the host asked, which no page of elsewhere can send.
 */
final class WebServer implements AutoCloseable {
  static final String TOKEN_HEADER = "X-Whetstream-Token";

  private static final Logger LOG = LoggerFactory.getLogger(WebServer.class);
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int MOST_BODY = 2 << 20;
  private static final int MOST_LISTENERS = 50;
  private static final long HEARTBEAT_MILLIS = 5_000;

  /** A page that takes nothing for so long is dropped; it would hold one of the places. */
  private static final long STALL_SECONDS = 5;

  private static final String CHART_JS = "META-INF/resources/webjars/chart.js/";

  private static final String POLICY =
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
          + " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
          + " require-trusted-types-for 'script'; trusted-types 'none'";

  /** A file that is served as it is. */
  @SuppressWarnings("ArrayRecordComponent") // never changed
  private record Asset(String type, byte[] bytes) {}

  /** An answer with an error. */
  private static final class Refused extends RuntimeException {
    private static final long serialVersionUID = 1L;
    private final int status;

    Refused(int status, String message) {
      super(message);
      this.status = status;
    }
  }

  private final Board board;
  private final ItemReader items;
  private final RegistryFeed registry;
  private final Orders orders;
  private final byte[] token;
  private final boolean loopback;
  private final Set<String> names;
  private final HttpServer server;
  private final ExecutorService threads;
  private final ScheduledExecutorService stalls =
      Executors.newSingleThreadScheduledExecutor(
          task -> {
            Thread thread = new Thread(task, "console-stalls");
            thread.setDaemon(true);
            return thread;
          });
  private final Map<String, Asset> assets = new LinkedHashMap<>();
  private volatile boolean closed;

  WebServer(
      ConsoleOptions options,
      String token,
      Board board,
      ItemReader items,
      RegistryFeed registry,
      Orders orders) {
    this.board = board;
    this.items = items;
    this.registry = registry;
    this.orders = orders;
    this.token = token.getBytes(StandardCharsets.UTF_8);
    asset("/", "text/html", "web/index.html");
    asset("/app.js", "text/javascript", "web/app.js");
    asset("/charts.js", "text/javascript", "web/charts.js");
    asset("/style.css", "text/css", "web/style.css");
    asset("/icon.svg", "image/svg+xml", "web/icon.svg");
    assets.put("/chart.umd.js", new Asset("text/javascript; charset=utf-8", chartJs()));
    Set<String> known = new HashSet<>(options.names());
    known.add(options.host().toLowerCase(Locale.ROOT));
    names = Set.copyOf(known);
    InetAddress address;
    try {
      address = InetAddress.getByName(options.host());
      loopback = address.isLoopbackAddress();
      server = HttpServer.create(new InetSocketAddress(address, options.port()), 50);
    } catch (UnknownHostException e) {
      throw new BadInputException("'" + options.host() + "' is no address of this machine", e);
    } catch (BindException e) {
      throw new BadInputException(
          "the console cannot listen on "
              + options.host()
              + ":"
              + options.port()
              + " ("
              + e.getMessage()
              + "): stop what listens there, or give another port (0 for a free one)",
          e);
    } catch (IOException e) {
      throw new BadInputException("the console cannot listen: " + e.getMessage(), e);
    }
    threads =
        Executors.newCachedThreadPool(
            task -> {
              Thread thread = new Thread(task, "console-http");
              thread.setDaemon(true);
              return thread;
            });
    server.setExecutor(threads);
    server.createContext("/", this::handle);
    server.start();
  }

  int port() {
    return server.getAddress().getPort();
  }

  @Override
  public void close() {
    closed = true;
    server.stop(0);
    threads.shutdownNow();
    stalls.shutdownNow();
  }

  private void asset(String path, String type, String resource) {
    assets.put(path, new Asset(type + "; charset=utf-8", read(resource)));
  }

  private static byte[] read(String resource) {
    try (InputStream in = WebServer.class.getResourceAsStream(resource)) {
      if (in == null) {
        throw new IllegalStateException("the console lacks its file " + resource);
      }
      return in.readAllBytes();
    } catch (IOException e) {
      throw new IllegalStateException("the console's file " + resource + " cannot be read", e);
    }
  }

  /** The library's version is in its path, and known to Maven alone. */
  private static byte[] chartJs() {
    String version = new String(read("chartjs.version"), StandardCharsets.UTF_8).strip();
    return read("/" + CHART_JS + version + "/dist/chart.umd.js");
  }

  private void handle(HttpExchange exchange) throws IOException {
    try {
      headers(exchange.getResponseHeaders());
      checkHost(exchange);
      route(exchange);
    } catch (Refused e) {
      answer(exchange, e.status, Board.object().put("error", e.getMessage()));
    } catch (BadInputException e) {
      answer(exchange, 400, Board.object().put("error", e.getMessage()));
    } catch (RuntimeException e) {
      LOG.error("{} {} failed", exchange.getRequestMethod(), exchange.getRequestURI(), e);
      answer(exchange, 500, Board.object().put("error", "that failed; the log says why"));
    } finally {
      exchange.close();
    }
  }

  private static void headers(Headers headers) {
    headers.set("Content-Security-Policy", POLICY);
    headers.set("X-Content-Type-Options", "nosniff");
    headers.set("X-Frame-Options", "DENY");
    headers.set("Referrer-Policy", "no-referrer");
    headers.set("Cross-Origin-Opener-Policy", "same-origin");
    headers.set("Cross-Origin-Resource-Policy", "same-origin");
    headers.set("Permissions-Policy", "camera=(), microphone=(), geolocation=()");
    headers.set("Cache-Control", "no-store");
  }

  private void checkHost(HttpExchange exchange) {
    String host = exchange.getRequestHeaders().getFirst("Host");
    if (host == null) {
      throw new Refused(400, "the request names no host");
    }
    String name = host.replaceFirst(":\\d+$", "").toLowerCase(Locale.ROOT);
    boolean ofLoopback =
        Set.of("localhost", "[::1]").contains(name) || name.matches("127(\\.\\d{1,3}){3}");
    if (loopback && !ofLoopback) {
      throw new Refused(421, "this console answers under a name of loopback only");
    }
    // An address cannot be made to mean another one, a name can.
    boolean address = name.matches("\\[[0-9a-f:.]+]|\\d{1,3}(\\.\\d{1,3}){3}");
    if (!ofLoopback && !address && !names.contains(name)) {
      throw new Refused(421, "this console does not answer under that name: see --name");
    }
  }

  private void route(HttpExchange exchange) throws IOException {
    String path = exchange.getRequestURI().getPath();
    switch (exchange.getRequestMethod()) {
      case "GET" -> get(exchange, path);
      case "POST" -> {
        checkChange(exchange);
        post(exchange, path);
      }
      case "DELETE" -> {
        checkChange(exchange);
        delete(exchange);
      }
      default -> throw new Refused(405, "GET, POST and DELETE are what there is");
    }
  }

  private void checkChange(HttpExchange exchange) {
    Headers headers = exchange.getRequestHeaders();
    String origin = headers.getFirst("Origin");
    String host = headers.getFirst("Host");
    if (origin == null || !(origin.equals("http://" + host) || origin.equals("https://" + host))) {
      throw new Refused(403, "changes are taken from the console's own page only");
    }
    String site = headers.getFirst("Sec-Fetch-Site");
    if (site != null && !site.equals("same-origin")) {
      throw new Refused(403, "changes are taken from the console's own page only");
    }
    String given = headers.getFirst(TOKEN_HEADER);
    if (given == null || !MessageDigest.isEqual(token, given.getBytes(StandardCharsets.UTF_8))) {
      throw new Refused(
          401, "the token is missing or wrong: open the address that was printed at the start");
    }
  }

  private void get(HttpExchange exchange, String path) throws IOException {
    Asset asset = assets.get(path);
    if (asset != null) {
      send(exchange, 200, asset.type(), asset.bytes());
    } else if (path.equals("/api/events")) {
      events(exchange);
    } else if (path.equals("/api/queries")) {
      Map<String, String> asked = parameters(exchange);
      String before = asked.getOrDefault("createdAt", "");
      if (!before.matches("-?\\d{0,18}")) {
        throw new BadInputException("createdAt must be a number");
      }
      answer(
          exchange,
          200,
          board.queries(
              before.isEmpty() ? Long.MAX_VALUE : Long.parseLong(before),
              asked.getOrDefault("id", ""),
              asked.getOrDefault("find", "")));
    } else if (path.equals("/api/all")) {
      answer(exchange, 200, board.snapshot());
    } else if (path.startsWith("/api/alerts/") && path.endsWith("/image")) {
      image(exchange, path.substring("/api/alerts/".length(), path.length() - "/image".length()));
    } else if (path.startsWith("/api/adapters/") && path.endsWith("/manifest")) {
      manifest(
          exchange,
          path.substring("/api/adapters/".length(), path.length() - "/manifest".length()));
    } else {
      throw new Refused(404, "there is nothing here");
    }
  }

  private static Map<String, String> parameters(HttpExchange exchange) {
    Map<String, String> found = new LinkedHashMap<>();
    String query = exchange.getRequestURI().getRawQuery();
    for (String part : query == null ? new String[0] : query.split("&")) {
      int equals = part.indexOf('=');
      if (equals > 0) {
        found.put(
            part.substring(0, equals),
            URLDecoder.decode(part.substring(equals + 1), StandardCharsets.UTF_8));
      }
    }
    return found;
  }

  private void post(HttpExchange exchange, String path) throws IOException {
    JsonNode body = body(exchange);
    JsonNode result =
        switch (path) {
          case "/api/feedback" -> orders.feedback(body);
          case "/api/queries" -> orders.addQuery(body);
          case "/api/queries/change" -> orders.changeQuery(body);
          case "/api/queries/restore" -> orders.restoreQuery(body);
          case "/api/adapters/rollback" -> orders.rollback(body);
          case "/api/adapters/resume" -> orders.resume(body);
          default -> throw new Refused(404, "there is nothing here");
        };
    answer(exchange, 200, result);
  }

  private void delete(HttpExchange exchange) throws IOException {
    String raw = exchange.getRequestURI().getRawPath();
    if (!raw.startsWith("/api/queries/")) {
      throw new Refused(404, "there is nothing here");
    }
    String id =
        URLDecoder.decode(
            raw.substring("/api/queries/".length()).replace("+", "%2B"), StandardCharsets.UTF_8);
    answer(exchange, 200, orders.removeQuery(id));
  }

  private static JsonNode body(HttpExchange exchange) throws IOException {
    String type = exchange.getRequestHeaders().getFirst("Content-Type");
    if (type == null || !type.toLowerCase(Locale.ROOT).startsWith("application/json")) {
      throw new Refused(415, "the body must be application/json");
    }
    byte[] bytes = exchange.getRequestBody().readNBytes(MOST_BODY + 1);
    if (bytes.length > MOST_BODY) {
      // A client that is still sending would not see the answer.
      byte[] rest = new byte[1 << 16];
      for (int i = 0; i < 4 * MOST_BODY / rest.length; i++) {
        if (exchange.getRequestBody().readNBytes(rest, 0, rest.length) < rest.length) {
          break;
        }
      }
      throw new Refused(413, "the body is larger than " + MOST_BODY + " bytes");
    }
    try {
      JsonNode body = JSON.readTree(bytes);
      if (body == null || !body.isObject()) {
        throw new BadInputException("the body must be a JSON object");
      }
      return body;
    } catch (JsonProcessingException e) {
      throw new BadInputException("the body is no JSON: " + e.getOriginalMessage(), e);
    }
  }

  private void image(HttpExchange exchange, String alertId) throws IOException {
    Optional<byte[]> png = items.image(alertId);
    if (png.isEmpty()) {
      throw new Refused(404, "there is no image of that alert");
    }
    send(exchange, 200, "image/png", png.get());
  }

  private void manifest(HttpExchange exchange, String digest) throws IOException {
    Optional<AdapterManifest> manifest =
        registry == null ? Optional.empty() : registry.manifest(digest);
    if (manifest.isEmpty()) {
      throw new Refused(404, "there is no manifest of that adapter");
    }
    send(exchange, 200, "application/json; charset=utf-8", manifest.get().toBytes());
  }

  private void events(HttpExchange exchange) throws IOException {
    if (board.listenerCount() >= MOST_LISTENERS) {
      throw new Refused(503, "too many pages are open");
    }
    exchange.getResponseHeaders().set("Content-Type", "text/event-stream; charset=utf-8");
    exchange.sendResponseHeaders(200, 0);
    try (Listeners.Listener listener = board.join();
        OutputStream out = exchange.getResponseBody()) {
      while (!closed && !listener.lost()) {
        String event = listener.next(HEARTBEAT_MILLIS);
        String text = event == null ? ": still here\n\n" : event;
        write(out, text.getBytes(StandardCharsets.UTF_8));
      }
    } catch (IOException e) {
      LOG.debug("a page has gone");
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /** Writes to a page, which loses its connection if it does not read. */
  private void write(OutputStream out, byte[] bytes) throws IOException {
    Thread writer = Thread.currentThread();
    // An interrupt closes the channel that the thread is writing to.
    ScheduledFuture<?> stalled =
        stalls.schedule(writer::interrupt, STALL_SECONDS, TimeUnit.SECONDS);
    try {
      out.write(bytes);
      out.flush();
    } finally {
      stalled.cancel(false);
    }
  }

  private static void answer(HttpExchange exchange, int status, JsonNode body) throws IOException {
    send(exchange, status, "application/json; charset=utf-8", JSON.writeValueAsBytes(body));
  }

  private static void send(HttpExchange exchange, int status, String type, byte[] bytes)
      throws IOException {
    exchange.getResponseHeaders().set("Content-Type", type);
    exchange.sendResponseHeaders(status, bytes.length);
    try (OutputStream out = exchange.getResponseBody()) {
      out.write(bytes);
    }
  }

  /** The address under which a browser on this machine finds it. */
  URI uri(String host) {
    String shown = host.contains(":") ? "[" + host + "]" : host;
    return URI.create("http://" + shown + ":" + port() + "/");
  }
}
