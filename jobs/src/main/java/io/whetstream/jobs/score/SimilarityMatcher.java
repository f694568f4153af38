package io.whetstream.jobs.score;

import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.Embedding;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.MatchKind.Side;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.types.Read;
import io.whetstream.model.BadInputException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ScheduledFuture;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeutils.base.array.BytePrimitiveArraySerializer;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.BoundedMultiInput;
import org.apache.flink.streaming.api.operators.TwoInputStreamOperator;
import org.apache.flink.streaming.api.watermark.Watermark;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.runtime.watermarkstatus.WatermarkStatus;
import org.apache.flink.util.OutputTag;

/**
 * Matches items (first input) against the watchlist under the adapter in use (second input:
 * queries, announcements and control records, broadcast).
 *
 * <p>Before it takes an item, at a fresh start and at a restore, it reads {@code adapters.control},
 * {@code adapters} and {@code queries} to their ends with a consumer of its own and embeds the
 * watchlist; records of the second input that were read so are skipped. Without an adapter it waits
 * there, and items stay in Kafka.
 *
 * <p>Items are gathered into micro-batches by size and processing time, and flushed before each
 * watermark, checkpoint barrier and the end of input, so no item is part of a checkpoint's state:
 * exactly once is the source's offsets and the sink's transaction. Watermarks come from items only.
 *
 * <p>Failure semantics: an item that cannot be decoded or embedded goes to {@link #BAD_ITEMS}; a
 * query that cannot be used is answered with the reason on {@link #ANSWERS}; an adapter that cannot
 * be used is refused in log and metric and the one in use stays. Anything else fails the task, and
 * the restart matches the items since the last checkpoint again.
 */
final class SimilarityMatcher extends AbstractStreamOperator<MatchedItem>
    implements TwoInputStreamOperator<Read<Item>, ControlRecord, MatchedItem>, BoundedMultiInput {
  private static final long serialVersionUID = 1L;

  /** Answers to queries; from the first subtask only. */
  static final OutputTag<QueryStatus> ANSWERS =
      new OutputTag<>("answers", TypeInformation.of(QueryStatus.class));

  /** Items that could not be embedded. */
  static final OutputTag<DeadLetter> BAD_ITEMS =
      new OutputTag<>("bad-items", TypeInformation.of(DeadLetter.class));

  /** Vectors of items, if asked for. */
  static final OutputTag<Embedding> VECTORS =
      new OutputTag<>("vectors", TypeInformation.of(Embedding.class));

  /** An adapter in use is kept this long after the job was last seen. */
  static final Duration PIN = Duration.ofHours(1);

  private static final long WORK_INTERVAL_MILLIS = 1;

  /** After a change of adapter every query may have to be answered: items do not wait for that. */
  private static final int ANSWERS_PER_TURN = 200;

  private final ScoreConfig job;
  private final ScoreParts parts;
  private final boolean readFirst;

  private transient ListState<byte[]> state;
  private transient ListState<byte[]> sketches;
  private transient List<MatcherState> restored;
  private transient SharedResources shared;
  private transient MatcherMetrics counters;
  private transient ControlInput control;
  private transient List<Arrived> batch;
  private transient boolean flushTimerSet;
  private transient boolean workTimerSet;

  /**
   * An item that waits for its micro-batch.
   *
   * @param picture its image, which is decoded while others still come; null if it has none
   */
  private record Arrived(Read<Item> read, CompletableFuture<Embedder.Picture> picture) {}

  SimilarityMatcher(ScoreConfig job, ScoreParts parts) {
    this(job, parts, true);
  }

  /**
   * @param readFirst false leaves out the start-up read of queries, so that a test can show what it
   *     is for
   */
  SimilarityMatcher(ScoreConfig job, ScoreParts parts, boolean readFirst) {
    this.job = job;
    this.parts = parts;
    this.readFirst = readFirst;
  }

  // ---- state

  @Override
  public void initializeState(StateInitializationContext context) throws Exception {
    super.initializeState(context);
    state =
        context
            .getOperatorStateStore()
            .getUnionListState(
                new ListStateDescriptor<>("matcher", BytePrimitiveArraySerializer.INSTANCE));
    sketches =
        context
            .getOperatorStateStore()
            .getListState(
                new ListStateDescriptor<>("sketches", BytePrimitiveArraySerializer.INSTANCE));
    restored = new ArrayList<>();
    for (byte[] each : state.get()) {
      restored.add(MatcherState.fromBytes(each));
    }
  }

  @Override
  public void prepareSnapshotPreBarrier(long checkpointId) throws Exception {
    flush();
    sendAnswers(Integer.MAX_VALUE);
  }

  @Override
  public void snapshotState(StateSnapshotContext context) throws Exception {
    super.snapshotState(context);
    MatchEngine engine = control.engine();
    state.update(
        List.of(
            new MatcherState(
                    engine.serving(),
                    engine.next(),
                    control.feed().newestSeen(),
                    control.answers().acceptedRevisions(),
                    control.answers().refusedRevisions())
                .toBytes()));
    sketches.update(engine.sketches().stream().map(SketchState::toBytes).toList());
  }

  // ---- start-up

  @Override
  public void open() throws Exception {
    super.open();
    batch = new ArrayList<>(job.match().batchSize());
    MetricGroup group = getMetricGroup().addGroup("whetstream");
    counters = new MatcherMetrics(group);
    String key = getRuntimeContext().getJobInfo().getJobId() + "/" + job.base().model();
    shared = SharedResources.join(key, job.watchlist().vectorsDirectory(), () -> parts.embedder());
    boolean first = getRuntimeContext().getTaskInfo().getIndexOfThisSubtask() == 0;
    control = new ControlInput(job, parts, shared, first, counters);
    group.gauge("watchlistQueries", () -> control.engine().activeQueries());
    group.gauge("watchlistBytes", () -> shared.table().bytes());
    for (String kind :
        Arrays.stream(MatchKind.values()).map(CalibratedThresholds::name).distinct().toList()) {
      group
          .addGroup("kind", kind)
          .gauge(
              "liveShareAboveCalibration",
              () -> control.engine().liveShares().getOrDefault(kind, 0.0));
    }
    String attempt =
        getRuntimeContext().getJobInfo().getJobId()
            + "-"
            + getRuntimeContext().getTaskInfo().getAttemptNumber();
    new MatcherStartUp(job, parts, attempt, restored, control).run(readFirst);
    restored = null;
    List<SketchState> kept = new ArrayList<>();
    for (byte[] each : sketches.get()) {
      kept.add(SketchState.fromBytes(each));
    }
    control.engine().merge(kept);
    // Answers gathered while starting are sent with the first turn of the task.
    scheduleWork();
    renewPin();
  }

  /** Pins the adapters in use, and again before that runs out. */
  private void renewPin() {
    control.pin(PIN);
    after(PIN.toMillis() / 3, this::renewPin);
  }

  // ---- second input

  @Override
  public void processElement2(StreamRecord<ControlRecord> element) throws Exception {
    control.take(element.getValue());
    scheduleWork();
  }

  // ---- first input

  @Override
  public void processElement1(StreamRecord<Read<Item>> element) throws Exception {
    Read<Item> read = element.getValue();
    byte[] image = read.value().image();
    batch.add(
        new Arrived(
            read,
            image == null
                ? null
                : CompletableFuture.supplyAsync(
                    () -> shared.embedder().picture(image, read.at().toString()),
                    shared.idleCores())));
    if (batch.size() >= job.match().batchSize()) {
      flush();
      if (control.engine().hasWork()) {
        control.engine().work();
      }
    } else if (!flushTimerSet) {
      flushTimerSet = true;
      after(
          job.match().maxWait().toMillis(),
          () -> {
            flushTimerSet = false;
            flush();
          });
    }
  }

  private void flush() {
    sendAnswers(ANSWERS_PER_TURN);
    if (batch.isEmpty()) {
      return;
    }
    List<Read<Item>> items = new ArrayList<>();
    List<Embedder.Picture> pictures = new ArrayList<>();
    List<MatchEngine.Prepared> prepared = new ArrayList<>();
    for (Arrived arrived : batch) {
      Read<Item> read = arrived.read();
      Item item = read.value();
      try {
        if (item.image() == null && item.imageUri() != null) {
          throw new BadInputException("the image at " + item.imageUri() + " was not fetched");
        }
        Embedder.Picture picture = arrived.picture() == null ? null : decoded(arrived.picture());
        prepared.add(
            new MatchEngine.Prepared(picture == null ? null : picture.image(), item.text()));
        pictures.add(picture);
        items.add(read);
      } catch (BadInputException e) {
        badItem(read, e);
      }
    }
    batch.clear();
    if (items.isEmpty()) {
      return;
    }
    MatchEngine.Outcome outcome = control.engine().match(prepared);
    long now = System.currentTimeMillis();
    for (MatchEngine.Failure failure : outcome.failures()) {
      badItem(items.get(failure.item()), new BadInputException(failure.reason()));
    }
    Map<Integer, ItemContent> contents = new HashMap<>();
    for (MatchEngine.Match match : outcome.matches()) {
      ItemContent content =
          contents.computeIfAbsent(
              match.item(),
              i -> new ItemContent(items.get(i), pictures.get(i), shared.embedder().baseDigest()));
      counters.matches.inc();
      output.collect(
          new StreamRecord<>(
              MatchedItem.of(content, match, outcome.version(), now),
              content.read().value().eventTime()));
    }
    if (job.output().embeddings()) {
      for (int i = 0; i < items.size(); i++) {
        sendVector(items.get(i), Side.IMAGE, outcome.imageVectors()[i], outcome.version());
        sendVector(items.get(i), Side.TEXT, outcome.textVectors()[i], outcome.version());
      }
    }
    counters.itemsScored.inc(items.size());
    // What the scores gave reason to say is not kept until more items come.
    scheduleWork();
  }

  private static Embedder.Picture decoded(CompletableFuture<Embedder.Picture> picture) {
    try {
      return picture.join();
    } catch (CompletionException e) {
      if (e.getCause() instanceof RuntimeException cause) {
        throw cause;
      }
      throw e;
    }
  }

  private void badItem(Read<Item> item, BadInputException reason) {
    counters.badItems.inc();
    output.collect(
        BAD_ITEMS,
        new StreamRecord<>(item.deadLetter("prepare", reason), item.value().eventTime()));
  }

  private void sendVector(Read<Item> read, Side side, float[] vector, AdapterVersion version) {
    if (vector != null) {
      Item item = read.value();
      byte[] content =
          side == Side.IMAGE ? item.image() : item.text().getBytes(StandardCharsets.UTF_8);
      output.collect(
          VECTORS,
          new StreamRecord<>(
              new Embedding(
                  item.id(),
                  read.at(),
                  side,
                  Digests.sha256(content),
                  version.digest(),
                  item.eventTime(),
                  vector),
              item.eventTime()));
    }
  }

  private void sendAnswers(int most) {
    control.answers().send(most, answer -> output.collect(ANSWERS, new StreamRecord<>(answer)));
  }

  // ---- work between micro-batches

  private void scheduleWork() {
    if (workTimerSet || (!control.engine().hasWork() && control.answers().isEmpty())) {
      return;
    }
    workTimerSet = true;
    after(
        WORK_INTERVAL_MILLIS,
        () -> {
          workTimerSet = false;
          control.engine().work();
          sendAnswers(ANSWERS_PER_TURN);
          scheduleWork();
        });
  }

  /** Does something on the task's thread; the task fails if that does. */
  private void after(long millis, Runnable what) {
    ScheduledFuture<?> unused =
        getProcessingTimeService()
            .registerTimer(
                getProcessingTimeService().getCurrentProcessingTime() + millis, time -> what.run());
  }

  // ---- time and end

  @Override
  public void processWatermark1(Watermark mark) throws Exception {
    flush();
    processWatermark(mark);
  }

  @Override
  public void processWatermark2(Watermark mark) {
    // Queries and adapters have no part in the event time of items.
  }

  @Override
  protected void processWatermarkStatus(WatermarkStatus status, int input) throws Exception {
    if (input == 0) {
      processWatermarkStatus(status);
    }
  }

  @Override
  public void endInput(int inputId) {
    flush();
    sendAnswers(Integer.MAX_VALUE);
  }

  @Override
  public void finish() throws Exception {
    flush();
    sendAnswers(Integer.MAX_VALUE);
    super.finish();
  }

  @Override
  public void close() throws Exception {
    if (control != null) {
      control.close();
    }
    if (shared != null) {
      shared.close();
    }
    super.close();
  }
}
