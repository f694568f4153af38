package io.whetstream.console;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.UncheckedIOException;
import java.util.Set;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/** Pages that listen. One that does not keep up is cut off; it comes back and gets everything. */
final class Listeners {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int MOST_WAITING = 2_000;

  /** What one page still has to be told. */
  final class Listener implements AutoCloseable {
    private final BlockingQueue<String> waiting = new ArrayBlockingQueue<>(MOST_WAITING);
    private volatile boolean lost;

    private Listener() {}

    /** The next event; null if there was none in that time. */
    String next(long millis) throws InterruptedException {
      return waiting.poll(millis, TimeUnit.MILLISECONDS);
    }

    boolean lost() {
      return lost;
    }

    void tell(String event) {
      if (!waiting.offer(event)) {
        lost = true;
      }
    }

    @Override
    public void close() {
      all.remove(this);
    }
  }

  private final Set<Listener> all = ConcurrentHashMap.newKeySet();

  Listener join() {
    Listener listener = new Listener();
    all.add(listener);
    return listener;
  }

  int count() {
    return all.size();
  }

  void tell(String type, JsonNode data) {
    if (!all.isEmpty()) {
      String event = event(type, data);
      all.forEach(listener -> listener.tell(event));
    }
  }

  /**
   * As it goes over the wire: JSON has no line breaks outside of strings, where they are escaped.
   */
  static String event(String type, JsonNode data) {
    try {
      return "event: " + type + "\ndata: " + JSON.writeValueAsString(data) + "\n\n";
    } catch (com.fasterxml.jackson.core.JsonProcessingException e) {
      throw new UncheckedIOException(e);
    }
  }
}
