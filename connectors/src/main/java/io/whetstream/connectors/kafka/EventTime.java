package io.whetstream.connectors.kafka;

import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.connectors.types.Read;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;

/** Watermarks that only good records move: what cannot be read has no say in what time it is. */
final class EventTime<T extends StreamRecord> implements WatermarkGenerator<Read<T>> {
  private final long outOfOrderness;
  private final boolean perRecord;
  private long highest = Long.MIN_VALUE;

  private EventTime(long outOfOrderness, boolean perRecord) {
    this.outOfOrderness = outOfOrderness;
    this.perRecord = perRecord;
  }

  static <T extends StreamRecord> WatermarkStrategy<Read<T>> strategy(
      SourceOptions.Watermarks options) {
    long lateness = options.outOfOrderness().toMillis();
    boolean perRecord = options.perRecord();
    WatermarkStrategy<Read<T>> strategy =
        WatermarkStrategy.<Read<T>>forGenerator(context -> new EventTime<>(lateness, perRecord))
            .withTimestampAssigner(
                (read, timestamp) -> read.value() == null ? timestamp : read.value().timeMillis());
    return options.idleness() == null ? strategy : strategy.withIdleness(options.idleness());
  }

  @Override
  public void onEvent(Read<T> read, long timestamp, WatermarkOutput output) {
    if (read.value() != null && timestamp > highest) {
      highest = timestamp;
      if (perRecord) {
        emit(output);
      }
    }
  }

  @Override
  public void onPeriodicEmit(WatermarkOutput output) {
    if (!perRecord && highest > Long.MIN_VALUE) {
      emit(output);
    }
  }

  private void emit(WatermarkOutput output) {
    long time = highest - outOfOrderness - 1;
    // Before the year 1 of a long there is nothing to wait for.
    output.emitWatermark(new Watermark(time > highest ? Long.MIN_VALUE : time));
  }
}
