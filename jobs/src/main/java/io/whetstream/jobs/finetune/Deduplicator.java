package io.whetstream.jobs.finetune;

import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.types.Read;
import java.util.List;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.metrics.Counter;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Lets the first pair of an id through and drops the others for a while of event time, so that what
 * a producer sends twice is trained once. Forgetting is by event time too: a replay of old records
 * decides as the first run did. A dead letter that is sent back passes if it was the one let
 * through: then nothing was trained under its id. How many were dropped is counted in state, so
 * that counts of pairs add up over restarts.
 */
final class Deduplicator
    extends KeyedProcessFunction<String, Read<ImageTextPair>, Read<ImageTextPair>>
    implements CheckpointedFunction {
  private static final long serialVersionUID = 1L;

  private final long remember;

  private transient ValueState<Long> first;
  private transient ValueState<String> passed;
  private transient ListState<Long> dropped;
  private transient long droppedBefore;
  private transient Counter duplicates;

  /**
   * @param remember milliseconds of event time after an id's first pair
   */
  Deduplicator(long remember) {
    this.remember = remember;
  }

  @Override
  public void initializeState(FunctionInitializationContext context) throws Exception {
    dropped =
        context
            .getOperatorStateStore()
            .getListState(new ListStateDescriptor<>("dropped", Types.LONG));
    droppedBefore = 0;
    for (long count : dropped.get()) {
      droppedBefore += count;
    }
  }

  @Override
  public void snapshotState(FunctionSnapshotContext context) throws Exception {
    dropped.update(List.of(duplicates()));
  }

  @Override
  public void open(OpenContext context) {
    first = getRuntimeContext().getState(new ValueStateDescriptor<>("first", Types.LONG));
    passed = getRuntimeContext().getState(new ValueStateDescriptor<>("passed", Types.STRING));
    duplicates =
        getRuntimeContext().getMetricGroup().addGroup("deduplicator").counter("duplicates");
    duplicates.inc(droppedBefore);
  }

  /** Pairs dropped, before restores too. */
  long duplicates() {
    return duplicates.getCount();
  }

  @Override
  public void processElement(
      Read<ImageTextPair> read, Context context, Collector<Read<ImageTextPair>> out)
      throws Exception {
    long time = read.value().eventTime();
    Long seen = first.value();
    boolean sentBack = read.origin() != null && read.origin().toString().equals(passed.value());
    if (seen != null && time < seen + remember && !sentBack) {
      duplicates.inc();
      return;
    }
    first.update(time);
    passed.update(read.at().toString());
    context.timerService().registerEventTimeTimer(forgetAt(time));
    out.collect(read);
  }

  @Override
  public void onTimer(long timestamp, OnTimerContext context, Collector<Read<ImageTextPair>> out)
      throws Exception {
    Long seen = first.value();
    if (seen != null && forgetAt(seen) <= timestamp) {
      first.clear();
      passed.clear();
    }
  }

  private long forgetAt(long time) {
    return Math.min(time, Long.MAX_VALUE / 2) + remember;
  }
}
