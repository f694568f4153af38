package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.kafka.DeadLetters;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.jobs.finetune.Faults.Place;
import io.whetstream.model.BadInputException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.flink.api.common.JobID;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.Table;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.types.Row;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The fine-tune job fed by a table of the user's own pipeline, without the topic between. */
@Tag("cluster")
@Timeout(300)
class PairsFromTableTest {
  @TempDir private static Path directory;
  private static FineTuneHarness harness;

  @BeforeAll
  static void start() throws Exception {
    harness = new FineTuneHarness(directory);
  }

  @AfterAll
  static void stop() throws Exception {
    harness.close();
  }

  private static StreamTableEnvironment environment() {
    StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
    env.setParallelism(1);
    return StreamTableEnvironment.create(env);
  }

  private static Table table(StreamTableEnvironment sql, List<Row> rows) {
    return sql.fromValues(
        DataTypes.ROW(
            DataTypes.FIELD("id", DataTypes.STRING()),
            DataTypes.FIELD("image", DataTypes.BYTES()),
            DataTypes.FIELD("caption", DataTypes.STRING()),
            DataTypes.FIELD("eventTime", DataTypes.BIGINT())),
        rows.toArray());
  }

  @Test
  void rowsBecomeAdaptersAndWhatIsNoPairIsADeadLetter() throws Exception {
    FineTuneConfig config = harness.config("table", 1, FineTuneJobTest.TINY);
    List<ImageTextPair> pairs = FineTuneJobTest.pairs(9, 120);
    List<Row> rows = new ArrayList<>();
    for (ImageTextPair pair : pairs) {
      String text = pair.caption() == null ? pair.captionLong() : pair.caption();
      rows.add(Row.of(pair.id(), pair.image(), text, pair.eventTime()));
    }
    rows.add(Row.of("speechless", pairs.get(0).image(), null, 5L));
    rows.add(Row.of("torn", "no image".getBytes(StandardCharsets.UTF_8), "a cat", 6L));
    StreamTableEnvironment sql = environment();
    Faults run = Faults.of("table", Place.NOWHERE);
    StreamExecutionEnvironment env = FineTuneTableJob.from(sql, table(sql, rows), config, run);
    JobID job =
        harness
            .cluster()
            .submitJob(env.getStreamGraph().getJobGraph())
            .get(60, TimeUnit.SECONDS)
            .getJobID();
    FineTuneHarness.await(
        "adapters are announced",
        Duration.ofMinutes(3),
        () -> harness.announcements(config).size() >= 2 && harness.deadLetters(config).size() == 2);
    harness.drain(job);
    assertEquals(
        Ledger.of(pairs.stream().map(ImageTextPair::id).toList()),
        run.record().outcome().accepted());
    assertEquals(
        List.of("decode", "prepare"),
        harness.deadLetters(config).stream()
            .map(letter -> DeadLetters.read(letter).stage())
            .sorted()
            .toList());
  }

  @Test
  void aTableOfOtherColumnsIsRefusedWithTheNearest() {
    FineTuneConfig config = harness.config("columns", 1, FineTuneJobTest.TINY);
    StreamTableEnvironment sql = environment();
    Table misspelt =
        sql.fromValues(
            DataTypes.ROW(
                DataTypes.FIELD("id", DataTypes.STRING()),
                DataTypes.FIELD("image", DataTypes.BYTES()),
                DataTypes.FIELD("captoin", DataTypes.STRING())),
            Row.of("a", new byte[1], "b"));
    BadInputException refused =
        assertThrows(BadInputException.class, () -> FineTuneTableJob.from(sql, misspelt, config));
    assertTrue(refused.getMessage().contains("nearest known one is 'caption'"));
  }
}
