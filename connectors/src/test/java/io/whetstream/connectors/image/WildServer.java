package io.whetstream.connectors.image;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;

/** A web server on loopback whose answers are written byte by byte by the test. */
final class WildServer implements AutoCloseable {
  interface Answer {
    void write(OutputStream out) throws Exception;
  }

  private final ServerSocket server;
  private final Map<String, Answer> answers = new ConcurrentHashMap<>();
  private volatile Answer other;
  final List<String> requests = new CopyOnWriteArrayList<>();

  WildServer(String address) throws IOException {
    server = new ServerSocket(0, 50, InetAddress.getByName(address));
    Thread thread = new Thread(this::serve);
    thread.setDaemon(true);
    thread.start();
  }

  int port() {
    return server.getLocalPort();
  }

  void on(String path, Answer answer) {
    answers.put(path, answer);
  }

  void on(String path, String head, byte[] body) {
    on(
        path,
        out -> {
          out.write((head.replace("\n", "\r\n") + "\r\n\r\n").getBytes(StandardCharsets.US_ASCII));
          out.write(body);
        });
  }

  /** Paths without an answer of their own get the one of this path. */
  void answerAnyWith(String path) {
    other = answers.get(path);
  }

  private void serve() {
    while (!server.isClosed()) {
      try {
        Socket socket = server.accept();
        Thread thread = new Thread(() -> answer(socket));
        thread.setDaemon(true);
        thread.start();
      } catch (IOException e) {
        return;
      }
    }
  }

  private void answer(Socket socket) {
    try (socket) {
      BufferedReader in =
          new BufferedReader(
              new InputStreamReader(socket.getInputStream(), StandardCharsets.US_ASCII));
      String path = in.readLine().split(" ", 3)[1];
      String header = in.readLine();
      while (!header.isEmpty()) {
        header = in.readLine();
      }
      requests.add(path);
      answers.getOrDefault(path, other).write(socket.getOutputStream());
      socket.getOutputStream().flush();
    } catch (Exception e) {
      // The client gave up, which is what some tests are about.
      requests.add("cut off: " + e);
    }
  }

  @Override
  public void close() throws IOException {
    server.close();
  }
}
