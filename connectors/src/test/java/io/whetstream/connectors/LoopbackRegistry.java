package io.whetstream.connectors;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import io.whetstream.connectors.format.RecordFormat;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import javax.net.ssl.SSLContext;

/**
 * A schema registry on loopback: of the documented REST protocol what readers and writers use, with
 * its status and error codes. Ids begin at 1.
 */
public final class LoopbackRegistry implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();

  private record Answer(int status, Map<String, ?> body) {
    static Answer error(int status, int code, String message) {
      return new Answer(status, Map.of("error_code", code, "message", message));
    }
  }

  private final HttpServer server;
  private final boolean secure;
  private final List<Map<String, ?>> schemas = new ArrayList<>();
  private final Map<String, Integer> versions = new HashMap<>();
  private volatile int failure;
  private volatile String authorization;

  /** Every request: method and path. */
  public final List<String> requests = new CopyOnWriteArrayList<>();

  public LoopbackRegistry() throws IOException {
    this(null);
  }

  /**
   * @param tls with what to serve https; null: http
   */
  public LoopbackRegistry(SSLContext tls) throws IOException {
    InetSocketAddress any = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
    secure = tls != null;
    if (secure) {
      HttpsServer https = HttpsServer.create(any, 0);
      https.setHttpsConfigurator(new HttpsConfigurator(tls));
      server = https;
    } else {
      server = HttpServer.create(any, 0);
    }
    server.createContext("/", this::answer);
    server.start();
  }

  public String url() {
    return (secure ? "https" : "http") + "://127.0.0.1:" + server.getAddress().getPort() + "/";
  }

  public RecordFormat format() {
    return RecordFormat.avroRegistry(url(), Map.of());
  }

  /** The id of an Avro schema, a new one if need be. */
  public int register(String schema) {
    return register(Map.of("schema", schema));
  }

  /**
   * The id of a schema, a new one if need be.
   *
   * @param schema {@code schema}, and {@code schemaType} and {@code references} if it has them
   */
  public synchronized int register(Map<String, ?> schema) {
    if (!schemas.contains(schema)) {
      schemas.add(schema);
    }
    return schemas.indexOf(schema) + 1;
  }

  /** Makes a schema the only version of a subject, so that others can refer to it. */
  public synchronized void subject(String subject, int id) {
    versions.put(subject, id);
  }

  /** From now on every answer has that status. */
  public void failWith(int status) {
    failure = status;
  }

  /** From now on requests without that header are 401. */
  public void demand(String header) {
    authorization = header;
  }

  private void answer(HttpExchange exchange) throws IOException {
    String path = exchange.getRequestURI().getPath();
    requests.add(exchange.getRequestMethod() + " " + path);
    JsonNode body = JSON.readTree(exchange.getRequestBody().readAllBytes());
    String header = exchange.getRequestHeaders().getFirst("Authorization");
    Answer answer =
        authorization != null && !authorization.equals(header)
            ? Answer.error(401, 401, "Unauthorized")
            : failure != 0
                ? Answer.error(failure, failure == 409 ? 409 : failure * 100 + 1, "told to")
                : answer(exchange.getRequestMethod(), path.split("/"), body);
    byte[] bytes = JSON.writeValueAsBytes(answer.body());
    exchange.getResponseHeaders().add("Content-Type", "application/vnd.schemaregistry.v1+json");
    exchange.sendResponseHeaders(answer.status(), bytes.length);
    exchange.getResponseBody().write(bytes);
    exchange.close();
  }

  private synchronized Answer answer(String method, String[] path, JsonNode body) {
    if (method.equals("POST") && path[1].equals("subjects") && path[3].equals("versions")) {
      return new Answer(200, Map.of("id", register(body.path("schema").asText())));
    }
    if (path[1].equals("subjects")) {
      Integer id = versions.get(path[2]);
      if (id == null) {
        return Answer.error(404, 40401, "Subject not found.");
      }
      Map<String, Object> version = new HashMap<>(schemas.get(id - 1));
      version.putAll(Map.of("subject", path[2], "version", 1, "id", id));
      return new Answer(200, version);
    }
    long index = Long.parseLong(path[3]) - 1;
    return index < 0 || index >= schemas.size()
        ? Answer.error(404, 40403, "Schema not found")
        : new Answer(200, schemas.get((int) index));
  }

  @Override
  public void close() {
    server.stop(0);
  }
}
