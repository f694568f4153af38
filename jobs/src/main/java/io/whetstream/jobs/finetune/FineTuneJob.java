package io.whetstream.jobs.finetune;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.SinkOptions;
import io.whetstream.connectors.kafka.Sinks;
import io.whetstream.connectors.kafka.SourceOptions;
import io.whetstream.connectors.kafka.Sources;
import io.whetstream.connectors.kafka.SpillLargeLetters;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.types.Read;
import io.whetstream.jobs.config.ConfigLoader;
import io.whetstream.model.BadInputException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletionException;
import org.apache.flink.api.common.operators.SlotSharingGroup;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;

/**
 * The fine-tune job: pairs from Kafka become an adapter, continually and exactly once.
 *
 * <pre>
 * pairs -> fetch images -> prepare (by id, once each) -> mining embedding -> miner (by bucket)
 *   |          |               |                                                |
 *   +----------+---------------+-> pairs.dlq                                    v
 *                                                  adapters.control -> trainer -> adapters
 * </pre>
 *
 * <p>The same main class serves {@code flink run} and a local run: {@code --config FILE [-D
 * key=value]...}. What the configuration does not say about state backend and checkpoints is the
 * cluster's.
 */
public final class FineTuneJob {
  /** How long a barrier stands behind data before it overtakes it, in deterministic mode. */
  private static final Duration OVERTAKE_AFTER = Duration.ofSeconds(30);

  private FineTuneJob() {}

  /**
   * Submits the job.
   *
   * @throws BadInputException if the configuration or the topics cannot be used; the message says
   *     what to do
   */
  public static void main(String[] args) throws Exception {
    FineTuneConfig config = parse(args);
    System.out.println("Effective configuration:\n" + ConfigLoader.render(config));
    check(config);
    StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
    build(env, config, false);
    env.execute(jobName(config));
  }

  /** Reads {@code --config FILE} and {@code -D key=value} (also {@code -Dkey=value}). */
  static FineTuneConfig parse(String[] args) {
    Path file = null;
    List<String> overrides = new ArrayList<>();
    for (int i = 0; i < args.length; i++) {
      String arg = args[i];
      boolean takesNext = arg.equals("--config") || arg.equals("-D");
      if (takesNext && i + 1 == args.length) {
        throw new BadInputException(arg + " needs a value; usage: --config FILE [-D key=value]...");
      }
      if (arg.equals("--config")) {
        file = Path.of(args[++i]);
      } else if (arg.equals("-D")) {
        overrides.add(args[++i]);
      } else if (arg.startsWith("-D")) {
        overrides.add(arg.substring(2));
      } else {
        throw new BadInputException(
            "unknown argument '" + arg + "'; usage: --config FILE [-D key=value]...");
      }
    }
    return file == null
        ? FineTuneConfig.loader().parse("", "command line", overrides)
        : FineTuneConfig.loader().load(file, overrides);
  }

  /** The job's name in Flink. */
  public static String jobName(FineTuneConfig config) {
    return "whetstream finetune " + config.name();
  }

  /**
   * Looks at the topics and the broker's limits.
   *
   * @throws BadInputException naming everything that is not as it must be; also if no broker
   *     answers
   */
  public static void check(FineTuneConfig config) {
    Topics topics = new Topics(config.kafka().topicPrefix());
    try (Admin admin = config.kafka().connection().admin()) {
      topics.require(
          admin,
          List.of(
              topics.pairs(),
              topics.pairsDeadLetters(),
              topics.adapters(),
              topics.adaptersControl()));
      Topics.requireTransactionTimeout(admin, config.kafka().transactionTimeout());
      inheritOffsets(admin, config);
      if (config.deterministic()) {
        int partitions =
            admin
                .describeTopics(List.of(topics.pairs()))
                .allTopicNames()
                .toCompletionStage()
                .toCompletableFuture()
                .join()
                .get(topics.pairs())
                .partitions()
                .size();
        if (partitions != 1) {
          throw new BadInputException(
              "deterministic: true needs one partition of "
                  + topics.pairs()
                  + ", it has "
                  + partitions);
        }
      }
    } catch (KafkaException e) {
      Throwable reason = e.getCause() == null ? e : e.getCause();
      throw new BadInputException(
          "kafka.bootstrapServers: the broker at "
              + config.kafka().bootstrapServers()
              + " cannot be asked ("
              + reason.getMessage()
              + "); give an address that answers, and in kafka.properties what it asks of clients",
          e);
    }
  }

  /**
   * Adds the job to an environment. Asks the broker how large dead letters may be.
   *
   * @param untilEnd stop at what is the end of the topics when the job starts
   */
  public static void build(
      StreamExecutionEnvironment env, FineTuneConfig config, boolean untilEnd) {
    build(env, config, untilEnd, TrainerHooks.NONE);
  }

  static void build(
      StreamExecutionEnvironment env, FineTuneConfig config, boolean untilEnd, TrainerHooks hooks) {
    build(env, config, untilEnd, hooks, pairs(env, config, untilEnd));
  }

  static void build(
      StreamExecutionEnvironment env,
      FineTuneConfig config,
      boolean untilEnd,
      TrainerHooks hooks,
      Pairs pairs) {
    configure(env, config);
    Topics topics = new Topics(config.kafka().topicPrefix());
    Sources.Stream<AdapterControl> controls = controls(env, config, untilEnd);
    pairs
        .prepared()
        .transform("mining embedder", StreamTypes.PAIR, new MiningEmbedder(config))
        .uid("mining-embedder")
        .setParallelism(config.prepare().parallelism())
        .keyBy(MinedPair::bucket, Types.INT)
        .transform(
            "hard-negative miner",
            StreamTypes.GROUP,
            new MinerOperator(
                new HardNegativeMiner(
                    config.mining(), config.heldOut().share(), config.deterministic())))
        .uid("hard-negative-miner")
        .setParallelism(config.mining().parallelism())
        .connect(
            controls
                .reads()
                .filter(read -> read.value() != null)
                .name("control records")
                .uid("control-records")
                .setParallelism(1)
                .map(Read::value)
                .returns(io.whetstream.connectors.types.Types.of(RecordType.ADAPTER_CONTROL))
                .name("controls")
                .uid("controls")
                .setParallelism(1))
        .transform(
            "trainer",
            io.whetstream.connectors.types.Types.of(RecordType.ADAPTER),
            new TrainerOperator(config, hooks))
        .uid("trainer")
        .setParallelism(1)
        .setMaxParallelism(1)
        .slotSharingGroup(trainerSlot(config))
        .sinkTo(
            Sinks.records(
                RecordType.ADAPTER,
                topics.adapters(),
                config.kafka().ownFormat(),
                exactlyOnce(config, "adapters")))
        .name("adapters")
        .uid("adapters-sink")
        .setParallelism(1);
    sinkDeadLetters(config, pairs.dead().union(controls.deadLetters()));
  }

  /**
   * The way of pairs up to mining.
   *
   * @param dead those that cannot be trained on
   */
  record Pairs(SingleOutputStreamOperator<PreparedImage> prepared, DataStream<DeadLetter> dead) {}

  static Pairs pairs(StreamExecutionEnvironment env, FineTuneConfig config, boolean untilEnd) {
    SourceOptions options =
        SourceOptions.of(
                config.kafka().connection(),
                new Topics(config.kafka().topicPrefix()).pairs(),
                config.kafka().userFormat(),
                group(config))
            .startingAt(config.kafka().startingOffsets())
            .watermarks(
                config.prepare().allowedLateness(),
                config.deterministic() ? null : config.prepare().idleness(),
                config.deterministic())
            .fetching(config.images().options());
    return pairs(
        config,
        // Siblings lie together in a stream, and whatever tears them apart costs hard batches.
        Sources.readInOrder(env, RecordType.PAIR, untilEnd ? options.bounded() : options, "pairs"));
  }

  static Pairs pairs(FineTuneConfig config, Sources.Stream<ImageTextPair> pairs) {
    DataStream<Read<ImageTextPair>> timed = pairs.reads();
    if (config.deterministic()) {
      timed =
          pairs
              .reads()
              .transform(
                  "ordered watermarks",
                  Read.typeInfo(RecordType.PAIR),
                  new OrderedWatermarks<>(config.prepare().allowedLateness().toMillis()))
              .uid("ordered-watermarks")
              .setParallelism(1);
    }
    SingleOutputStreamOperator<PreparedImage> prepared =
        timed
            .keyBy(read -> read.value().id(), Types.STRING)
            .process(new PreparePairs(config))
            .returns(StreamTypes.PREPARED)
            .name("prepare pairs")
            // Of what its state is for: it remembers ids.
            .uid("deduplicate")
            .setParallelism(config.prepare().parallelism());
    return new Pairs(
        prepared, pairs.deadLetters().union(prepared.getSideOutput(PreparePairs.DEAD)));
  }

  private static Sources.Stream<AdapterControl> controls(
      StreamExecutionEnvironment env, FineTuneConfig config, boolean untilEnd) {
    SourceOptions options =
        SourceOptions.of(
                config.kafka().connection(),
                new Topics(config.kafka().topicPrefix()).adaptersControl(),
                config.kafka().ownFormat(),
                group(config))
            .startingAt("earliest")
            .compacted();
    return Sources.read(
        env, RecordType.ADAPTER_CONTROL, untilEnd ? options.bounded() : options, "control");
  }

  static void sinkDeadLetters(FineTuneConfig config, DataStream<DeadLetter> dead) {
    String topic = new Topics(config.kafka().topicPrefix()).pairsDeadLetters();
    long topicBytes;
    try (Admin admin = config.kafka().connection().admin()) {
      topicBytes = Topics.maxMessageBytes(admin, topic);
    }
    SpillLargeLetters.apply(
            dead, config.registry().uri() + "/dead-letters", topicBytes, "spill-dead-letters")
        .setParallelism(1)
        .sinkTo(Sinks.deadLetters(topic, exactlyOnce(config, "pairs.dlq")))
        .name("dead letters of pairs")
        .uid("dead-letters-sink")
        .setParallelism(1);
  }

  /** Under which its sources commit offsets. */
  static String group(FineTuneConfig config) {
    return config.kafka().groupId().isEmpty()
        ? "whetstream-finetune-" + stream(config)
        : config.kafka().groupId();
  }

  /** Streams of one name behind different prefixes are different streams. */
  private static String stream(FineTuneConfig config) {
    return config.kafka().topicPrefix() + config.name();
  }

  /** Offsets that releases without the prefix in the group's name have committed go on. */
  private static void inheritOffsets(Admin admin, FineTuneConfig config) {
    String before = "whetstream-finetune-" + config.name();
    if (group(config).equals(before) || !config.kafka().groupId().isEmpty()) {
      return;
    }
    Topics topics = new Topics(config.kafka().topicPrefix());
    if (!committed(admin, group(config), topics).isEmpty()) {
      return;
    }
    Map<TopicPartition, OffsetAndMetadata> old = committed(admin, before, topics);
    if (!old.isEmpty()) {
      await(admin.alterConsumerGroupOffsets(group(config), old).all());
    }
  }

  private static Map<TopicPartition, OffsetAndMetadata> committed(
      Admin admin, String group, Topics topics) {
    Map<TopicPartition, OffsetAndMetadata> all =
        await(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
    Map<TopicPartition, OffsetAndMetadata> own = new HashMap<>(all);
    own.values().removeIf(Objects::isNull);
    own.keySet()
        .removeIf(
            partition ->
                !partition.topic().equals(topics.pairs())
                    && !partition.topic().equals(topics.adaptersControl()));
    return own;
  }

  private static <T> T await(KafkaFuture<T> answer) {
    try {
      return answer.toCompletionStage().toCompletableFuture().join();
    } catch (CompletionException e) {
      throw e.getCause() instanceof KafkaException kafka ? kafka : new KafkaException(e.getCause());
    }
  }

  private static SinkOptions exactlyOnce(FineTuneConfig config, String sink) {
    return new SinkOptions(
        config.kafka().connection(),
        DeliveryGuarantee.EXACTLY_ONCE,
        "whetstream-finetune-" + stream(config) + "-" + sink,
        config.kafka().transactionTimeout());
  }

  private static SlotSharingGroup trainerSlot(FineTuneConfig config) {
    FineTuneConfig.Resources resources = config.resources();
    SlotSharingGroup.Builder slot = SlotSharingGroup.newBuilder("trainer");
    if (resources.gpus() > 0) {
      slot.setCpuCores(resources.cpuCores())
          .setTaskHeapMemoryMB((int) (resources.heap().bytes() >> 20))
          .setExternalResource("gpu", resources.gpus());
    }
    return slot.build();
  }

  private static void configure(StreamExecutionEnvironment env, FineTuneConfig config) {
    Configuration flink = new Configuration();
    flink.set(PipelineOptions.GENERIC_TYPES, false);
    if (env.getConfiguration().getOptional(StateBackendOptions.STATE_BACKEND).isEmpty()) {
      flink.set(StateBackendOptions.STATE_BACKEND, "rocksdb");
      flink.set(CheckpointingOptions.INCREMENTAL_CHECKPOINTS, true);
    }
    if (config.deterministic()) {
      // Training may wait for the registry, and the input with it: barriers then overtake it.
      flink.set(CheckpointingOptions.ENABLE_UNALIGNED, true);
      flink.set(CheckpointingOptions.ALIGNED_CHECKPOINT_TIMEOUT, OVERTAKE_AFTER);
    }
    if (!config.checkpoint().directory().isEmpty()) {
      flink.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, config.checkpoint().flinkDirectory());
    }
    env.configure(flink);
    env.enableCheckpointing(
        config.checkpoint().interval(env.getConfiguration()).toMillis(),
        CheckpointingMode.EXACTLY_ONCE);
    env.getCheckpointConfig().setCheckpointTimeout(config.checkpoint().timeout().toMillis());
  }
}
