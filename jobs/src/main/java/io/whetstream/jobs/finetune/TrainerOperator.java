package io.whetstream.jobs.finetune;

import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.connectors.registry.AdapterRegistry;
import io.whetstream.connectors.registry.RegistryOptions;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.train.StepReport;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.runtime.execution.SuppressRestartsException;
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
 * <p>A write that fails is tried again until it succeeds; training goes on until a few candidates
 * wait, then it waits too.
 */
final class TrainerOperator extends AbstractStreamOperator<AdapterAnnouncement>
    implements TwoInputStreamOperator<PairGroup, AdapterControl, AdapterAnnouncement>,
        BoundedMultiInput {
  private static final long serialVersionUID = 1L;
  private static final Logger LOG = LoggerFactory.getLogger(TrainerOperator.class);
  private static final int MOST_WAITING = 4;

  /** The newest adapter of a stream is never pruned while its trainer may come back to it. */
  private static final Duration PIN = Duration.ofDays(30);

  private static final Duration LONGEST_PAUSE = Duration.ofSeconds(30);

  private final FineTuneConfig settings;
  private final TrainerHooks hooks;

  private transient ContinualTrainer trainer;
  private transient AdapterRegistry registry;
  private transient ExecutorService writer;
  private transient Set<String> submitted;
  private transient Set<String> confirmed;
  private transient volatile Throwable writerBroken;
  private transient Counter writeFailures;
  private transient Counter refusedControls;
  private transient long opened;
  private transient long busyNanos;
  private transient volatile double waitingShare;
  private transient volatile double snapshotMillis;
  private transient volatile double snapshotMegabytes;

  TrainerOperator(FineTuneConfig config, TrainerHooks hooks) {
    this.settings = config;
    this.hooks = hooks;
  }

  @Override
  public void initializeState(StateInitializationContext context) throws Exception {
    super.initializeState(context);
    registry = AdapterRegistry.open(RegistryOptions.of(settings.registry().uri()));
    submitted = ConcurrentHashMap.newKeySet();
    confirmed = ConcurrentHashMap.newKeySet();
    try {
      trainer = new ContinualTrainer(settings, new TrainingEngine(settings), hooks);
      boolean sameJob = false;
      boolean restored = false;
      for (StatePartitionStreamProvider partition : context.getRawOperatorStateInputs()) {
        if (restored) {
          throw new BadInputException("two trainer states: the trainer's parallelism must be 1");
        }
        sameJob = restore(new DataInputStream(partition.getStream()));
        restored = true;
      }
      if (!sameJob) {
        trainer.startEpoch(1 + Math.max(trainer.epoch(), lastEpoch()));
      }
      LOG.info(
          "Trainer of {}: {}, epoch {}, step {}, weights {}, {} pairs waiting, global batch {} = {}"
              + " chunk(s) of {}, groups of {}",
          settings.name(),
          restored ? "restored" : "new",
          trainer.epoch(),
          trainer.stepNumber(),
          trainer.weights().digest(),
          trainer.pendingPairs(),
          settings.training().globalBatch(),
          settings.training().chunk() == 0
              ? 1
              : -Math.floorDiv(-settings.training().globalBatch(), settings.training().chunk()),
          settings.training().chunk() == 0
              ? settings.training().globalBatch()
              : settings.training().chunk(),
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
    long away = System.currentTimeMillis() - written;
    if (away > settings.kafka().transactionTimeout().toMillis()) {
      trainer.announceLastAgain();
    }
    return job.equals(jobId());
  }

  private String jobId() {
    return getRuntimeContext().getJobInfo().getJobId().toHexString();
  }

  /** The highest epoch that this stream has used, as far as the registry knows; 0 for none. */
  private long lastEpoch() {
    return registry.list().stream()
        .map(AdapterRegistry.Entry::manifest)
        .filter(manifest -> settings.name().equals(manifest.stream()))
        .filter(manifest -> manifest.version() != null)
        .mapToLong(manifest -> manifest.version().epoch())
        .max()
        .orElse(0);
  }

  @Override
  public void open() throws Exception {
    super.open();
    writer =
        Executors.newSingleThreadExecutor(
            task -> {
              Thread thread = new Thread(task, "adapter-writer-" + settings.name());
              thread.setDaemon(true);
              return thread;
            });
    opened = System.nanoTime();
    registerMetrics(getMetricGroup().addGroup("trainer"));
    submitWaiting();
  }

  @Override
  public void processElement1(StreamRecord<PairGroup> element) throws Exception {
    long start = System.nanoTime();
    trainer.accept(element.getValue());
    submitWaiting();
    while (trainer.waiting().size() > MOST_WAITING) {
      awaitOldest();
    }
    busyNanos += System.nanoTime() - start;
    waitingShare = 1 - busyNanos / (double) Math.max(1, System.nanoTime() - opened);
  }

  @Override
  public void processElement2(StreamRecord<AdapterControl> element) {
    AdapterControl control = element.getValue();
    if (!control.stream().equals(settings.name())) {
      return;
    }
    try {
      switch (control.action()) {
        case ROLLBACK -> {
          AdapterArtifact artifact =
              control.digest().equals(trainer.baseDigest())
                  ? null
                  : registry.read(control.digest());
          trainer.rollback(artifact);
          LOG.warn(
              "Rolled back to {} ({}); nothing is published until resume",
              control.digest(),
              control.reason());
        }
        case RESUME -> {
          trainer.resume();
          LOG.info("Publishing resumed");
        }
      }
    } catch (UncheckedIOException | BadInputException e) {
      refusedControls.inc();
      LOG.error("Control record refused, training goes on as before: {}", e.getMessage());
    }
  }

  private void submitWaiting() {
    for (ContinualTrainer.Announced version : trainer.waiting()) {
      if (submitted.add(version.digest())) {
        AdapterArtifact artifact = trainer.artifact(version.digest());
        writer.execute(() -> write(version.digest(), artifact));
      }
    }
  }

  /** On the writer's thread: tries until the files are there or the operator is closed. */
  private void write(String digest, AdapterArtifact artifact) {
    long pause = 250;
    try {
      while (true) {
        try {
          hooks.beforeWrite(digest);
          registry.write(artifact);
          registry.pin("finetune-" + settings.name(), List.of(digest), PIN);
          confirmed.add(digest);
          return;
        } catch (UncheckedIOException | BadInputException e) {
          writeFailures.inc();
          LOG.error("Adapter {} could not be written, trying again: {}", digest, e.toString());
        }
        Thread.sleep(pause);
        pause = Math.min(2 * pause, LONGEST_PAUSE.toMillis());
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (Throwable e) {
      writerBroken = e;
    }
  }

  private void awaitOldest() throws Exception {
    String digest = trainer.waiting().get(0).digest();
    while (!confirmed.contains(digest)) {
      rethrowWriterFailure();
      TimeUnit.MILLISECONDS.sleep(5);
    }
    announceConfirmed();
  }

  private void rethrowWriterFailure() {
    if (writerBroken != null) {
      throw new IllegalStateException("the adapter writer failed", writerBroken);
    }
  }

  private void announceConfirmed() {
    for (ContinualTrainer.Announced version : trainer.waiting()) {
      if (!confirmed.contains(version.digest())) {
        return;
      }
      AdapterArtifact artifact = trainer.artifact(version.digest());
      output.collect(new StreamRecord<>(announcement(version, artifact.manifest())));
      trainer.announced();
    }
  }

  private AdapterAnnouncement announcement(
      ContinualTrainer.Announced version, AdapterManifest manifest) {
    return new AdapterAnnouncement(
        settings.name(),
        version.epoch(),
        version.n(),
        version.digest(),
        manifest.manifestDigest(),
        manifest.parent(),
        manifest.baseDigest(),
        registry.uriOf(version.digest()),
        manifest.step(),
        manifest.pairs(),
        manifest.metrics(),
        System.currentTimeMillis());
  }

  @Override
  public void prepareSnapshotPreBarrier(long checkpointId) {
    rethrowWriterFailure();
    announceConfirmed();
  }

  @Override
  public void endInput(int input) throws Exception {
    if (input != 1) {
      return;
    }
    while (!trainer.waiting().isEmpty()) {
      awaitOldest();
    }
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
    hooks.afterCheckpoint(checkpointId);
  }

  private void registerMetrics(MetricGroup metrics) {
    ContinualTrainer.Figures figures = trainer.figures();
    writeFailures = metrics.counter("adapterWriteFailures");
    refusedControls = metrics.counter("refusedControlRecords");
    metrics.gauge("step", trainer::stepNumber);
    metrics.gauge("epoch", trainer::epoch);
    metrics.gauge("pendingPairs", trainer::pendingPairs);
    metrics.gauge("heldOutPairs", trainer::heldOutPairs);
    metrics.gauge("paused", () -> trainer.paused() ? 1 : 0);
    for (Ledger.Fate fate : Ledger.Fate.values()) {
      String name = fate.name().toLowerCase(Locale.ROOT);
      metrics.addGroup("ledger").gauge(name, () -> trainer.ledger().entry(fate).count());
    }
    metrics.gauge("lossContrastive", () -> figures.lastOr(StepReport::lossContrastive));
    metrics.gauge("lossNextToken", () -> figures.lastOr(StepReport::lossNextToken));
    metrics.gauge("logitScale", () -> figures.lastOr(StepReport::logitScale));
    metrics.gauge("learningRate", () -> figures.lastOr(StepReport::learningRate));
    metrics.gauge("gradientNorm", () -> figures.lastOr(StepReport::gradientNorm));
    metrics.gauge("maskedNegatives", () -> figures.lastOr(StepReport::maskedNegatives));
    metrics.gauge("stepSeconds", () -> figures.lastOr(StepReport::seconds));
    metrics.gauge("pairsPerSecond", () -> figures.lastOr(r -> r.pairs() / r.seconds()));
    metrics.gauge("flopsPerSecond", () -> figures.lastOr(r -> r.flops() / r.seconds()));
    metrics.gauge("waitingForDataShare", () -> waitingShare);
    MetricGroup recall = metrics.addGroup("recall");
    recall.gauge("training", () -> figures.lastOr(r -> (r.recallT2i() + r.recallI2t()) / 2));
    recall.gauge("published", () -> figures.publishedRecall);
    recall.gauge("preDrift", () -> figures.preDriftRecall);
    recall.gauge("base", () -> figures.baseRecall);
    MetricGroup gate = metrics.addGroup("gate");
    gate.gauge(
        "candidate", () -> figures.verdict == null ? Double.NaN : figures.verdict.candidate());
    gate.gauge(
        "published", () -> figures.verdict == null ? Double.NaN : figures.verdict.published());
    gate.gauge("passed", () -> figures.published);
    gate.gauge("refused", () -> figures.refusals);
    gate.gauge("returns", () -> figures.returns);
    metrics.gauge("skippedSteps", () -> figures.skippedSteps);
    metrics.gauge("driftEvents", () -> figures.driftEvents);
    metrics.gauge("snapshotMilliseconds", () -> snapshotMillis);
    metrics.gauge("snapshotMegabytes", () -> snapshotMegabytes);
  }

  @Override
  public void close() throws Exception {
    if (writer != null) {
      writer.shutdownNow();
      if (!writer.awaitTermination(10, TimeUnit.SECONDS)) {
        LOG.warn("The adapter writer did not stop within 10 s");
      }
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
