package io.whetstream.jobs.finetune;

import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.connectors.registry.AdapterRegistry;
import io.whetstream.connectors.registry.RegistryOptions;
import io.whetstream.jobs.finetune.AdapterLine.Announceable;
import io.whetstream.jobs.finetune.AdapterLine.Taken;
import io.whetstream.jobs.finetune.AdapterLine.Version;
import io.whetstream.jobs.finetune.FineTuneConfig.WhenBehind;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.train.StepReport;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.ThreadSafeSimpleCounter;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.apache.flink.runtime.io.network.partition.consumer.IndexedInputGate;
import org.apache.flink.runtime.state.OperatorStateCheckpointOutputStream;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StatePartitionStreamProvider;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.BoundedMultiInput;
import org.apache.flink.streaming.api.operators.TwoInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Trains on groups and announces adapters, exactly once. Parallelism 1.
 *
 * <p>Failure semantics. All that decides about weights is in the raw operator state, so after a
 * restore training goes on from the checkpoint as if what came later had not been. A candidate that
 * passed the gate stays in state until its files are confirmed; they are written on another thread,
 * again after a restore, and writing what is already there is no error. An announcement is emitted
 * before the barrier of a checkpoint, never in between, and the same checkpoint's state says that
 * it has been: a restore to an earlier checkpoint emits it again into a transaction that replaces
 * the aborted one. After an outage longer than the sink's transaction timeout the last announcement
 * may have been aborted by the broker, so it is made again; readers are idempotent by digest.
 *
 * <p>A registry that does not answer is asked again until it does, and training goes on meanwhile:
 * of too many candidates that wait the oldest is given up. In deterministic mode, and while an
 * order to go back to an adapter waits for it, training waits instead: groups gather in state, and
 * beyond a bound the input stands still while checkpoints and timers go on.
 *
 * <p>Without state the stream's newest announced adapter is the one in use and what training starts
 * from, unless {@code startFresh} is set.
 */
final class TrainerOperator extends AbstractStreamOperator<AdapterAnnouncement>
    implements TwoInputStreamOperator<PairGroup, AdapterControl, AdapterAnnouncement>,
        BoundedMultiInput {
  private static final long serialVersionUID = 2L;
  private static final Logger LOG = LoggerFactory.getLogger(TrainerOperator.class);

  /** The newest adapter of a stream is never pruned while its trainer may come back to it. */
  private static final Duration PIN = Duration.ofDays(30);

  /** Batches that gather in state while training waits, before the input stands still. */
  private static final int MOST_BATCHES_WAITING = 64;

  /** Letters of a stream in the name of a pin; of a longer one its digest stands there. */
  private static final int LONGEST_OWNER = 100;

  private final FineTuneConfig settings;
  private final TrainerHooks hooks;

  private transient ContinualTrainer trainer;
  private transient MailboxExecutor mailbox;
  private transient RegistryThread registry;

  /** Versions that the line still wants written; read by the registry's thread. */
  private transient Set<Version> wanted;

  private transient Set<Version> asked;
  private transient String orderAsked;
  private transient boolean placed;
  private transient boolean stepScheduled;
  private transient long takenSinceStep;
  private transient Counter writeFailures;
  private transient Counter refusedControls;
  private transient long opened;
  private transient long busyNanos;
  private transient volatile double waitingShare;
  private transient volatile long oldestPending;
  private transient volatile double snapshotMillis;
  private transient volatile double snapshotMegabytes;

  TrainerOperator(FineTuneConfig config, TrainerHooks hooks) {
    this.settings = config;
    this.hooks = hooks;
  }

  @Override
  public void initializeState(StateInitializationContext context) throws Exception {
    super.initializeState(context);
    try {
      TrainingEngine engine = new TrainingEngine(settings);
      trainer = new ContinualTrainer(settings, engine, hooks);
      int chunk = engine.chunk();
      boolean sameJob = false;
      boolean restored = false;
      for (StatePartitionStreamProvider partition : context.getRawOperatorStateInputs()) {
        if (restored) {
          throw new BadInputException("two trainer states: the trainer's parallelism must be 1");
        }
        sameJob = restore(new DataInputStream(partition.getStream()));
        restored = true;
      }
      if (!restored) {
        continueStream();
      }
      if (!sameJob) {
        trainer.line().startEpoch();
      }
      LOG.info(
          "Trainer of {}: {}, epoch {}, step {}, weights {}, {} pairs waiting, global batch {} = {}"
              + " chunk(s) of {}, groups of {}",
          settings.name(),
          restored ? "restored" : "new",
          trainer.line().epoch(),
          trainer.stepNumber(),
          trainer.weights().digest(),
          trainer.pendingPairs(),
          settings.training().globalBatch(),
          chunk == 0 ? 1 : -Math.floorDiv(-settings.training().globalBatch(), chunk),
          chunk == 0 ? settings.training().globalBatch() : chunk,
          settings.mining().groupSize());
    } catch (BadInputException e) {
      // Another attempt would fail the same way.
      throw new SuppressRestartsException(e);
    }
  }

  private boolean restore(DataInputStream in) throws IOException {
    String job = in.readUTF();
    long written = in.readLong();
    trainer.read(in);
    hooks.restored(trainer);
    trainer
        .line()
        .restored(
            System.currentTimeMillis(), settings.kafka().transactionTimeout().toMillis(), written);
    return job.equals(jobId());
  }

  /** A beginner must not compete with what the stream has. */
  private void continueStream() {
    AdapterAnnouncement newest = AnnouncedAdapters.newest(settings);
    if (newest == null) {
      return;
    }
    String what =
        "adapter %s, version %d.%d, step %d, trained on %d pairs"
            .formatted(newest.digest(), newest.epoch(), newest.n(), newest.step(), newest.pairs());
    if (settings.startFresh()) {
      LOG.warn("Starting from the initial weights: {} is left behind", what);
      trainer.line().raiseAbove(newest.epoch(), newest.n());
      return;
    }
    try {
      AdapterArtifact artifact =
          AdapterRegistry.open(RegistryOptions.of(settings.registry().uri()))
              .read(newest.digest(), newest.manifestDigest());
      trainer.adopt(artifact, newest.epoch(), newest.n());
      LOG.info("Going on from {}: there is no state", what);
    } catch (BadInputException e) {
      throw new BadInputException(
          "stream "
              + settings.name()
              + " has announced "
              + what
              + ", which a start without state goes on from, but it cannot be used: "
              + e.getMessage()
              + "; restore a savepoint, give another name, or set startFresh: true to begin anew"
              + " and lose it",
          e);
    }
  }

  private String jobId() {
    return getRuntimeContext().getJobInfo().getJobId().toHexString();
  }

  @Override
  public void open() throws Exception {
    super.open();
    opened = System.nanoTime();
    registerMetrics(getMetricGroup().addGroup("trainer"));
    wanted = ConcurrentHashMap.newKeySet();
    asked = new HashSet<>();
    mailbox =
        getContainingTask()
            .getMailboxExecutorFactory()
            .createExecutor(getOperatorConfig().getChainIndex());
    registry =
        new RegistryThread(settings.name(), settings.registry().uri(), mailbox, writeFailures);
    registry.ask(
        "Listing the versions of " + settings.name(),
        store ->
            store.list().stream()
                .map(AdapterRegistry.Entry::manifest)
                .filter(manifest -> settings.name().equals(manifest.stream()))
                .filter(manifest -> manifest.version() != null)
                .map(
                    manifest ->
                        new Taken(
                            manifest.version().epoch(), manifest.version().n(), manifest.digest()))
                .toList(),
        () -> true,
        false,
        this::place);
    askForOrder();
  }

  private void place(List<Taken> taken) {
    trainer.line().taken(taken, settings.deterministic());
    placed = true;
    goOn();
  }

  // ---- groups

  @Override
  public void processElement1(StreamRecord<PairGroup> element) throws Exception {
    long start = System.nanoTime();
    trainer.take(element.getValue());
    takenSinceStep++;
    boolean lossless = settings.training().whenBehind() == WhenBehind.WAIT;
    if (lossless) {
      // Two, so that what has gathered becomes less.
      stepIfReady();
      stepIfReady();
    } else if (!inputAvailable() || takenSinceStep >= settings.training().maxLag()) {
      stepIfReady();
    }
    while (!trainer.mayTrain() && trainer.pendingPairs() >= mostPairs()) {
      mailbox.yield();
    }
    goOn();
    busyNanos += System.nanoTime() - start;
    waitingShare = 1 - busyNanos / (double) Math.max(1, System.nanoTime() - opened);
  }

  private int mostPairs() {
    return MOST_BATCHES_WAITING * settings.training().globalBatch();
  }

  private void stepIfReady() {
    if (trainer.ready()) {
      takenSinceStep = 0;
      trainer.step();
      submit();
    }
  }

  /** Writes what is to be written; steps on while no input does. */
  private void goOn() {
    submit();
    oldestPending = trainer.oldestPending();
    if (trainer.ready() && !stepScheduled) {
      stepScheduled = true;
      mailbox.execute(
          () -> {
            stepScheduled = false;
            if (!inputAvailable()) {
              stepIfReady();
              goOn();
            }
          },
          "Optimizer step");
    }
  }

  private boolean inputAvailable() {
    for (IndexedInputGate gate : getContainingTask().getEnvironment().getAllInputGates()) {
      if (!gate.isFinished() && gate.isAvailable()) {
        return true;
      }
    }
    return false;
  }

  // ---- orders

  @Override
  public void processElement2(StreamRecord<AdapterControl> element) {
    AdapterControl control = element.getValue();
    if (!control.stream().equals(settings.name())) {
      return;
    }
    try {
      trainer.obey(control);
    } catch (BadInputException e) {
      refuse(trainer.order(), e.getMessage());
    }
    LOG.warn("Order obeyed: {} {} ({})", control.action(), control.digest(), control.reason());
    askForOrder();
    goOn();
  }

  /** Has the adapter of an order read that waits for it. */
  private void askForOrder() {
    String digest = trainer.order();
    if (digest.isEmpty() || digest.equals(orderAsked)) {
      return;
    }
    orderAsked = digest;
    registry.ask(
        "Reading adapter " + digest + " to go back to",
        store -> store.read(digest),
        () -> true,
        true,
        artifact -> carryOut(digest, artifact));
  }

  private void carryOut(String digest, AdapterArtifact artifact) {
    orderAsked = null;
    if (artifact == null) {
      refuse(digest, "the registry does not have it, or it is damaged");
    } else {
      try {
        trainer.carryOut(digest, artifact);
      } catch (BadInputException e) {
        refuse(digest, e.getMessage());
      }
    }
    goOn();
  }

  private void refuse(String digest, String reason) {
    refusedControls.inc();
    LOG.error("Rollback to {} refused, training goes on as before: {}", digest, reason);
    trainer.refuseOrder(digest);
  }

  // ---- versions

  /** Has candidates written whose turn it is. */
  private void submit() {
    if (!placed) {
      return;
    }
    List<Version> unwritten = trainer.line().unwritten();
    wanted.retainAll(unwritten);
    asked.retainAll(unwritten);
    for (Version version : unwritten) {
      if (!asked.add(version)) {
        continue;
      }
      wanted.add(version);
      AdapterArtifact artifact = trainer.line().artifact(version.digest());
      registry.ask(
          "Writing adapter " + version.digest(),
          store -> {
            hooks.beforeWrite(version.digest());
            String uri = store.write(artifact).uri();
            store.pin(owner(), List.of(version.digest()), PIN);
            return uri;
          },
          () -> wanted.contains(version),
          false,
          uri -> {
            trainer.line().written(version, uri);
            goOn();
          });
    }
  }

  /** Of a pin in the registry; two streams of one name are told apart by their topics' prefix. */
  private String owner() {
    String stream = settings.kafka().topicPrefix() + settings.name();
    return "finetune-"
        + (stream.length() <= LONGEST_OWNER
            ? stream
            : PairIds.digest(stream.getBytes(StandardCharsets.UTF_8)));
  }

  private void announce(long checkpoint) {
    AdapterLine line = trainer.line();
    for (Announceable next = line.announceable(); next != null; next = line.announceable()) {
      output.collect(new StreamRecord<>(announcement(next)));
      line.announced(System.currentTimeMillis(), checkpoint);
    }
  }

  private AdapterAnnouncement announcement(Announceable next) {
    AdapterManifest manifest = next.manifest();
    return new AdapterAnnouncement(
        settings.name(),
        next.version().epoch(),
        next.version().n(),
        next.version().digest(),
        manifest.manifestDigest(),
        manifest.parent(),
        manifest.baseDigest(),
        next.uri(),
        manifest.step(),
        manifest.pairs(),
        manifest.metrics(),
        System.currentTimeMillis());
  }

  @Override
  public void prepareSnapshotPreBarrier(long checkpointId) {
    announce(checkpointId);
  }

  @Override
  public void endInput(int input) throws Exception {
    if (input != 1) {
      return;
    }
    while (trainer.ready() || !trainer.mayTrain() || trainer.line().passed() > 0) {
      if (trainer.ready()) {
        stepIfReady();
        mailbox.tryYield();
      } else {
        submit();
        mailbox.yield();
      }
    }
    announce(Long.MAX_VALUE);
    hooks.atEnd(trainer);
    LOG.info("End of pairs at step {}: {}", trainer.stepNumber(), trainer.ledger().entries());
  }

  @Override
  public void snapshotState(StateSnapshotContext context) throws Exception {
    super.snapshotState(context);
    long start = System.nanoTime();
    OperatorStateCheckpointOutputStream raw = context.getRawOperatorStateOutput();
    raw.startNewPartition();
    DataOutputStream out = new DataOutputStream(new BufferedOutputStream(raw, 1 << 16));
    out.writeUTF(jobId());
    out.writeLong(System.currentTimeMillis());
    trainer.write(out);
    out.flush();
    snapshotMillis = (System.nanoTime() - start) / 1e6;
    snapshotMegabytes = out.size() / 1e6;
    hooks.afterSnapshot(context.getCheckpointId(), trainer);
  }

  @Override
  public void notifyCheckpointComplete(long checkpointId) throws Exception {
    super.notifyCheckpointComplete(checkpointId);
    trainer.line().settle(checkpointId);
    hooks.afterCheckpoint(checkpointId);
  }

  private void registerMetrics(MetricGroup metrics) {
    ContinualTrainer.Figures figures = trainer.figures();
    writeFailures = metrics.counter("adapterWriteFailures", new ThreadSafeSimpleCounter());
    refusedControls = metrics.counter("refusedControlRecords");
    metrics.gauge("step", trainer::stepNumber);
    metrics.gauge("epoch", () -> trainer.line().epoch());
    metrics.gauge("pendingPairs", trainer::pendingPairs);
    metrics.gauge("heldOutPairs", trainer::heldOutPairs);
    metrics.gauge("paused", () -> trainer.paused() ? 1 : 0);
    metrics.gauge("orderWaiting", () -> trainer.order().isEmpty() ? 0 : 1);
    for (Ledger.Fate fate : Ledger.Fate.values()) {
      String name = fate.name().toLowerCase(Locale.ROOT);
      metrics.addGroup("ledger").gauge(name, () -> trainer.ledger().entry(fate).count());
    }
    MetricGroup lag = metrics.addGroup("lag");
    lag.gauge("pairs", trainer::pendingPairs);
    lag.gauge("milliseconds", this::age);
    lag.gauge("shedShare", this::shedShare);
    metrics.gauge("lossContrastive", () -> figures.lastOr(StepReport::lossContrastive));
    metrics.gauge("lossNextToken", () -> figures.lastOr(StepReport::lossNextToken));
    metrics.gauge("logitScale", () -> figures.lastOr(StepReport::logitScale));
    metrics.gauge("learningRate", () -> figures.lastOr(StepReport::learningRate));
    metrics.gauge("gradientNorm", () -> figures.lastOr(StepReport::gradientNorm));
    metrics.gauge("maskedNegatives", () -> figures.lastOr(StepReport::maskedNegatives));
    metrics.gauge("stepSeconds", () -> figures.lastOr(StepReport::seconds));
    metrics.gauge("pairsPerSecond", () -> figures.lastOr(r -> r.pairs() / r.seconds()));
    metrics.gauge("tokens", () -> figures.lastOr(StepReport::tokens));
    metrics.gauge("imageTokens", () -> figures.lastOr(StepReport::imageTokens));
    metrics.gauge("flopsPerSecond", () -> figures.lastOr(r -> r.flops() / r.seconds()));
    metrics.gauge("waitingForDataShare", () -> waitingShare);
    MetricGroup recall = metrics.addGroup("recall");
    recall.gauge("training", () -> figures.lastOr(r -> (r.recallT2i() + r.recallI2t()) / 2));
    recall.gauge("apart", () -> figures.lastOr(StepReport::recallApart));
    recall.gauge("published", () -> figures.publishedRecall);
    recall.gauge("preDrift", () -> figures.preDriftRecall);
    recall.gauge("base", () -> figures.baseRecall);
    MetricGroup gate = metrics.addGroup("gate");
    gate.gauge(
        "candidate",
        () -> figures.verdict == null ? Double.NaN : figures.verdict.newest().candidate());
    gate.gauge(
        "published",
        () -> figures.verdict == null ? Double.NaN : figures.verdict.newest().published());
    gate.gauge("passed", () -> figures.published);
    gate.gauge("refused", () -> figures.refusals);
    gate.gauge("returns", () -> figures.returns);
    gate.gauge("replaced", () -> trainer.line().replaced());
    metrics.gauge("skippedSteps", () -> figures.skippedSteps);
    metrics.gauge("driftEvents", () -> figures.driftEvents);
    metrics.gauge("snapshotMilliseconds", () -> snapshotMillis);
    metrics.gauge("snapshotMegabytes", () -> snapshotMegabytes);
  }

  /** How long ago the oldest pair that waits happened. */
  private long age() {
    long oldest = oldestPending;
    return oldest == Long.MAX_VALUE || oldest == 0
        ? 0
        : Math.max(0, System.currentTimeMillis() - oldest);
  }

  private double shedShare() {
    long all = trainer.ledger().accepted().count();
    return all == 0 ? 0 : trainer.ledger().entry(Ledger.Fate.SHED).count() / (double) all;
  }

  @Override
  public void close() throws Exception {
    if (registry != null) {
      registry.close();
    }
    if (trainer != null) {
      // Beside the line of the start: after a savepoint, the next start has the same weights.
      LOG.info(
          "Trainer of {}: closed, step {}, weights {}",
          settings.name(),
          trainer.stepNumber(),
          trainer.weights().digest());
      trainer.close();
    }
    super.close();
  }
}
