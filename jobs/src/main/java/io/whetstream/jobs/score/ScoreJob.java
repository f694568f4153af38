package io.whetstream.jobs.score;

import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.SinkOptions;
import io.whetstream.connectors.kafka.Sinks;
import io.whetstream.connectors.kafka.SourceOptions;
import io.whetstream.connectors.kafka.Sources;
import io.whetstream.connectors.kafka.SpillLargeLetters;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.Item;
import io.whetstream.jobs.config.ConfigLoader;
import io.whetstream.model.BadInputException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.ExecutionOptions;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.admin.Admin;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The scoring job: {@code items}, {@code queries}, {@code adapters} and {@code adapters.control}
 * in, {@code alerts}, {@code alerts.withheld} and {@code queries.status} out. The same class is the
 * main class of {@code flink run} and what the local runtime builds.
 */
public final class ScoreJob {
  private static final Logger LOGGER = LoggerFactory.getLogger(ScoreJob.class);

  /** Rescaling is possible up to this. */
  private static final int MAX_PARALLELISM = 128;

  private ScoreJob() {}

  /**
   * Runs the job: {@code --config FILE [-D key=value]...}.
   *
   * @throws BadInputException if the configuration or the topics are not as they must be
   */
  public static void main(String[] arguments) throws Exception {
    ScoreConfig config = parse(arguments);
    StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
    build(env, config);
    env.execute(config.name());
  }

  static ScoreConfig parse(String[] arguments) {
    Path file = null;
    List<String> overrides = new ArrayList<>();
    for (int i = 0; i < arguments.length; i++) {
      boolean more = i + 1 < arguments.length;
      if (arguments[i].equals("--config") && more) {
        file = Path.of(arguments[++i]);
      } else if (arguments[i].equals("-D") && more) {
        overrides.add(arguments[++i]);
      } else if (arguments[i].startsWith("-D") && arguments[i].length() > 2) {
        overrides.add(arguments[i].substring(2));
      } else {
        throw new BadInputException(
            "unknown argument '" + arguments[i] + "': use --config FILE [-D key=value]...");
      }
    }
    return file == null
        ? ScoreConfig.loader().parse("", "defaults", overrides)
        : ScoreConfig.loader().load(file, overrides);
  }

  /**
   * Adds the job to an environment, without executing it. Says what it is configured with.
   *
   * @throws BadInputException if the topics are not as they must be
   */
  public static void build(StreamExecutionEnvironment env, ScoreConfig config) {
    build(env, config, new RecordParts(config));
  }

  /**
   * As {@link #build(StreamExecutionEnvironment, ScoreConfig)}.
   *
   * @param parts what the matcher works with
   */
  static void build(StreamExecutionEnvironment env, ScoreConfig config, ScoreParts parts) {
    LOGGER.info("scoring job\n{}", ConfigLoader.render(config));
    Topics topics = new Topics(config.kafka().topicPrefix());
    KafkaConnection kafka = config.kafka().connection();
    long letterBytes = requireTopics(kafka, topics, config);
    configure(env, config);

    RecordFormat format = config.kafka().ownFormat();
    String group = config.kafka().groupId().isEmpty() ? config.name() : config.kafka().groupId();
    Sources.Stream<Item> items =
        Sources.read(
            env,
            RecordType.ITEM,
            SourceOptions.of(kafka, topics.items(), config.kafka().userFormat(), group)
                .startingAt(config.kafka().startingOffsets())
                .watermarks(config.match().watermarkLag(), config.match().idleness(), false)
                .fetching(config.images().options()),
            "items");
    ScoreGraph graph = ScoreGraph.build(env, items.reads(), config, parts);

    graph
        .alerts()
        .sinkTo(
            Sinks.records(RecordType.ALERT, topics.alerts(), format, sink(config, kafka, "alerts")))
        .name(topics.alerts())
        .uid("alerts-sink");
    graph
        .withheld()
        .sinkTo(
            Sinks.records(
                RecordType.ALERT,
                topics.alertsWithheld(),
                format,
                sink(config, kafka, "alerts-withheld")))
        .name(topics.alertsWithheld())
        .uid("alerts-withheld-sink");
    graph
        .answers()
        .sinkTo(
            Sinks.records(
                RecordType.QUERY_STATUS,
                topics.queriesStatus(),
                format,
                sink(config, kafka, "queries-status")))
        .name(topics.queriesStatus())
        .uid("queries-status-sink")
        .setParallelism(1);
    if (config.output().embeddings()) {
      graph
          .vectors()
          .sinkTo(
              Sinks.records(
                  RecordType.EMBEDDING,
                  topics.embeddings(),
                  format,
                  sink(config, kafka, "embeddings")))
          .name(topics.embeddings())
          .uid("embeddings-sink");
    }
    SpillLargeLetters.apply(
            items.deadLetters().union(graph.badItems()),
            config.registry().uri() + "/dead-letters",
            letterBytes,
            "items-dead-letters-spill")
        .sinkTo(
            Sinks.deadLetters(topics.itemsDeadLetters(), sink(config, kafka, "items-dead-letters")))
        .name(topics.itemsDeadLetters())
        .uid("items-dead-letters-sink");
  }

  private static long requireTopics(KafkaConnection kafka, Topics topics, ScoreConfig config) {
    List<String> names =
        new ArrayList<>(
            List.of(
                topics.items(),
                topics.itemsDeadLetters(),
                topics.queries(),
                topics.queriesStatus(),
                topics.adapters(),
                topics.adaptersControl(),
                topics.alerts(),
                topics.alertsWithheld()));
    if (config.output().embeddings()) {
      names.add(topics.embeddings());
    }
    try (Admin admin = kafka.admin()) {
      topics.createIfAbsent(admin, topics.alertsWithheld());
      topics.require(admin, names);
      if (config.output().exactlyOnce()) {
        Topics.requireTransactionTimeout(admin, config.kafka().transactionTimeout());
      }
      return Topics.maxMessageBytes(admin, topics.itemsDeadLetters());
    }
  }

  private static void configure(StreamExecutionEnvironment env, ScoreConfig config) {
    Configuration settings = new Configuration();
    settings.set(PipelineOptions.GENERIC_TYPES, false);
    settings.set(
        CheckpointingOptions.CHECKPOINTING_INTERVAL,
        config.checkpoint().interval(env.getConfiguration()));
    settings.set(CheckpointingOptions.CHECKPOINTING_TIMEOUT, config.checkpoint().timeout());
    if (!config.checkpoint().directory().isEmpty()) {
      settings.set(
          CheckpointingOptions.CHECKPOINTS_DIRECTORY, config.checkpoint().flinkDirectory());
    }
    // An alert passes two exchanges: at Flink's 100 ms it would spend more time there than here.
    settings.set(ExecutionOptions.BUFFER_TIMEOUT, Duration.ofMillis(10));
    // Watermarks are due more often than alerts may be late.
    settings.set(PipelineOptions.AUTO_WATERMARK_INTERVAL, Duration.ofMillis(200));
    env.configure(settings);
    env.setParallelism(config.parallelism());
    env.setMaxParallelism(MAX_PARALLELISM);
  }

  private static SinkOptions sink(ScoreConfig config, KafkaConnection kafka, String what) {
    return new SinkOptions(
        kafka,
        config.output().exactlyOnce()
            ? DeliveryGuarantee.EXACTLY_ONCE
            : DeliveryGuarantee.AT_LEAST_ONCE,
        config.name() + "-" + what,
        config.kafka().transactionTimeout());
  }
}
