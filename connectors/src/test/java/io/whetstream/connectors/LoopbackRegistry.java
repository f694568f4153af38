package io.whetstream.connectors;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.whetstream.connectors.format.RecordFormat;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;

/** A schema registry on loopback: the two calls that readers and writers make. Ids begin at 1. */
public final class LoopbackRegistry implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final HttpServer server;
  private final List<String> schemas = new ArrayList<>();

  /** Every request: authorization, method and path. */
  public final List<String> requests = new CopyOnWriteArrayList<>();

  private volatile boolean broken;

  public LoopbackRegistry() throws IOException {
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.createContext("/", this::answer);
    server.start();
  }

  public String url() {
    return "http://127.0.0.1:" + server.getAddress().getPort() + "/";
  }

  public RecordFormat format() {
    return RecordFormat.avroRegistry(url(), Map.of());
  }

  /** The id of a schema, a new one if need be. */
  public synchronized int register(String schema) {
    if (!schemas.contains(schema)) {
      schemas.add(schema);
    }
    return schemas.indexOf(schema) + 1;
  }

  /** From now on every answer is 500. */
  public void breakDown() {
    broken = true;
  }

  private void answer(HttpExchange exchange) throws IOException {
    String path = exchange.getRequestURI().getPath();
    requests.add(
        exchange.getRequestHeaders().getFirst("Authorization")
            + " "
            + exchange.getRequestMethod()
            + " "
            + path);
    byte[] body = exchange.getRequestBody().readAllBytes();
    Map<String, ?> answer =
        path.startsWith("/subjects/")
            ? Map.of("id", register(JSON.readTree(body).path("schema").asText()))
            : schema(path.substring("/schemas/ids/".length()));
    byte[] bytes = JSON.writeValueAsString(answer).getBytes(StandardCharsets.UTF_8);
    exchange.sendResponseHeaders(broken ? 500 : answer.isEmpty() ? 404 : 200, bytes.length);
    exchange.getResponseBody().write(bytes);
    exchange.close();
  }

  private synchronized Map<String, ?> schema(String id) {
    long index = Long.parseLong(id) - 1;
    return index < 0 || index >= schemas.size()
        ? Map.of()
        : Map.of("schema", schemas.get((int) index));
  }

  @Override
  public void close() {
    server.stop(0);
  }
}
