package io.whetstream.console;

import com.fasterxml.jackson.databind.JsonNode;
import java.net.URI;
import java.security.SecureRandom;
import java.util.Base64;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A running web console. It owns nothing of what it shows: it reads topics, registry and Flink as
 * anyone could, and keeps what it shows in memory only.
 */
public final class Console implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(Console.class);
  private static final long FLINK_MILLIS = 1_000;
  private static final long REGISTRY_MILLIS = 3_000;
  private static final int TOKEN_BYTES = 18;

  private final ConsoleOptions options;
  private final String token;
  private final Board board = new Board();
  private final ItemReader items;
  private final TopicFeed topics;
  private final Orders orders;
  private final ScheduledExecutorService clock;
  private final WebServer web;

  private Console(ConsoleOptions options) {
    this.options = options;
    token = options.token() != null ? options.token() : draw();
    RegistryFeed registry =
        options.registry() == null ? null : new RegistryFeed(options.registry(), board);
    orders = new Orders(options, board, registry);
    items = new ItemReader(options, board);
    WebServer opened;
    try {
      opened = new WebServer(options, token, board, items, registry, orders);
    } catch (RuntimeException e) {
      items.close();
      orders.close();
      throw e;
    }
    web = opened;
    topics = new TopicFeed(options, board, items::want);
    clock =
        Executors.newScheduledThreadPool(
            2,
            task -> {
              Thread thread = new Thread(task, "console-clock");
              thread.setDaemon(true);
              return thread;
            });
    if (registry != null) {
      every(REGISTRY_MILLIS, registry::look);
    }
    if (options.flink() != null) {
      FlinkFeed flink = new FlinkFeed(options.flink(), board);
      every(FLINK_MILLIS, flink::look);
    }
  }

  /**
   * Starts one.
   *
   * @throws io.whetstream.model.BadInputException if the address is taken or not of this machine
   */
  public static Console start(ConsoleOptions options) {
    return new Console(options);
  }

  /** Where it listens. */
  public URI uri() {
    return web.uri(options.host());
  }

  /**
   * The address to open, with the token behind {@code #}: a browser does not send that part, so it
   * stands in no log.
   */
  public URI link() {
    return URI.create(uri() + "#token=" + token);
  }

  /** What pages are shown. */
  Board board() {
    return board;
  }

  /** Writes on the charts, at the newest step, what is known from elsewhere. */
  public void annotate(String text) {
    JsonNode newest = board.newestFigures();
    board.mark("note", newest == null ? 0 : newest.path("step").asLong(), text, true);
  }

  @Override
  public void close() {
    clock.shutdownNow();
    web.close();
    topics.close();
    items.close();
    orders.close();
  }

  private interface Task {
    void run() throws InterruptedException;
  }

  private void every(long millis, Task task) {
    ScheduledFuture<?> unused =
        clock.scheduleWithFixedDelay(
            () -> {
              try {
                task.run();
              } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
              } catch (RuntimeException e) {
                LOG.warn("a part of the console failed and is tried again", e);
              }
            },
            0,
            millis,
            TimeUnit.MILLISECONDS);
  }

  private static String draw() {
    byte[] random = new byte[TOKEN_BYTES];
    new SecureRandom().nextBytes(random);
    return Base64.getUrlEncoder().withoutPadding().encodeToString(random);
  }
}
