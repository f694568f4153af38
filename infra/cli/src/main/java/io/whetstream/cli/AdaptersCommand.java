package io.whetstream.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.TopicScan;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.connectors.registry.AdapterRegistry;
import io.whetstream.connectors.registry.AdapterRegistry.Entry;
import io.whetstream.connectors.registry.AdapterRegistry.PruneRules;
import io.whetstream.connectors.registry.AdapterRegistry.Pruned;
import io.whetstream.connectors.registry.RegistryOptions;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterManifest;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code whetstream adapters}: what was published. */
@Command(name = "adapters", description = "Shows, verifies, rolls back and prunes adapters.")
final class AdaptersCommand implements Runnable {
  private static final int SHORTEST = 6;

  @Spec private CommandSpec spec;

  /** Where adapters are. */
  static final class RegistryMixin {
    @Option(
        names = "--registry",
        paramLabel = "URI",
        description = "Directory of adapters (default: adapters in the data directory).")
    private String uri;

    AdapterRegistry open() {
      return AdapterRegistry.open(
          RegistryOptions.of(uri == null ? Homes.data().resolve("adapters").toString() : uri));
    }
  }

  /** A line of {@code list} with {@code --json}. */
  record Listed(
      String digest,
      String version,
      String stream,
      String parent,
      String baseDigest,
      long step,
      long pairs,
      Map<String, Double> metrics,
      String manifestDigest,
      String uri) {}

  /** The result of {@code verify} with {@code --json}: problems by digest. */
  record Verified(boolean ok, Map<String, List<String>> problems) {}

  /** The result of {@code rollback} and {@code resume} with {@code --json}. */
  record Ordered(String stream, String action, String digest, String reason) {}

  @Override
  public void run() {
    throw new ParameterException(
        spec.commandLine(), "say what to do: list, show, verify, rollback, resume or prune");
  }

  @Command(name = "list", description = "Lists adapters in order of their versions.")
  int list(@Mixin RegistryMixin registry, @Mixin ResultOptions result) {
    List<Listed> listed = new ArrayList<>();
    StringBuilder lines = new StringBuilder();
    for (Entry entry : registry.open().list()) {
      AdapterManifest manifest = entry.manifest();
      String version = manifest.version() == null ? "-" : manifest.version().toString();
      listed.add(
          new Listed(
              entry.digest(),
              version,
              manifest.stream(),
              manifest.parent(),
              manifest.baseDigest(),
              manifest.step(),
              manifest.pairs(),
              manifest.metrics(),
              entry.manifestDigest(),
              entry.uri()));
      lines
          .append(version)
          .append("  ")
          .append(entry.digest())
          .append("  step ")
          .append(manifest.step())
          .append("  pairs ")
          .append(manifest.pairs())
          .append("  parent ")
          .append(manifest.parent() == null ? "base" : manifest.parent().substring(0, 12))
          .append('\n');
    }
    result.print(listed, listed.isEmpty() ? "no adapters" : lines.toString().stripTrailing());
    return 0;
  }

  @Command(name = "show", description = "Prints the manifest of an adapter.")
  int show(
      @Mixin RegistryMixin registry,
      @Mixin ResultOptions result,
      @Parameters(paramLabel = "DIGEST", description = "The adapter; its beginning suffices.")
          String digest)
      throws IOException {
    Entry entry = find(registry.open(), digest);
    byte[] manifest = entry.manifest().toBytes();
    result.print(
        new ObjectMapper().readTree(manifest),
        new String(manifest, StandardCharsets.UTF_8).stripTrailing());
    return 0;
  }

  @Command(name = "verify", description = "Reads adapters whole and checks every digest.")
  int verify(
      @Mixin RegistryMixin registry,
      @Mixin ResultOptions result,
      @Parameters(arity = "0..*", paramLabel = "DIGEST", description = "Default: all.")
          List<String> digests) {
    AdapterRegistry adapters = registry.open();
    Set<String> chosen = new LinkedHashSet<>();
    if (digests == null || digests.isEmpty()) {
      adapters.list().forEach(entry -> chosen.add(entry.digest()));
    } else {
      digests.forEach(
          digest -> chosen.add(digest.length() == 64 ? digest : find(adapters, digest).digest()));
    }
    Map<String, List<String>> problems = new LinkedHashMap<>();
    StringBuilder lines = new StringBuilder();
    for (String digest : chosen) {
      List<String> found = adapters.verify(digest);
      lines.append(digest).append(found.isEmpty() ? "  ok\n" : "  BAD\n");
      found.forEach(problem -> lines.append("  ").append(Failures.oneLine(problem)).append('\n'));
      if (!found.isEmpty()) {
        problems.put(digest, found);
      }
    }
    result.print(
        new Verified(problems.isEmpty(), problems),
        chosen.isEmpty() ? "no adapters" : lines.toString().stripTrailing());
    return problems.isEmpty() ? 0 : Main.FAILED;
  }

  @Command(
      name = "rollback",
      description = "Orders everyone back to an adapter; nothing is published until resume.")
  int rollback(
      @Mixin RegistryMixin registry,
      @Mixin KafkaOptions kafka,
      @Mixin FormatOptions format,
      @Mixin ResultOptions result,
      @Option(
              names = "--stream",
              paramLabel = "NAME",
              description = "Adapter stream (default: the one that announced the adapter).")
          String stream,
      @Option(names = "--to", required = true, paramLabel = "DIGEST", description = "The adapter.")
          String digest,
      @Option(names = "--reason", required = true, paramLabel = "TEXT", description = "Why.")
          String reason) {
    AdapterRegistry adapters = registry.open();
    Entry entry = find(adapters, digest);
    List<String> problems = adapters.verify(entry.digest());
    if (!problems.isEmpty()) {
      throw new BadInputException(
          "nobody can go back to a damaged adapter: " + String.join("; ", problems));
    }
    String name = stream != null ? stream : streamOf(kafka, format, result, entry);
    return order(
        kafka,
        format,
        result,
        AdapterControl.rollback(name, entry.digest(), reason, System.currentTimeMillis()));
  }

  /**
   * The stream that has announced an adapter, else the one that its manifest names. Equal training
   * gives equal adapters, which lie in a registry once, under the name of the stream that came
   * first: where several have announced it, it must be said which is meant. An announcement that
   * cannot be read is said and passed over: going back must be possible above all.
   */
  private static String streamOf(
      KafkaOptions kafka, FormatOptions format, ResultOptions result, Entry entry) {
    Set<String> streams = new TreeSet<>();
    String topic = kafka.topics().adapters();
    RecordCodec<AdapterAnnouncement> codec =
        format.format().codec(RecordType.ADAPTER, topic + "-value");
    try (TopicScan scan = new TopicScan(kafka.connection(), topic)) {
      scan.toEnd(
          read -> {
            if (read.value() == null) {
              return;
            }
            try {
              AdapterAnnouncement announced = codec.decode(read.value(), null, read.timestamp());
              if (announced.digest().equals(entry.digest())) {
                streams.add(announced.stream());
              }
            } catch (BadInputException e) {
              result
                  .err()
                  .println(
                      topic + " " + read.partition() + "@" + read.offset() + ": " + e.getMessage());
            }
          });
    }
    if (streams.isEmpty() && entry.manifest().stream() != null) {
      streams.add(entry.manifest().stream());
    }
    if (streams.size() != 1) {
      throw new BadInputException(
          streams.isEmpty()
              ? "the adapter belongs to no stream: name one with --stream"
              : "streams "
                  + String.join(", ", streams)
                  + " have announced it: name one with --stream");
    }
    return streams.iterator().next();
  }

  @Command(name = "resume", description = "Ends a rollback: publishing goes on.")
  int resume(
      @Mixin KafkaOptions kafka,
      @Mixin FormatOptions format,
      @Mixin ResultOptions result,
      @Option(
              names = "--stream",
              required = true,
              paramLabel = "NAME",
              description = "Adapter stream.")
          String stream,
      @Option(names = "--reason", paramLabel = "TEXT", defaultValue = "", description = "Why.")
          String reason) {
    return order(
        kafka,
        format,
        result,
        endOfRollback(
            newest(kafka, format, RecordType.ADAPTER_CONTROL, kafka.topics().adaptersControl())
                .get(stream),
            newest(kafka, format, RecordType.ADAPTER, kafka.topics().adapters()).get(stream),
            stream,
            reason));
  }

  /**
   * What was gone back to stays in use until something newer than all that is announced now.
   *
   * @param last the order in force, or null
   * @param announced the newest announcement, or null
   */
  private static AdapterControl endOfRollback(
      AdapterControl last, AdapterAnnouncement announced, String stream, String reason) {
    long now = System.currentTimeMillis();
    if (last == null || last.digest() == null || announced == null) {
      return AdapterControl.resume(stream, reason, now);
    }
    return last.action() == AdapterControl.Action.ROLLBACK
        ? AdapterControl.resume(
            stream, last.digest(), announced.epoch(), announced.n(), reason, now)
        // Said twice: what was announced since the first time stays in use.
        : AdapterControl.resume(
            stream, last.digest(), last.afterEpoch(), last.afterN(), reason, now);
  }

  private static <T extends StreamRecord> Map<String, T> newest(
      KafkaOptions kafka, FormatOptions format, RecordType<T> type, String topic) {
    RecordCodec<T> codec = format.format().codec(type, topic + "-value");
    Map<String, T> newest = new HashMap<>();
    for (ConsumerRecord<byte[], byte[]> read :
        TopicScan.newest(kafka.connection(), topic).values()) {
      T record = codec.decode(read.value(), null, read.timestamp());
      newest.put(record.key(), record);
    }
    return newest;
  }

  private static int order(
      KafkaOptions kafka, FormatOptions format, ResultOptions result, AdapterControl control) {
    String topic = kafka.topics().adaptersControl();
    byte[] value =
        format.format().codec(RecordType.ADAPTER_CONTROL, topic + "-value").encode(control);
    QueriesCommand.send(kafka.connection(), topic, control.key(), value);
    result.print(
        new Ordered(control.stream(), control.action().name(), control.digest(), control.reason()),
        control.action() == AdapterControl.Action.RESUME
            ? control.stream() + " publishes again"
            : control.stream() + " goes back to " + control.digest());
    return 0;
  }

  @Command(
      name = "prune",
      description =
          "Removes adapters that are old, not among the last, not pinned by a running job and not in"
              + " use by announcement or rollback.")
  int prune(
      @Mixin RegistryMixin registry,
      @Mixin KafkaOptions kafka,
      @Mixin FormatOptions format,
      @Mixin ResultOptions result,
      @Option(
              names = "--min-age",
              paramLabel = "TIME",
              defaultValue = "P14D",
              description =
                  "Whatever is younger stays; at least as long as savepoints are kept (default:"
                      + " P14D).")
          String minAge,
      @Option(
              names = "--keep-last",
              paramLabel = "N",
              defaultValue = "10",
              description = "So many of the highest versions of each stream stay (default: 10).")
          int keepLast,
      @Option(names = "--dry-run", description = "Only say what would go.") boolean dryRun) {
    PruneRules rules =
        new PruneRules(QueriesCommand.duration(minAge), keepLast, inUse(kafka, format));
    Pruned pruned = registry.open().prune(rules, dryRun);
    StringBuilder lines = new StringBuilder();
    pruned
        .removed()
        .forEach(d -> lines.append(dryRun ? "would remove " : "removed ").append(d).append('\n'));
    pruned
        .kept()
        .forEach((d, why) -> lines.append("kept ").append(d).append(": ").append(why).append('\n'));
    result.print(pruned, lines.isEmpty() ? "no adapters" : lines.toString().stripTrailing());
    return 0;
  }

  private static Set<String> inUse(KafkaOptions kafka, FormatOptions format) {
    Set<String> digests = new HashSet<>();
    newest(kafka, format, RecordType.ADAPTER, kafka.topics().adapters())
        .values()
        .forEach(announced -> digests.add(announced.digest()));
    newest(kafka, format, RecordType.ADAPTER_CONTROL, kafka.topics().adaptersControl())
        .values()
        .stream()
        .map(AdapterControl::digest)
        .filter(Objects::nonNull)
        .forEach(digests::add);
    return digests;
  }

  /** The adapter whose digest begins so. */
  private static Entry find(AdapterRegistry registry, String beginning) {
    if (beginning.length() < SHORTEST) {
      throw new BadInputException(
          "'" + beginning + "' is too short: give " + SHORTEST + " characters of the digest");
    }
    Map<String, Entry> found = new LinkedHashMap<>();
    for (Entry entry : registry.list()) {
      if (entry.digest().startsWith(beginning)) {
        found.put(entry.digest(), entry);
      }
    }
    if (found.size() != 1) {
      throw new BadInputException(
          (found.isEmpty() ? "no adapter in " : "more than one adapter in ")
              + registry.uri()
              + " begins with '"
              + beginning
              + "'; see 'whetstream adapters list'");
    }
    return found.values().iterator().next();
  }
}
