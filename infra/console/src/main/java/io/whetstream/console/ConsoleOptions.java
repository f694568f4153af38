package io.whetstream.console;

import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.model.BadInputException;
import java.net.URI;
import java.util.List;
import java.util.Locale;

/**
 * What a console shows and where it listens.
 *
 * @param host address to bind to; anything but loopback lets others on the network read everything
 *     that is shown
 * @param port 0 for a free one
 * @param token that changing requests must carry; null draws one
 * @param kafka the cluster whose topics are read
 * @param topics their names
 * @param format of the records in them
 * @param registry where adapters lie, or null: lineage then goes back as far as the topic does, and
 *     there are no manifests
 * @param flink Flink's REST interface, or null: there are then no live figures and no job health
 * @param names names that a console beyond loopback is asked under, besides its own address; pages
 *     of elsewhere can make a browser ask under others
 */
public record ConsoleOptions(
    String host,
    int port,
    String token,
    KafkaConnection kafka,
    Topics topics,
    RecordFormat format,
    String registry,
    URI flink,
    List<String> names) {

  /** Where a console listens unless told otherwise. */
  public static final String LOOPBACK = "127.0.0.1";

  private static final int SHORTEST_TOKEN = 16;

  public ConsoleOptions {
    names = names.stream().map(name -> name.toLowerCase(Locale.ROOT)).toList();
    if (port < 0 || port > 65535) {
      throw new BadInputException(
          "the console's port must be 0 (a free one) to 65535, not " + port);
    }
    if (token != null && !token.matches("[A-Za-z0-9_-]{" + SHORTEST_TOKEN + ",}")) {
      throw new BadInputException(
          "the console's token must be at least "
              + SHORTEST_TOKEN
              + " letters, digits, '-' or '_'");
    }
    if (flink != null && (flink.getHost() == null || !flink.getScheme().startsWith("http"))) {
      throw new BadInputException("Flink's address must be like http://host:8081, not " + flink);
    }
  }

  /** On loopback, a free port, a token of its own, JSON. */
  public static ConsoleOptions of(KafkaConnection kafka, Topics topics) {
    return new ConsoleOptions(
        LOOPBACK, 0, null, kafka, topics, RecordFormat.json(), null, null, List.of());
  }

  /** The same with lineage from there. */
  public ConsoleOptions withRegistry(String uri) {
    return new ConsoleOptions(host, port, token, kafka, topics, format, uri, flink, names);
  }

  /** The same with figures from there. */
  public ConsoleOptions withFlink(URI uri) {
    return new ConsoleOptions(host, port, token, kafka, topics, format, registry, uri, names);
  }

  /** The same on that address. */
  public ConsoleOptions withAddress(String newHost, int newPort) {
    return new ConsoleOptions(
        newHost, newPort, token, kafka, topics, format, registry, flink, names);
  }

  /** The same with that token. */
  public ConsoleOptions withToken(String newToken) {
    return new ConsoleOptions(host, port, newToken, kafka, topics, format, registry, flink, names);
  }

  /** The same with records in that format. */
  public ConsoleOptions withFormat(RecordFormat newFormat) {
    return new ConsoleOptions(host, port, token, kafka, topics, newFormat, registry, flink, names);
  }

  /** The same under those names too. */
  public ConsoleOptions withNames(List<String> newNames) {
    return new ConsoleOptions(host, port, token, kafka, topics, format, registry, flink, newNames);
  }

  /** Without the token. */
  @Override
  public String toString() {
    return "ConsoleOptions[" + host + ":" + port + ", " + kafka + ", " + topics + "]";
  }
}
