package io.whetstream.jobs.score;

import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.Embedding;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.types.Read;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.KafkaSourceOptions;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.datastream.AsyncDataStream;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * The operators between the topics: matcher and suppressor with their side outputs.
 *
 * @param alerts what is raised
 * @param withheld what quarantines kept from being raised
 * @param answers to queries, quarantines among them
 * @param badItems dead letters
 * @param vectors of items; empty unless {@code output.embeddings} is set
 */
record ScoreGraph(
    DataStream<Alert> alerts,
    DataStream<Alert> withheld,
    DataStream<QueryStatus> answers,
    DataStream<DeadLetter> badItems,
    DataStream<Embedding> vectors) {
  private static final Duration PARTITIONS_WITHIN = Duration.ofSeconds(5);

  static ScoreGraph build(
      StreamExecutionEnvironment env,
      DataStream<Read<Item>> items,
      ScoreConfig config,
      ScoreParts parts) {
    return build(env, items, config, parts, new SimilarityMatcher(config, parts));
  }

  static ScoreGraph build(
      StreamExecutionEnvironment env,
      DataStream<Read<Item>> items,
      ScoreConfig config,
      ScoreParts parts,
      SimilarityMatcher matcher) {
    KafkaSource<ControlRecord> source =
        KafkaSource.<ControlRecord>builder()
            .setProperties(config.clientProperties())
            .setProperty("isolation.level", "read_committed")
            // A query in a partition that was added is not to wait for minutes.
            .setProperty(
                KafkaSourceOptions.PARTITION_DISCOVERY_INTERVAL_MS.key(),
                Long.toString(PARTITIONS_WITHIN.toMillis()))
            .setTopics(
                parts.topics().adaptersControl(),
                parts.topics().adapters(),
                parts.topics().queries())
            .setGroupId(config.name() + "-control")
            // The matcher skips what it has read itself before its first item.
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setDeserializer(new ControlRecord.Schema())
            .build();
    SingleOutputStreamOperator<ControlRecord> read =
        env.fromSource(
                source,
                WatermarkStrategy.noWatermarks(),
                "queries, adapters, control",
                TypeInformation.of(ControlRecord.class))
            .uid("control-source")
            .setParallelism(1);
    // A slow image holds up the queries behind it, and nothing else.
    String queries = parts.topics().queries();
    DataStream<ControlRecord> control =
        AsyncDataStream.orderedWait(
                read.filter(record -> record.topic().equals(queries))
                    .name("queries")
                    .uid("queries-of-control")
                    .setParallelism(1),
                new QueryImageFetch(config, parts),
                config.images().totalTimeout().multipliedBy(4).toMillis(),
                TimeUnit.MILLISECONDS,
                config.images().concurrency())
            .returns(TypeInformation.of(ControlRecord.class))
            .name("query images")
            .uid("query-images")
            .setParallelism(1)
            .union(
                read.filter(record -> !record.topic().equals(queries))
                    .name("adapters, control")
                    .uid("adapters-of-control")
                    .setParallelism(1));
    SingleOutputStreamOperator<MatchedItem> matched =
        items
            .connect(control.broadcast())
            .transform("similarity matcher", TypeInformation.of(MatchedItem.class), matcher)
            .uid("similarity-matcher")
            .setParallelism(config.parallelism());
    SingleOutputStreamOperator<Alert> alerts =
        matched
            .keyBy(MatchedItem::queryId)
            .process(new AlertSuppressor(config))
            .returns(TypeInformation.of(Alert.class))
            .name("alert suppressor")
            .uid("alert-suppressor")
            .setParallelism(config.parallelism());
    return new ScoreGraph(
        alerts,
        alerts.getSideOutput(AlertSuppressor.WITHHELD),
        matched
            .getSideOutput(SimilarityMatcher.ANSWERS)
            .union(alerts.getSideOutput(AlertSuppressor.EVENTS)),
        matched.getSideOutput(SimilarityMatcher.BAD_ITEMS),
        matched.getSideOutput(SimilarityMatcher.VECTORS));
  }
}
