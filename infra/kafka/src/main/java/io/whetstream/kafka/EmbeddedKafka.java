package io.whetstream.kafka;

import io.whetstream.model.BadInputException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.BindException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import kafka.server.KafkaConfig;
import kafka.server.KafkaRaftServer;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.metadata.storage.Formatter;
import org.apache.kafka.server.common.MetadataVersion;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One Kafka node (KRaft: broker and controller in one) inside this process, reachable on loopback
 * only. Its data directory is formatted when it is new and used as it is when it is not, so a
 * broker can be stopped and started again on the same directory and port with all its topics,
 * transactions and consumer offsets.
 *
 * <p>Replication factors are one, and transactions work with one node; limits that clients check
 * ({@code transaction.max.timeout.ms} of 15 minutes, {@code message.max.bytes}) are those of a
 * stock broker unless overridden. Start takes about 2 s cold and 0.3 s warm, and about 250 MB.
 *
 * <p>The broker's threads are not daemons: a process that does not {@link #close()} does not end.
 * Methods may be called from any thread; {@link #stop()} and {@link #close()} may be called any
 * number of times.
 */
public final class EmbeddedKafka implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(EmbeddedKafka.class);

  private static final Set<String> LISTENERS =
      Set.of("listeners", "advertised.listeners", "listener.security.protocol.map");

  private static final int NODE = 1;
  private static final int ATTEMPTS = 5;
  private static final Duration READY = Duration.ofSeconds(60);

  private final Path dataDir;
  private final ListablePath logs;
  private final int port;
  private KafkaRaftServer server;

  private EmbeddedKafka(Path dataDir, ListablePath logs, int port, KafkaRaftServer server) {
    this.dataDir = dataDir;
    this.logs = logs;
    this.port = port;
    this.server = server;
  }

  /**
   * Starts a node and returns when it answers clients.
   *
   * @param dataDir created when absent; must not be in use by another broker
   * @param port of the broker on loopback, or 0 for a free one
   * @throws BadInputException when the port is taken or the directory cannot be used
   */
  public static EmbeddedKafka start(Path dataDir, int port) {
    return start(dataDir, port, Map.of());
  }

  /**
   * As {@link #start(Path, int)}, with broker properties that override ours. Listeners are added to
   * ours instead, so that a broker may have a secured one as well.
   *
   * @param overrides Kafka broker configuration, for example {@code log.retention.ms}
   */
  public static EmbeddedKafka start(Path dataDir, int port, Map<String, String> overrides) {
    Path absolute = dataDir.toAbsolutePath().normalize();
    if (port != 0 && !isFree(port)) {
      throw new BadInputException(
          "port "
              + port
              + " is in use: stop what listens there, or give another port (0 for a free one)");
    }
    ListablePath logs = ListablePath.of(absolute);
    RuntimeException last = null;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
      // A free port, the controller's among them, may be taken by another process before the broker
      // binds it: then try another.
      int broker = port == 0 ? freePort() : port;
      try {
        return new EmbeddedKafka(absolute, logs, broker, launch(logs.path(), broker, overrides));
      } catch (RuntimeException e) {
        last = e;
        if (!isBindFailure(e) || (port != 0 && !isFree(port))) {
          break;
        }
      }
    }
    logs.close();
    throw new BadInputException(
        "the broker could not start on " + absolute + ": " + rootMessage(last), last);
  }

  /** Where clients connect, {@code host:port}. */
  public String bootstrapServers() {
    return "127.0.0.1:" + port;
  }

  /** Port of the broker on loopback. */
  public int port() {
    return port;
  }

  /** Directory that holds all of the broker's data. */
  public Path dataDir() {
    return dataDir;
  }

  /** Whether the node runs. */
  public synchronized boolean running() {
    return server != null;
  }

  /** Shuts the node down in an orderly way and waits for it. Its data stays. */
  public synchronized void stop() {
    if (server == null) {
      return;
    }
    KafkaRaftServer stopping = server;
    server = null;
    shutDown(stopping);
    logs.close();
  }

  /** Same as {@link #stop()}. */
  @Override
  public void close() {
    stop();
  }

  private static KafkaRaftServer launch(Path dataDir, int port, Map<String, String> overrides) {
    int controllerPort = freePort();
    while (controllerPort == port) {
      // The broker's port is free too as long as the broker has not bound it.
      controllerPort = freePort();
    }
    Properties properties = properties(dataDir, port, controllerPort);
    overrides.forEach(
        (key, value) ->
            properties.merge(
                key,
                value,
                (ours, theirs) -> LISTENERS.contains(key) ? ours + "," + theirs : theirs));
    KafkaConfig config = new KafkaConfig(properties, false);
    formatIfNew(dataDir);
    KafkaRaftServer server = new KafkaRaftServer(config, Time.SYSTEM);
    try {
      server.startup();
      awaitReady("127.0.0.1:" + port);
      return server;
    } catch (RuntimeException | Error e) {
      // A node that came up by half holds ports, file locks and threads.
      shutDown(server);
      throw e;
    }
  }

  private static void shutDown(KafkaRaftServer server) {
    try {
      server.shutdown();
      server.awaitShutdown();
    } catch (RuntimeException e) {
      LOG.warn("the embedded broker did not shut down cleanly", e);
    }
  }

  private static Properties properties(Path dataDir, int port, int controllerPort) {
    Properties p = new Properties();
    p.put("process.roles", "broker,controller");
    p.put("node.id", Integer.toString(NODE));
    // A static voter: the controller's port is free to change between starts.
    p.put("controller.quorum.voters", NODE + "@127.0.0.1:" + controllerPort);
    p.put(
        "listeners", "PLAINTEXT://127.0.0.1:" + port + ",CONTROLLER://127.0.0.1:" + controllerPort);
    p.put("advertised.listeners", "PLAINTEXT://127.0.0.1:" + port);
    p.put("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT");
    p.put("controller.listener.names", "CONTROLLER");
    p.put("inter.broker.listener.name", "PLAINTEXT");
    p.put("log.dirs", dataDir.toString());

    p.put("offsets.topic.replication.factor", "1");
    p.put("offsets.topic.num.partitions", "4");
    p.put("transaction.state.log.replication.factor", "1");
    p.put("transaction.state.log.min.isr", "1");
    p.put("transaction.state.log.num.partitions", "4");
    p.put("share.coordinator.state.topic.replication.factor", "1");
    p.put("share.coordinator.state.topic.min.isr", "1");
    p.put("share.coordinator.state.topic.num.partitions", "1");
    p.put("min.insync.replicas", "1");
    p.put("default.replication.factor", "1");
    // Stated although it is the default: sinks are configured below what a stock broker allows.
    p.put("transaction.max.timeout.ms", Long.toString(Duration.ofMinutes(15).toMillis()));
    // A misspelt topic must be an error, not a new topic with the wrong cleanup policy.
    p.put("auto.create.topics.enable", "false");

    p.put("group.initial.rebalance.delay.ms", "0");
    // After a kill a restart waits for the end of the session; but jobs keep every core busy, and a
    // broker that answers a second late is not dead.
    p.put("broker.session.timeout.ms", "6000");
    p.put("broker.heartbeat.interval.ms", "300");
    p.put("controlled.shutdown.enable", "true");
    p.put("num.network.threads", "2");
    p.put("num.io.threads", "4");
    p.put("background.threads", "2");
    p.put("num.recovery.threads.per.data.dir", "1");
    p.put("log.cleaner.dedupe.buffer.size", Integer.toString(4 << 20));
    return p;
  }

  private static void formatIfNew(Path dataDir) {
    try {
      Files.createDirectories(dataDir);
    } catch (IOException e) {
      throw new UncheckedIOException("cannot create " + dataDir, e);
    }
    if (Files.exists(dataDir.resolve("meta.properties"))) {
      return;
    }
    ByteArrayOutputStream printed = new ByteArrayOutputStream();
    try {
      new Formatter()
          .setPrintStream(new PrintStream(printed, true, StandardCharsets.UTF_8))
          .setNodeId(NODE)
          .setClusterId(Uuid.randomUuid().toString())
          .setDirectories(List.of(dataDir.toString()))
          .setMetadataLogDirectory(dataDir.toString())
          .setControllerListenerName("CONTROLLER")
          .setReleaseVersion(MetadataVersion.latestProduction())
          .setIgnoreFormatted(true)
          .run();
    } catch (Exception e) {
      throw new IllegalStateException(
          "cannot format " + dataDir + ": " + printed.toString(StandardCharsets.UTF_8), e);
    }
  }

  private static void awaitReady(String bootstrapServers) {
    try (Admin admin =
        Admin.create(
            Map.of(
                AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG,
                bootstrapServers,
                AdminClientConfig.DEFAULT_API_TIMEOUT_MS_CONFIG,
                Long.toString(READY.toMillis())))) {
      admin.describeCluster().nodes().get(READY.toMillis(), TimeUnit.MILLISECONDS);
    } catch (ExecutionException | TimeoutException e) {
      throw new IllegalStateException("the broker does not answer", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted while the broker started", e);
    }
  }

  private static int freePort() {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return socket.getLocalPort();
    } catch (IOException e) {
      throw new UncheckedIOException("no free port on loopback", e);
    }
  }

  private static boolean isFree(int port) {
    try (ServerSocket socket = new ServerSocket()) {
      socket.setReuseAddress(true);
      socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
      return true;
    } catch (IOException e) {
      return false;
    }
  }

  private static boolean isBindFailure(Throwable failure) {
    for (Throwable t = failure; t != null; t = t.getCause()) {
      if (t instanceof BindException
          || (t.getMessage() != null && t.getMessage().contains("Socket server failed to bind"))) {
        return true;
      }
    }
    return false;
  }

  private static String rootMessage(Throwable failure) {
    Throwable root = failure;
    while (root.getCause() != null && root.getCause() != root) {
      root = root.getCause();
    }
    return root.getMessage() == null ? root.toString() : root.getMessage();
  }
}
