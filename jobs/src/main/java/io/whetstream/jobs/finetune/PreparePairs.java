package io.whetstream.jobs.finetune;

import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.types.Read;
import io.whetstream.connectors.types.Types;
import io.whetstream.model.BadInputException;
import io.whetstream.model.image.ImageDecoder;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.text.TextTokenizer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.BasicTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.streaming.api.TimerService;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

/**
 * Lets the first usable pair of an id through, decoded, resized and tokenized, so that whatever
 * comes later can be trained on. Keyed by id.
 *
 * <p>Further pairs of the id are dropped for a while of event time, so that what a producer sends
 * twice is trained once. Forgetting is by event time too: a replay of old records decides as the
 * first run did, and an id that comes behind the watermark is remembered as long from there. What
 * cannot be used goes to dead letters with its bytes as they were read, and its id is not
 * remembered: the same pair corrected is taken. How many were dropped is counted in state, so that
 * counts of pairs add up over restarts.
 */
final class PreparePairs extends KeyedProcessFunction<String, Read<ImageTextPair>, PreparedImage>
    implements CheckpointedFunction {
  private static final long serialVersionUID = 2L;

  static final OutputTag<DeadLetter> DEAD = new OutputTag<>("unusable-pairs", Types.DEAD_LETTER);

  private final FineTuneConfig config;
  private final long remember;

  /** Event time of the pair let through. */
  private transient ValueState<Long> first;

  /** Event time until which it is remembered; none in what earlier releases wrote. */
  private transient ValueState<Long> until;

  /** Where the pair let through lay, in what earlier releases wrote: it may have been refused. */
  private transient ValueState<String> passed;

  private transient ListState<Long> dropped;
  private transient long droppedBefore;
  private transient ImageDecoder decoder;
  private transient ImageProcessor images;
  private transient TextTokenizer tokenizer;
  private transient Counter duplicates;
  private transient Counter accepted;
  private transient Counter refused;

  PreparePairs(FineTuneConfig config) {
    this.config = config;
    remember = config.prepare().deduplicateFor().toMillis();
  }

  @Override
  public void initializeState(FunctionInitializationContext context) throws Exception {
    dropped =
        context
            .getOperatorStateStore()
            .getListState(new ListStateDescriptor<>("dropped", BasicTypeInfo.LONG_TYPE_INFO));
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
    first = state("first", BasicTypeInfo.LONG_TYPE_INFO);
    until = state("until", BasicTypeInfo.LONG_TYPE_INFO);
    passed = state("passed", BasicTypeInfo.STRING_TYPE_INFO);
    decoder = new ImageDecoder(config.prepare().maxPixels());
    try {
      Path base = config.base().directory();
      images = ImageProcessor.open(base);
      tokenizer = TextTokenizer.open(base);
    } catch (BadInputException e) {
      // Another attempt would fail the same way.
      throw new SuppressRestartsException(e);
    }
    MetricGroup all = getRuntimeContext().getMetricGroup();
    duplicates = all.addGroup("deduplicator").counter("duplicates");
    duplicates.inc(droppedBefore);
    MetricGroup metrics = all.addGroup("preparePairs");
    accepted = metrics.counter("acceptedPairs");
    refused = metrics.counter("refusedPairs");
  }

  private <T> ValueState<T> state(String name, TypeInformation<T> type) {
    return getRuntimeContext().getState(new ValueStateDescriptor<>(name, type));
  }

  /** Pairs dropped, before restores too. */
  long duplicates() {
    return duplicates.getCount();
  }

  @Override
  public void processElement(
      Read<ImageTextPair> read, Context context, Collector<PreparedImage> out) throws Exception {
    long time = read.value().eventTime();
    Long seen = first.value();
    boolean sentBack = read.origin() != null && read.origin().toString().equals(passed.value());
    if (seen != null && time < seen + remember && !sentBack) {
      duplicates.inc();
      return;
    }
    PreparedImage prepared;
    try {
      prepared = prepare(read);
    } catch (BadInputException e) {
      refused.inc();
      context.output(DEAD, read.deadLetter("prepare", e));
      return;
    }
    remember(time, context.timerService());
    accepted.inc();
    out.collect(prepared);
  }

  /** A late pair's time is past already: what counts from it would be forgotten at once. */
  private void remember(long time, TimerService timers) throws Exception {
    long end = forgetAt(Math.max(time, timers.currentWatermark()));
    first.update(time);
    until.update(end);
    passed.clear();
    timers.registerEventTimeTimer(end);
  }

  @Override
  public void onTimer(long timestamp, OnTimerContext context, Collector<PreparedImage> out)
      throws Exception {
    Long seen = first.value();
    if (seen == null) {
      return;
    }
    Long end = until.value();
    if ((end == null ? forgetAt(seen) : end) <= timestamp) {
      first.clear();
      until.clear();
      passed.clear();
    }
  }

  private long forgetAt(long time) {
    return Math.min(time, Long.MAX_VALUE / 2) + remember;
  }

  private PreparedImage prepare(Read<ImageTextPair> read) {
    ImageTextPair pair = read.value();
    String where = "pair '" + pair.id() + "' at " + read.at();
    if (pair.image() == null) {
      throw new BadInputException(
          where + " has its image at " + pair.imageUri() + ", which was not fetched");
    }
    ModelImage image = images.process(decoder.decode(pair.image(), where));
    requireTokens(pair.caption(), where, "caption");
    requireTokens(pair.captionLong(), where, "captionLong");
    String text = pair.caption() == null ? pair.captionLong() : pair.caption();
    MinedPair mined =
        new MinedPair(
            pair.id(),
            pair.image(),
            pair.caption(),
            pair.captionLong(),
            PairIds.digest(pair.image()),
            PairIds.digest(text.getBytes(StandardCharsets.UTF_8)),
            new byte[0],
            0,
            pair.eventTime(),
            read.at().partition(),
            read.at().offset());
    return new PreparedImage(mined, image);
  }

  private void requireTokens(String caption, String where, String field) {
    if (caption != null && tokenizer.encode(caption).length == 0) {
      throw new BadInputException(where + ": " + field + " holds no token");
    }
  }

  @Override
  public void close() {
    if (tokenizer != null) {
      tokenizer.close();
    }
  }
}
