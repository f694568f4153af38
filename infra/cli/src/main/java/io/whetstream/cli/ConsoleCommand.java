package io.whetstream.cli;

import io.whetstream.console.Console;
import io.whetstream.console.ConsoleOptions;
import io.whetstream.local.StopSignal;
import io.whetstream.model.BadInputException;
import java.io.PrintWriter;
import java.net.InetAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.KafkaException;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code whetstream console}: the web console on a cluster's topics. */
@Command(
    name = "console",
    description = "Serves the web console on a cluster's topics, until Ctrl-C.")
final class ConsoleCommand implements Callable<Integer> {
  private static final String TOKEN = "WHETSTREAM_CONSOLE_TOKEN";
  private static final long REACH_SECONDS = 15;

  @Mixin private KafkaOptions kafka;
  @Mixin private FormatOptions format;
  @Mixin private ResultOptions result;

  @Option(
      names = "--registry",
      paramLabel = "URI",
      description = "Where adapters lie, for manifests and the whole lineage (default: without).")
  private String registry;

  @Option(
      names = "--flink",
      paramLabel = "URL",
      description =
          "Flink's REST address, for live figures and job health, such as http://127.0.0.1:8081"
              + " (default: without).")
  private URI flink;

  @Option(
      names = "--host",
      paramLabel = "ADDRESS",
      defaultValue = ConsoleOptions.LOOPBACK,
      description =
          "Address to listen on (default: ${DEFAULT-VALUE}). Whoever reaches another one can read"
              + " everything; changes need the token anywhere.")
  private String host;

  @Option(
      names = "--name",
      paramLabel = "NAME",
      description =
          "A name that browsers ask for it under, where --host is not loopback; may be given several"
              + " times (default: --host and any address).")
  private List<String> names = List.of();

  @Option(
      names = "--port",
      paramLabel = "PORT",
      defaultValue = "8090",
      description = "Port to listen on, 0 for a free one (default: ${DEFAULT-VALUE}).")
  private int port;

  @Override
  public Integer call() throws InterruptedException {
    ConsoleOptions options =
        ConsoleOptions.of(kafka.connection(), kafka.topics())
            .withFormat(format.format())
            .withRegistry(registry)
            .withFlink(flink)
            .withAddress(host, port)
            .withNames(names)
            .withToken(System.getenv(TOKEN));
    reach(options);
    PrintWriter err = result.err();
    StopSignal stop = StopSignal.install();
    try (Console console = Console.start(options)) {
      err.println("console at " + console.link());
      if (!isLoopback(host)) {
        err.println("everyone who reaches " + console.uri() + " can read what it shows");
      }
      err.println("Ctrl-C ends it");
      err.flush();
      while (!stop.await(1, TimeUnit.HOURS)) {
        err.flush();
      }
    }
    return 0;
  }

  private static void reach(ConsoleOptions options) {
    try (Admin admin = options.kafka().admin()) {
      admin.describeCluster().nodes().get(REACH_SECONDS, TimeUnit.SECONDS);
    } catch (KafkaException
        | java.util.concurrent.ExecutionException
        | java.util.concurrent.TimeoutException e) {
      throw new BadInputException(
          "Kafka at "
              + options.kafka().bootstrapServers()
              + " does not answer; give its address with --bootstrap-servers",
          e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted", e);
    }
  }

  private static boolean isLoopback(String host) {
    try {
      return InetAddress.getByName(host).isLoopbackAddress();
    } catch (UnknownHostException e) {
      return false;
    }
  }
}
