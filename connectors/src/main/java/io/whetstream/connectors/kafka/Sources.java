package io.whetstream.connectors.kafka;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.image.ImageFetch;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.connectors.types.Read;
import io.whetstream.connectors.types.Types;
import java.util.concurrent.TimeUnit;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.KafkaSourceBuilder;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.metrics.Counter;
import org.apache.flink.streaming.api.datastream.AsyncDataStream;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

/** Records from Kafka. */
public final class Sources {
  private static final OutputTag<DeadLetter> DEAD =
      new OutputTag<>("dead-letters", Types.DEAD_LETTER);

  private Sources() {}

  /**
   * A topic being read.
   *
   * @param reads what could be read, in order within a partition, with its raw bytes; tombstones
   *     too if they were asked for
   * @param deadLetters what could not
   * @param <T> the record
   */
  public record Stream<T extends StreamRecord>(
      SingleOutputStreamOperator<Read<T>> reads, DataStream<DeadLetter> deadLetters) {}

  /**
   * For each fetch at a time, so many records may wait for theirs before the source does. Those of
   * a host that does not answer wait until they are late, four times {@code images.totalTimeout}.
   */
  private static final int WAITING_PER_FETCH = 64;

  /** The bare Kafka source: read_committed, one {@link Read} for each record, never failing. */
  public static <T extends StreamRecord> KafkaSource<Read<T>> source(
      RecordType<T> type, SourceOptions options) {
    KafkaSourceBuilder<Read<T>> builder =
        KafkaSource.<Read<T>>builder()
            .setProperties(options.kafka().clientProperties())
            .setProperty("isolation.level", "read_committed")
            // A consumer that commits by itself makes a restart before the first checkpoint begin
            // behind what no state has seen.
            .setProperty("enable.auto.commit", "false")
            .setProperty("allow.auto.create.topics", "false")
            .setProperty(
                "max.partition.fetch.bytes",
                options
                    .kafka()
                    .properties()
                    .getOrDefault(
                        "max.partition.fetch.bytes", Integer.toString(Topics.MAX_RECORD_BYTES)))
            .setBootstrapServers(options.kafka().bootstrapServers())
            .setGroupId(options.groupId())
            .setTopics(options.topic())
            .setStartingOffsets(StartOffsets.of(options))
            .setDeserializer(new RecordDeserializer<>(type, options));
    return (options.boundedAtEnd() ? builder.setBounded(OffsetsInitializer.latest()) : builder)
        .build();
  }

  /**
   * Reads a topic: source with per-partition watermarks, images fetched if asked for, dead letters
   * split off. Where images are fetched, a record may overtake others between two watermarks, so
   * that a host that is slow holds up its own alone. Operators are named after the topic and have
   * uids that begin with {@code uid}.
   */
  public static <T extends StreamRecord> Stream<T> read(
      StreamExecutionEnvironment env, RecordType<T> type, SourceOptions options, String uid) {
    return read(env, type, options, uid, false);
  }

  /**
   * As {@link #read}, but records leave in the order of their partition: one whose image is late
   * holds up those behind it.
   */
  public static <T extends StreamRecord> Stream<T> readInOrder(
      StreamExecutionEnvironment env, RecordType<T> type, SourceOptions options, String uid) {
    return read(env, type, options, uid, true);
  }

  private static <T extends StreamRecord> Stream<T> read(
      StreamExecutionEnvironment env,
      RecordType<T> type,
      SourceOptions options,
      String uid,
      boolean inOrder) {
    SingleOutputStreamOperator<Read<T>> reads =
        env.fromSource(
                source(type, options),
                EventTime.strategy(options.eventTime()),
                options.topic(),
                Read.typeInfo(type))
            .uid(uid + "-source");
    if (options.images() != null) {
      long patience = options.images().totalTimeout().multipliedBy(4).toMillis();
      int concurrency = options.images().concurrency();
      ImageFetch<T> fetch = new ImageFetch<>(type, options.images());
      reads =
          (inOrder
                  ? AsyncDataStream.orderedWait(
                      reads, fetch, patience, TimeUnit.MILLISECONDS, concurrency)
                  : AsyncDataStream.unorderedWait(
                      reads,
                      fetch,
                      patience,
                      TimeUnit.MILLISECONDS,
                      WAITING_PER_FETCH * concurrency))
              .returns(Read.typeInfo(type))
              .name(options.topic() + " images")
              .uid(uid + "-images");
    }
    SingleOutputStreamOperator<Read<T>> good =
        reads
            .process(new Split<T>())
            .returns(Read.typeInfo(type))
            .name(options.topic() + " dead letters")
            .uid(uid + "-split");
    return new Stream<>(good, good.getSideOutput(DEAD));
  }

  private static final class Split<T extends StreamRecord>
      extends ProcessFunction<Read<T>, Read<T>> {
    private static final long serialVersionUID = 1L;

    private transient Counter dead;

    @Override
    public void processElement(Read<T> read, Context context, Collector<Read<T>> out) {
      if (read.deadLetter() == null) {
        out.collect(read);
        return;
      }
      if (dead == null) {
        dead = getRuntimeContext().getMetricGroup().addGroup("whetstream").counter("deadLetters");
      }
      dead.inc();
      context.output(DEAD, read.deadLetter());
    }
  }
}
