package io.whetstream.jobs.finetune;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.Sources;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.types.Read;
import io.whetstream.connectors.types.Types;
import io.whetstream.jobs.config.Nearest;
import io.whetstream.model.BadInputException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.List;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.table.api.Table;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.table.catalog.Column;
import org.apache.flink.types.Row;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

/**
 * Rows of a table as pairs. A row is read as the JSON that it would be in the topic {@code pairs},
 * so what a pair must be is said in one place, and a row that is none is a dead letter that can be
 * sent to that topic after a fix.
 *
 * <p>Rows have no offsets. They are counted by subtask, in state, and the count stands in lineage
 * and dead letters where an offset stands otherwise.
 */
final class TablePairs extends ProcessFunction<Row, Read<ImageTextPair>>
    implements CheckpointedFunction {
  private static final long serialVersionUID = 1L;
  private static final OutputTag<DeadLetter> DEAD = new OutputTag<>("dead-rows", Types.DEAD_LETTER);
  private static final ObjectMapper JSON = new ObjectMapper();

  /** Of the topic's fields those that a table can give; the image itself, not its URI. */
  private static final List<String> KNOWN =
      List.of("id", "image", "caption", "captionLong", "source", "eventTime");

  private final List<String> columns;
  private transient RecordCodec<ImageTextPair> codec;
  private transient ListState<Long> state;
  private transient int subtask;
  private transient long rows;

  private TablePairs(List<String> columns) {
    this.columns = columns;
  }

  /**
   * The pairs of a table.
   *
   * @throws BadInputException naming the column that is not known, or missing
   */
  static Sources.Stream<ImageTextPair> of(
      StreamTableEnvironment sql, Table table, FineTuneConfig config) {
    List<String> columns =
        table.getResolvedSchema().getColumns().stream().map(Column::getName).toList();
    for (String column : columns) {
      if (!KNOWN.contains(column)) {
        throw new BadInputException(
            "unknown column '"
                + column
                + "' of pairs; the nearest known one is '"
                + Nearest.of(column, KNOWN)
                + "' (known: "
                + String.join(", ", KNOWN)
                + ")");
      }
    }
    for (String needed : List.of("id", "image")) {
      if (!columns.contains(needed)) {
        throw new BadInputException("the column " + needed + " of pairs is missing");
      }
    }
    SingleOutputStreamOperator<Read<ImageTextPair>> reads =
        sql.toDataStream(table)
            .process(new TablePairs(columns))
            .returns(Read.typeInfo(RecordType.PAIR))
            .name("pairs of a table")
            .uid("table-pairs");
    SingleOutputStreamOperator<Read<ImageTextPair>> timed =
        reads
            .assignTimestampsAndWatermarks(
                WatermarkStrategy.<Read<ImageTextPair>>forBoundedOutOfOrderness(
                        config.prepare().allowedLateness())
                    .withTimestampAssigner((read, unused) -> read.value().eventTime())
                    .withIdleness(config.prepare().idleness()))
            .name("times of pairs")
            .uid("table-pairs-times");
    return new Sources.Stream<>(timed, reads.getSideOutput(DEAD));
  }

  @Override
  public void initializeState(FunctionInitializationContext context) throws Exception {
    state =
        context
            .getOperatorStateStore()
            .getUnionListState(
                new ListStateDescriptor<>("rows", org.apache.flink.api.common.typeinfo.Types.LONG));
    for (long counted : state.get()) {
      // Subtasks may have been more or fewer: no number is given twice.
      rows = Math.max(rows, counted);
    }
  }

  @Override
  public void snapshotState(FunctionSnapshotContext context) throws Exception {
    state.update(List.of(rows));
  }

  @Override
  public void open(OpenContext context) {
    codec = RecordFormat.json().codec(RecordType.PAIR, "pairs-value");
    subtask = getRuntimeContext().getTaskInfo().getIndexOfThisSubtask();
  }

  @Override
  public void processElement(Row row, Context context, Collector<Read<ImageTextPair>> out)
      throws JsonProcessingException {
    ObjectNode json = JSON.createObjectNode();
    for (int i = 0; i < columns.size(); i++) {
      json.set(columns.get(i), JSON.valueToTree(plain(row.getField(i))));
    }
    byte[] raw = JSON.writeValueAsBytes(json);
    Coordinates at = new Coordinates("table", subtask, rows++);
    long now = context.timerService().currentProcessingTime();
    byte[] key = json.path("id").asText().getBytes(StandardCharsets.UTF_8);
    try {
      out.collect(Read.of(at, now, key, raw, codec.decode(raw, at, now)));
    } catch (BadInputException e) {
      context.output(DEAD, Read.<ImageTextPair>of(at, now, key, raw, null).deadLetter("decode", e));
    }
  }

  private static Object plain(Object value) {
    return value instanceof Instant time ? time.toEpochMilli() : value;
  }
}
