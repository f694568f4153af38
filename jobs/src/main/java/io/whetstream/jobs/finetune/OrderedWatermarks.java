package io.whetstream.jobs.finetune;

import java.util.List;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.watermark.Watermark;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;

/**
 * Event time for deterministic mode: a watermark after every record that moves time on, and the
 * time reached is state. Flink's own generators start again from the beginning of time after a
 * restore, so a late record could close a group that it would not have closed without the fault.
 *
 * @param <T> type of records
 */
final class OrderedWatermarks<T> extends AbstractStreamOperator<T>
    implements OneInputStreamOperator<T, T> {
  private static final long serialVersionUID = 1L;

  private final long lateness;

  private transient ListState<Long> state;
  private transient long reached;

  /**
   * @param lateness milliseconds that watermarks stay behind the newest record
   */
  OrderedWatermarks(long lateness) {
    this.lateness = lateness;
  }

  @Override
  public void initializeState(StateInitializationContext context) throws Exception {
    super.initializeState(context);
    state =
        context
            .getOperatorStateStore()
            .getListState(new ListStateDescriptor<>("reached", Types.LONG));
    reached = Long.MIN_VALUE;
    for (long restored : state.get()) {
      reached = Math.max(reached, restored);
    }
  }

  @Override
  public void processElement(StreamRecord<T> element) {
    long now = element.getTimestamp() - lateness - 1;
    output.collect(element);
    if (now > reached) {
      reached = now;
      output.emitWatermark(new Watermark(now));
    }
  }

  /** Only the end of time passes: what comes before it is said by records. */
  @Override
  public void processWatermark(Watermark mark) {
    if (mark.equals(Watermark.MAX_WATERMARK)) {
      output.emitWatermark(mark);
    }
  }

  @Override
  public void snapshotState(StateSnapshotContext context) throws Exception {
    super.snapshotState(context);
    state.update(List.of(reached));
  }
}
