package io.whetstream.jobs.score;

import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * The operators between the topics: matcher and suppressor with their side outputs.
 *
 * @param alerts what is raised
 * @param answers to queries, quarantines among them
 * @param badItems dead letters
 * @param vectors of items; empty unless {@code output.embeddings} is set
 */
record ScoreGraph(
    DataStream<RaisedAlert> alerts,
    DataStream<QueryAnswer> answers,
    DataStream<BadItem> badItems,
    DataStream<ItemVector> vectors) {

  static ScoreGraph build(
      StreamExecutionEnvironment env,
      DataStream<IncomingItem> items,
      ScoreConfig config,
      ScoreParts parts) {
    return build(env, items, config, parts, new SimilarityMatcher(config, parts));
  }

  static ScoreGraph build(
      StreamExecutionEnvironment env,
      DataStream<IncomingItem> items,
      ScoreConfig config,
      ScoreParts parts,
      SimilarityMatcher matcher) {
    KafkaSource<ControlRecord> source =
        KafkaSource.<ControlRecord>builder()
            .setProperties(config.clientProperties())
            .setProperty("isolation.level", "read_committed")
            .setTopics(
                parts.controlTopic(config), parts.adaptersTopic(config), parts.queriesTopic(config))
            .setGroupId(config.name() + "-control")
            // The matcher skips what it has read itself before its first item.
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setDeserializer(new ControlRecord.Schema())
            .build();
    DataStream<ControlRecord> control =
        env.fromSource(
                source,
                WatermarkStrategy.noWatermarks(),
                "queries, adapters, control",
                TypeInformation.of(ControlRecord.class))
            .uid("control-source")
            .setParallelism(1);
    SingleOutputStreamOperator<MatchedItem> matched =
        items
            .connect(control.broadcast())
            .transform("similarity matcher", TypeInformation.of(MatchedItem.class), matcher)
            .uid("similarity-matcher")
            .setParallelism(config.parallelism());
    SingleOutputStreamOperator<RaisedAlert> alerts =
        matched
            .keyBy(MatchedItem::queryId)
            .process(new AlertSuppressor(config))
            .returns(TypeInformation.of(RaisedAlert.class))
            .name("alert suppressor")
            .uid("alert-suppressor")
            .setParallelism(config.parallelism());
    return new ScoreGraph(
        alerts,
        matched
            .getSideOutput(SimilarityMatcher.ANSWERS)
            .union(alerts.getSideOutput(AlertSuppressor.EVENTS)),
        matched.getSideOutput(SimilarityMatcher.BAD_ITEMS),
        matched.getSideOutput(SimilarityMatcher.VECTORS));
  }
}
