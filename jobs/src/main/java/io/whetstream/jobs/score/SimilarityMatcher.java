package io.whetstream.jobs.score;

import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.Embedding;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.MatchKind.Side;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.types.Read;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.Calibration;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeutils.base.array.BytePrimitiveArraySerializer;
import org.apache.flink.metrics.Counter;
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
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

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
  private static final Logger LOGGER = LoggerFactory.getLogger(SimilarityMatcher.class);

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
  private static final Duration PIN = Duration.ofHours(1);

  private static final long WORK_INTERVAL_MILLIS = 1;
  private static final long IDLE_POLL_NANOS = 1_000_000;

  private final ScoreConfig config;
  private final ScoreParts parts;
  private final boolean readFirst;

  private transient ListState<byte[]> state;
  private transient ListState<byte[]> sketches;
  private transient List<MatcherState> restored;
  private transient SharedResources shared;
  private transient MatchEngine engine;
  private transient LoadedAdapter.Loader loader;
  private transient AdapterFeed feed;
  private transient Map<String, Map<Integer, Long>> alreadyRead;
  private transient Set<String> refusedAtStart;
  private transient Map<String, Long> accepted;
  private transient Map<String, Long> refused;
  private transient ArrayDeque<QueryStatus> answers;
  private transient List<Read<Item>> batch;
  private transient boolean flushTimerSet;
  private transient boolean workTimerSet;
  private transient boolean started;

  private transient Counter itemsScored;
  private transient Counter matches;
  private transient Counter badItems;
  private transient Counter adaptersRefused;
  private transient Counter queriesRefused;
  private transient Counter flips;
  private transient volatile long lastFlipNanos;

  SimilarityMatcher(ScoreConfig config, ScoreParts parts) {
    this(config, parts, true);
  }

  /**
   * @param readFirst false leaves out the start-up read of queries, so that a test can show what it
   *     is for
   */
  SimilarityMatcher(ScoreConfig config, ScoreParts parts, boolean readFirst) {
    this.config = config;
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
  }

  @Override
  public void snapshotState(StateSnapshotContext context) throws Exception {
    super.snapshotState(context);
    boolean first = isFirst();
    // Every subtask accepts the same queries: one copy is enough.
    state.update(
        List.of(
            new MatcherState(
                    engine.serving(),
                    engine.next(),
                    feed.newestSeen(),
                    first ? accepted : Map.of(),
                    first ? refused : Map.of())
                .toBytes()));
    List<byte[]> kept = new ArrayList<>();
    for (Map.Entry<String, KindThresholds> each : engine.thresholds().entrySet()) {
      kept.add(
          new SketchState(engine.serving().digest(), each.getKey(), each.getValue().toBytes())
              .toBytes());
    }
    sketches.update(kept);
  }

  private boolean isFirst() {
    return getRuntimeContext().getTaskInfo().getIndexOfThisSubtask() == 0;
  }

  // ---- start-up

  @Override
  public void open() throws Exception {
    super.open();
    alreadyRead = new HashMap<>();
    refusedAtStart = new HashSet<>();
    accepted = new HashMap<>();
    refused = new HashMap<>();
    answers = new ArrayDeque<>();
    batch = new ArrayList<>(config.match().batchSize());
    feed = new AdapterFeed();
    registerMetrics();
    String key = getRuntimeContext().getJobInfo().getJobId() + "/" + config.base().model();
    shared = SharedResources.join(key, config.watchlist().spillDirectory(), () -> parts.embedder());
    LoadedAdapter.Loader files = parts.loader(shared.embedder());
    loader = wanted -> wanted.isBase() ? baseModel() : files.load(wanted);
    engine =
        new MatchEngine(
            shared.embedder(),
            shared.table(),
            shared.product(),
            shared.spill(),
            config.engineSettings(),
            loader,
            shared.background(),
            new EngineEvents());
    startUp();
    restored = null;
    for (byte[] each : sketches.get()) {
      SketchState sketch = SketchState.fromBytes(each);
      KindThresholds thresholds = engine.thresholds().get(sketch.kind());
      // What was sampled under another digest says nothing about this one.
      if (thresholds != null && sketch.digest().equals(engine.serving().digest())) {
        thresholds.merge(sketch.sketch());
      }
    }
    started = true;
    // Answers gathered while starting are sent with the first turn of the task.
    scheduleWork();
    renewPin();
  }

  /**
   * Says in the registry which adapters this job may still need, and again before that runs out.
   */
  private void renewPin() {
    if (!isFirst()) {
      return;
    }
    pin();
    getProcessingTimeService()
        .registerTimer(
            getProcessingTimeService().getCurrentProcessingTime() + PIN.toMillis() / 3,
            time -> renewPin());
  }

  private void pin() {
    Set<String> digests = new HashSet<>();
    for (AdapterVersion version : Arrays.asList(engine.serving(), engine.next())) {
      if (version != null && !version.isBase()) {
        digests.add(version.digest());
      }
    }
    if (!digests.isEmpty()) {
      shared
          .background()
          .execute(
              () -> {
                try {
                  parts.pin(digests, PIN);
                } catch (RuntimeException e) {
                  LOGGER.warn("adapters could not be pinned: {}", Reasons.of(e));
                }
              });
    }
  }

  private void registerMetrics() {
    MetricGroup group = getMetricGroup().addGroup("whetstream");
    itemsScored = group.counter("itemsScored");
    matches = group.counter("matches");
    badItems = group.counter("badItems");
    adaptersRefused = group.counter("adaptersRefused");
    queriesRefused = group.counter("queriesRefused");
    flips = group.counter("adapterFlips");
    group.gauge("lastFlipMicros", () -> lastFlipNanos / 1000);
    group.gauge("watchlistQueries", () -> engine == null ? 0 : engine.activeQueries());
    group.gauge("watchlistBytes", () -> shared == null ? 0L : shared.table().bytes());
  }

  private void startUp() throws Exception {
    AdapterVersion servedBefore =
        restored.stream()
            .map(MatcherState::serving)
            .filter(Objects::nonNull)
            .max(Comparator.naturalOrder())
            .orElse(null);
    AdapterVersion inUse =
        restored.stream()
            .map(each -> each.next() == null ? each.serving() : each.next())
            .filter(Objects::nonNull)
            .max(Comparator.naturalOrder())
            .orElse(null);
    restored.forEach(each -> feed.restore(each.newestSeen(), inUse));
    Properties client = config.clientProperties();
    try (TopicReader control = new TopicReader(client, parts.topics().adaptersControl());
        TopicReader adapters = new TopicReader(client, parts.topics().adapters());
        TopicReader queries = new TopicReader(client, parts.topics().queries())) {
      alreadyRead.put(parts.topics().adaptersControl(), control.readToEnd(this::noteControl));
      alreadyRead.put(parts.topics().adapters(), adapters.readToEnd(this::noteAnnouncement));
      LoadedAdapter first = firstAdapter(servedBefore);
      while (first == null) {
        if (config.startWith().equals("base")) {
          first = baseModel();
        } else {
          LOGGER.info("no usable adapter is announced yet: waiting before the first item");
          List<AdapterVersion> unusable = feed.newestFirst();
          AdapterVersion before = wanted();
          while (unusable.equals(feed.newestFirst()) && Objects.equals(before, wanted())) {
            control.poll(this::noteControl);
            adapters.poll(this::noteAnnouncement);
          }
          // What was polled beyond the first end is skipped too when the source brings it.
          alreadyRead.put(parts.topics().adaptersControl(), control.readToEnd(this::noteControl));
          alreadyRead.put(parts.topics().adapters(), adapters.readToEnd(this::noteAnnouncement));
          first = firstAdapter(null);
        }
      }
      engine.start(first);
      LOGGER.info("scoring starts with adapter {}", engine.serving());
      if (readFirst) {
        readQueries(queries);
      }
    }
    followFeed();
  }

  private LoadedAdapter baseModel() {
    return new LoadedAdapter(AdapterVersion.BASE, shared.embedder().base(), Calibration.NONE);
  }

  /** The adapter that should be in use, or null; a rollback may name the base model. */
  private AdapterVersion wanted() {
    AdapterVersion wanted = feed.wanted();
    return wanted != null && wanted.digest().equals(shared.embedder().baseDigest())
        ? AdapterVersion.BASE
        : wanted;
  }

  private void noteControl(ConsumerRecord<byte[], byte[]> read) {
    applyControl(ControlRecord.of(read));
  }

  private void noteAnnouncement(ConsumerRecord<byte[], byte[]> read) {
    applyAnnouncement(ControlRecord.of(read));
  }

  /** The adapter to begin with, or null if none can be used. */
  private LoadedAdapter firstAdapter(AdapterVersion servedBefore) throws InterruptedException {
    refusedAtStart.clear();
    List<AdapterVersion> candidates = new ArrayList<>();
    if (feed.pinned() != null) {
      candidates.add(wanted());
    }
    if (servedBefore != null) {
      candidates.add(servedBefore);
    }
    if (wanted() != null) {
      candidates.add(wanted());
    }
    candidates.addAll(feed.newestFirst());
    candidates.addAll(parts.newestInRegistry());
    AdapterVersion failed = null;
    for (AdapterVersion candidate : new LinkedHashSet<>(candidates)) {
      try {
        LoadedAdapter loaded = loader.load(candidate);
        if (failed != null) {
          LOGGER.warn("adapter {} is used in place of {}", candidate, failed);
        }
        return loaded;
      } catch (InterruptedException e) {
        throw e;
      } catch (Exception e) {
        failed = failed == null ? candidate : failed;
        refusedAtStart.add(candidate.digest());
        refuseAdapter(candidate, Reasons.of(e));
      }
    }
    return null;
  }

  private void readQueries(TopicReader queries) throws InterruptedException {
    Map<String, ControlRecord> last = new LinkedHashMap<>();
    alreadyRead.put(
        parts.topics().queries(),
        queries.readToEnd(
            read -> {
              ControlRecord record = ControlRecord.of(read);
              String id = idOf(record);
              if (record.value() == null) {
                last.remove(id);
              } else {
                last.put(id, record);
              }
            }));
    Map<String, Long> acceptedBefore = new HashMap<>();
    Map<String, Long> refusedBefore = new HashMap<>();
    for (MatcherState each : restored) {
      acceptedBefore.putAll(each.accepted());
      refusedBefore.putAll(each.refused());
    }
    for (ControlRecord record : last.values()) {
      Long before = acceptedBefore.get(idOf(record));
      applyQuery(record, before != null && before == record.offset());
    }
    while (engine.pendingQueries() > 0) {
      int left = engine.pendingQueries();
      engine.work();
      if (left == engine.pendingQueries()) {
        // The rest is being embedded by other subtasks of this process.
        LockSupport.parkNanos(IDLE_POLL_NANOS);
        if (Thread.interrupted()) {
          throw new InterruptedException("cancelled while reading the watchlist");
        }
      }
    }
    // Known answers are not given twice.
    answers.removeIf(
        answer -> {
          Map<String, Long> before =
              answer.state() == QueryStatus.State.ACCEPTED ? acceptedBefore : refusedBefore;
          Long revision = before.get(answer.queryId());
          return revision != null && revision == answer.revision();
        });
    LOGGER.info("watchlist of {} queries is ready", engine.activeQueries());
  }

  private void followFeed() {
    AdapterVersion wanted = wanted();
    if (wanted != null && !refusedAtStart.contains(wanted.digest())) {
      engine.switchTo(wanted);
    }
  }

  // ---- second input

  @Override
  public void processElement2(StreamRecord<ControlRecord> element) throws Exception {
    ControlRecord record = element.getValue();
    Long read = alreadyRead.getOrDefault(record.topic(), Map.of()).get(record.partition());
    if (read != null && record.offset() < read) {
      return;
    }
    if (record.topic().equals(parts.topics().queries())) {
      if (record.value() == null) {
        removeQuery(record);
      } else {
        applyQuery(record, false);
      }
    } else if (record.topic().equals(parts.topics().adaptersControl())) {
      AdapterVersion before = wanted();
      applyControl(record);
      if (!Objects.equals(before, wanted())) {
        LOGGER.info("ordered to adapter {}", wanted());
        engine.switchNow(wanted());
      }
    } else {
      AdapterVersion announced = applyAnnouncement(record);
      if (announced != null && announced.equals(wanted())) {
        // Also when it was refused before: it may have been repaired and announced again.
        engine.switchTo(announced);
      }
    }
    // At once if nothing else is going on: a query takes effect in milliseconds.
    engine.work();
    scheduleWork();
  }

  private void applyControl(ControlRecord record) {
    try {
      ScoreParts.Command command = parts.command(record);
      if (command == null) {
        return;
      }
      feed.apply(command);
    } catch (BadInputException e) {
      LOGGER.error("control record at {} is ignored: {}", record.where(), e.getMessage());
    }
  }

  /** The version announced, or null if the record announces none for this job. */
  private AdapterVersion applyAnnouncement(ControlRecord record) {
    if (record.value() == null) {
      return null;
    }
    try {
      AdapterVersion version = parts.announcement(record);
      if (version != null) {
        feed.announced(version);
      }
      return version;
    } catch (BadInputException e) {
      adaptersRefused.inc();
      LOGGER.error("announcement at {} is refused: {}", record.where(), e.getMessage());
      return null;
    }
  }

  private static String idOf(ControlRecord record) {
    return record.key() == null ? "" : new String(record.key(), StandardCharsets.UTF_8);
  }

  private void applyQuery(ControlRecord record, boolean acceptedBefore) {
    String id = idOf(record);
    try {
      WatchedQuery query = parts.query(record);
      if (query == null) {
        removeQuery(record);
      } else {
        engine.upsert(query, acceptedBefore);
      }
    } catch (BadInputException e) {
      engine.remove(id);
      refuseQuery(id, record.offset(), e.getMessage());
    }
  }

  private void removeQuery(ControlRecord record) {
    String id = idOf(record);
    engine.remove(id);
    boolean known = accepted.remove(id) != null | refused.remove(id) != null;
    if (known) {
      answer(
          new QueryStatus(
              id, record.offset(), QueryStatus.State.REMOVED, "", List.of(), null, 0, 0, now()));
    }
  }

  private void refuseQuery(String id, long revision, String reason) {
    accepted.remove(id);
    refused.put(id, revision);
    queriesRefused.inc();
    answer(
        new QueryStatus(
            id,
            revision,
            QueryStatus.State.REFUSED,
            reason,
            List.of(),
            engine.started() ? engine.serving().digest() : null,
            0,
            0,
            now()));
  }

  private void answer(QueryStatus answer) {
    if (isFirst()) {
      answers.add(answer);
    }
  }

  private void refuseAdapter(AdapterVersion version, String reason) {
    adaptersRefused.inc();
    LOGGER.error(
        "adapter {} is refused, {} stays: {}",
        version,
        engine.started() ? engine.serving() : "nothing",
        reason);
  }

  private long now() {
    return System.currentTimeMillis();
  }

  private final class EngineEvents implements MatchEngine.Events {
    @Override
    public void queryAccepted(WatchedQuery query, Map<MatchKind, Double> thresholds, String note) {
      accepted.put(query.id(), query.revision());
      refused.remove(query.id());
      List<QueryStatus.Threshold> effective = new ArrayList<>();
      new EnumMap<>(thresholds)
          .forEach((kind, score) -> effective.add(new QueryStatus.Threshold(kind, score)));
      answer(
          new QueryStatus(
              query.id(),
              query.revision(),
              QueryStatus.State.ACCEPTED,
              note,
              effective,
              engine.serving().digest(),
              0,
              0,
              now()));
    }

    @Override
    public void queryRefused(WatchedQuery query, String reason) {
      refuseQuery(query.id(), query.revision(), reason);
    }

    @Override
    public void adapterRefused(AdapterVersion version, String reason) {
      refuseAdapter(version, reason);
    }

    @Override
    public void flipped(AdapterVersion from, AdapterVersion to, long nanos) {
      flips.inc();
      lastFlipNanos = nanos;
      LOGGER.info(
          "adapter {} serves after {}, flip of {} us, {} queries",
          to,
          from,
          nanos / 1000,
          engine.activeQueries());
      if (isFirst()) {
        pin();
      }
    }
  }

  // ---- first input

  @Override
  public void processElement1(StreamRecord<Read<Item>> element) throws Exception {
    batch.add(element.getValue());
    if (batch.size() >= config.match().batchSize()) {
      flush();
      if (engine.hasWork()) {
        engine.work();
      }
    } else if (!flushTimerSet) {
      flushTimerSet = true;
      getProcessingTimeService()
          .registerTimer(
              getProcessingTimeService().getCurrentProcessingTime()
                  + config.match().maxWait().toMillis(),
              time -> {
                flushTimerSet = false;
                flush();
              });
    }
  }

  private void flush() {
    sendAnswers();
    if (batch.isEmpty()) {
      return;
    }
    List<Read<Item>> items = new ArrayList<>();
    List<MatchEngine.Prepared> prepared = new ArrayList<>();
    for (Read<Item> read : batch) {
      Item item = read.value();
      try {
        if (item.image() == null && item.imageUri() != null) {
          throw new BadInputException("the image at " + item.imageUri() + " was not fetched");
        }
        float[] pixels =
            item.image() == null
                ? null
                : shared.embedder().pixels(item.image(), read.at().toString());
        prepared.add(new MatchEngine.Prepared(pixels, item.text()));
        items.add(read);
      } catch (BadInputException e) {
        badItem(read, e);
      }
    }
    batch.clear();
    if (items.isEmpty()) {
      return;
    }
    MatchEngine.Outcome outcome = engine.match(prepared);
    long now = now();
    for (MatchEngine.Failure failure : outcome.failures()) {
      badItem(items.get(failure.item()), new BadInputException(failure.reason()));
    }
    for (MatchEngine.Match match : outcome.matches()) {
      Read<Item> item = items.get(match.item());
      matches.inc();
      output.collect(
          new StreamRecord<>(matched(item, match, outcome, now), item.value().eventTime()));
    }
    if (config.output().embeddings()) {
      for (int i = 0; i < items.size(); i++) {
        sendVector(items.get(i), Side.IMAGE, outcome.imageVectors()[i], outcome.version());
        sendVector(items.get(i), Side.TEXT, outcome.textVectors()[i], outcome.version());
      }
    }
    itemsScored.inc(items.size());
  }

  private void badItem(Read<Item> item, BadInputException reason) {
    badItems.inc();
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

  private MatchedItem matched(
      Read<Item> read, MatchEngine.Match match, MatchEngine.Outcome outcome, long now) {
    Item item = read.value();
    WatchedQuery query = match.query();
    AdapterVersion version = outcome.version();
    Alert alert =
        new Alert(
            MatchedItem.alertId(read.at(), query.id(), query.revision(), version.digest()),
            item.id(),
            read.at(),
            itemDigest(item),
            query.id(),
            query.revision(),
            query.at(),
            query.contentDigest(),
            version.digest(),
            version.epoch(),
            version.n(),
            shared.embedder().baseDigest(),
            match.scores().stream()
                .map(s -> new Alert.Score(s.kind(), s.score(), s.threshold()))
                .toList(),
            match.nearest().stream()
                .map(n -> new Alert.Near(n.queryId(), n.kind(), n.score()))
                .toList(),
            0,
            false,
            item.eventTime(),
            now);
    return new MatchedItem(
        alert,
        match.scores().get(0).kind().itemSide() == Side.IMAGE
            ? shared.embedder().group(item.image(), read.at().toString())
            : ContentGroup.of(item.text()),
        query.coolDownMillis() == null ? -1 : query.coolDownMillis());
  }

  /** SHA-256 over the contents of an item: of the image, of the text, or of both digests. */
  static String itemDigest(Item item) {
    String image = item.image() == null ? null : Digests.sha256(item.image());
    String text =
        item.text() == null ? null : Digests.sha256(item.text().getBytes(StandardCharsets.UTF_8));
    if (image == null || text == null) {
      return image == null ? text : image;
    }
    return Digests.sha256((text + ' ' + image).getBytes(StandardCharsets.US_ASCII));
  }

  private void sendAnswers() {
    while (!answers.isEmpty()) {
      output.collect(ANSWERS, new StreamRecord<>(answers.poll()));
    }
  }

  // ---- work between micro-batches

  private void scheduleWork() {
    if (workTimerSet || (started && !engine.hasWork() && answers.isEmpty())) {
      return;
    }
    workTimerSet = true;
    getProcessingTimeService()
        .registerTimer(
            getProcessingTimeService().getCurrentProcessingTime() + WORK_INTERVAL_MILLIS,
            time -> {
              workTimerSet = false;
              engine.work();
              sendAnswers();
              scheduleWork();
            });
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
  }

  @Override
  public void finish() throws Exception {
    flush();
    super.finish();
  }

  @Override
  public void close() throws Exception {
    if (engine != null) {
      engine.close();
    }
    if (shared != null) {
      shared.close();
    }
    super.close();
  }
}
