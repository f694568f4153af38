package io.whetstream.jobs.finetune;

import io.whetstream.connectors.kafka.Sources;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.model.BadInputException;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.Table;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

/**
 * The fine-tune job on the rows of a table. A class of its own, because {@link FineTuneJob} is
 * loaded where Flink's table classes are not, and its methods are looked through there.
 */
public final class FineTuneTableJob {
  private FineTuneTableJob() {}

  /**
   * Adds the job to the environment of a table, whose rows are its pairs in place of the topic's.
   * The other topics are used as ever, dead letters among them.
   *
   * @param pairs insert-only; {@code id STRING, image BYTES, caption STRING} and {@code captionLong
   *     STRING} or one of them, and if wanted {@code source STRING} and {@code eventTime}
   *     (milliseconds or {@code TIMESTAMP_LTZ})
   * @throws BadInputException if the table or the configuration does not fit
   */
  public static void from(StreamTableEnvironment sql, Table pairs, FineTuneConfig config) {
    from(sql, pairs, config, TrainerHooks.NONE);
  }

  static StreamExecutionEnvironment from(
      StreamTableEnvironment sql, Table pairs, FineTuneConfig config, TrainerHooks hooks) {
    if (config.deterministic()) {
      throw new BadInputException(
          "deterministic: true needs the topic pairs: the rows of a table have no lasting order");
    }
    Sources.Stream<ImageTextPair> rows = TablePairs.of(sql, pairs, config);
    StreamExecutionEnvironment env = rows.reads().getExecutionEnvironment();
    FineTuneJob.build(env, config, false, hooks, FineTuneJob.pairs(config, rows));
    return env;
  }
}
