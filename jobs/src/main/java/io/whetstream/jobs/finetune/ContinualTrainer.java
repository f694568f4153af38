package io.whetstream.jobs.finetune;

import io.whetstream.jobs.StateVersion;
import io.whetstream.jobs.finetune.Gate.Decision;
import io.whetstream.jobs.finetune.Gate.Verdict;
import io.whetstream.jobs.finetune.Ledger.Fate;
import io.whetstream.jobs.finetune.PairEmbeddings.Recall;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.adapter.AdapterManifest.DriftEvent;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.adapter.Calibration;
import io.whetstream.model.train.PreparedPair;
import io.whetstream.model.train.StepReport;
import io.whetstream.model.train.Trainer;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.ToDoubleFunction;
import org.apache.flink.core.memory.DataInputViewStreamWrapper;
import org.apache.flink.core.memory.DataOutputViewStreamWrapper;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The trainer without Flink: groups come in, optimizer steps happen, candidates that pass the gate
 * wait to be written and announced. Everything it does is a function of base, configuration, its
 * state and what comes in, so state read back goes on as if nothing had happened.
 *
 * <p>Not thread-safe.
 */
final class ContinualTrainer implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(ContinualTrainer.class);

  /** The first bytes of the state. */
  static final int STATE_MAGIC = 0x57485453;

  /**
   * Raised with each change of what the job keeps, here or elsewhere; earlier versions must stay
   * readable. 2: the miner's sketches have features of captions.
   */
  static final int STATE_VERSION = 2;

  private static final int MOST_ANNOUNCED = 1_000;

  /** A pair of the next batch. */
  private record Member(MinedPair pair, boolean fresh, PreparedPair prepared) {}

  /** An adapter version on its way out, or past it. */
  record Announced(long epoch, long n, String digest, long step) {}

  /** An adapter that the line still needs, with its members as they are written. */
  private record Kept(AdapterArtifact artifact, SortedMap<String, byte[]> members) {}

  /** What one step showed, for metrics; NaN where it was not measured. */
  static final class Figures {
    StepReport last;
    double publishedRecall = Double.NaN;
    double baseRecall = Double.NaN;
    double preDriftRecall = Double.NaN;
    Verdict verdict;
    long refusals;
    long returns;
    long published;
    long skippedSteps;
    long driftEvents;

    /** A figure of the last step; NaN before the first. */
    double lastOr(ToDoubleFunction<StepReport> figure) {
      return last == null ? Double.NaN : figure.applyAsDouble(last);
    }
  }

  private final FineTuneConfig config;
  private final TrainingEngine engine;
  private final TrainerHooks hooks;
  private final AdapterWeights initial;
  private final Figures figures = new Figures();

  private final Ledger ledger = new Ledger();
  private final SortedMap<Integer, Long> offsets = new TreeMap<>();
  private final List<Member> batch = new ArrayList<>();
  private final HeldOutSet heldOut;
  private final DriftMonitor drift;

  private long epoch;
  private long versions;
  private int refusalsInRow;
  private boolean paused;
  private String published = "";
  private String preDrift = "";
  private final Map<String, Kept> kept = new LinkedHashMap<>();
  private final Deque<Announced> waiting = new ArrayDeque<>();
  private final Deque<Announced> announced = new ArrayDeque<>();

  ContinualTrainer(FineTuneConfig config, TrainingEngine engine, TrainerHooks hooks) {
    this.config = config;
    this.engine = engine;
    this.hooks = hooks;
    heldOut = new HeldOutSet(config.heldOut().size());
    drift = new DriftMonitor(config.drift(), config.training().globalBatch());
    initial = engine.trainer().weights();
  }

  /** Takes a group; makes as many steps as there are full batches then. */
  void accept(PairGroup group) {
    for (int i = 0; i < group.pairs().size(); i++) {
      MinedPair pair = group.pairs().get(i);
      boolean fresh = i < group.fresh();
      if (PairIds.heldOut(pair.id(), config.heldOut().share())) {
        ledger.add(Fate.HELD_OUT, pair.id());
        heldOut.add(pair);
      } else if (fresh) {
        ledger.add(Fate.PENDING, pair.id());
        batch.add(new Member(pair, true, engine.prepare(pair)));
      } else if (keepsReplayed(pair)) {
        batch.add(new Member(pair, false, engine.prepare(pair)));
      }
    }
    while (batch.size() >= config.training().globalBatch()) {
      step();
    }
  }

  private boolean keepsReplayed(MinedPair pair) {
    long step = engine.trainer().stepNumber();
    double factor = drift.replayFactor(step);
    return factor >= 1
        || PairIds.unit(PairIds.mix(step, PairIds.hash(pair.id()).high(), 0)) < factor;
  }

  private void step() {
    Trainer trainer = engine.trainer();
    long number = trainer.stepNumber();
    List<Member> members = List.copyOf(batch.subList(0, config.training().globalBatch()));
    List<PreparedPair> pairs = members.stream().map(Member::prepared).toList();
    compare(number, members);
    StepReport report = trainer.step(hooks.batch(number, pairs), drift.rateFactor(number));
    hooks.inStep(number);

    batch.subList(0, members.size()).clear();
    for (Member member : members) {
      if (!member.fresh()) {
        ledger.add(Fate.REPLAYED, member.pair().id());
      } else if (report.skipped()) {
        ledger.move(Fate.PENDING, Fate.SKIPPED, member.pair().id());
      } else {
        ledger.move(Fate.PENDING, Fate.TRAINED, member.pair().id());
        offsets.merge(member.pair().partition(), member.pair().offset(), Math::max);
      }
    }
    figures.last = report;
    if (report.skipped()) {
      figures.skippedSteps++;
      LOG.warn(
          "Step skipped: loss or gradient not finite; weights and moments are as before. Pairs: {}",
          members.stream().map(member -> member.pair().id()).toList());
      return;
    }
    LOG.debug("{}", report);
    observeDrift(report, members);
    if (report.step() % config.publish().everySteps() == 0) {
      gate(report.step());
    }
  }

  /** Test-then-train figures of other weights than the ones in training, on the same batch. */
  private void compare(long number, List<Member> members) {
    int every = config.publish().comparePublishedEvery();
    if (every > 0 && number % every == 0) {
      figures.publishedRecall =
          published.isEmpty() ? Double.NaN : recallOf(weights(published), members);
      figures.preDriftRecall =
          preDrift.isEmpty() ? Double.NaN : recallOf(weights(preDrift), members);
    }
    int baseEvery = config.publish().compareBaseEvery();
    if (baseEvery > 0 && number % baseEvery == 0) {
      figures.baseRecall = recallOf(null, members);
    }
  }

  private double recallOf(AdapterWeights weights, List<Member> members) {
    List<Member> measurable =
        members.stream().filter(member -> member.prepared().shortCaption() != null).toList();
    if (measurable.isEmpty()) {
      return Double.NaN;
    }
    return engine
        .embed(weights, measurable.stream().map(Member::prepared).toList())
        .recall(HeldOutSet.groups(measurable.stream().map(Member::pair).toList()))
        .mean();
  }

  private void observeDrift(StepReport report, List<Member> members) {
    DriftEvent event =
        drift.observe(
            report.step(),
            ledger.entry(Fate.TRAINED).count(),
            (report.recallT2i() + report.recallI2t()) / 2,
            members.stream().filter(Member::fresh).map(Member::pair).toList());
    if (event != null) {
      figures.driftEvents++;
      preDrift = published;
      LOG.warn(
          "Distribution change at step {}: {} fell from {} to {}. Response: {}",
          event.step(),
          event.metric(),
          "%.3f".formatted(event.before()),
          "%.3f".formatted(event.after()),
          event.response());
    }
  }

  private void gate(long step) {
    if (paused) {
      return;
    }
    List<MinedPair> sample = heldOut.measurable();
    int[] groups = HeldOutSet.groups(sample);
    AdapterWeights weights = engine.trainer().weights();
    Verdict verdict;
    PairEmbeddings embedded = null;
    Recall candidate = new Recall(Double.NaN, Double.NaN);
    if (sample.size() < config.gate().minSample()) {
      verdict = Gate.judge(config.gate(), Double.NaN, Double.NaN, sample.size());
    } else {
      List<PreparedPair> prepared = engine.prepare(sample);
      embedded = engine.embed(weights, prepared);
      candidate = embedded.recall(groups);
      Recall inUse =
          engine.embed(published.isEmpty() ? null : weights(published), prepared).recall(groups);
      verdict = Gate.judge(config.gate(), candidate.mean(), inUse.mean(), sample.size());
    }
    figures.verdict = verdict;
    LOG.info("Gate at step {}: {}, {}", step, verdict.decision(), verdict.reason());
    if (verdict.decision() == Decision.PUBLISH) {
      refusalsInRow = 0;
      publish(step, weights, verdict, candidate, embedded.calibration(groups));
    } else if (verdict.decision() == Decision.REFUSE) {
      refusalsInRow++;
      figures.refusals++;
      if (refusalsInRow >= config.gate().maxRefusals()) {
        refusalsInRow = 0;
        figures.returns++;
        engine.trainer().load(published.isEmpty() ? initial : weights(published), true);
        LOG.warn(
            "{} refusals in a row: training returned to {} with cleared moments",
            config.gate().maxRefusals(),
            published.isEmpty() ? "its start" : published);
      }
    }
  }

  private void publish(
      long step, AdapterWeights weights, Verdict verdict, Recall recall, Calibration calibration) {
    String digest = weights.digest();
    if (digest.equals(published)) {
      return;
    }
    versions++;
    AdapterArtifact artifact =
        new AdapterArtifact(weights, manifest(step, weights, verdict, recall, calibration));
    keep(artifact);
    published = digest;
    figures.published++;
    waiting.addLast(new Announced(epoch, versions, digest, step));
    forget();
  }

  /** Lineage and figures of a candidate. */
  private AdapterManifest manifest(
      long step, AdapterWeights weights, Verdict verdict, Recall recall, Calibration calibration) {
    SortedMap<String, Double> metrics = new TreeMap<>();
    metrics.put("heldOut.pairs", (double) verdict.sample());
    metrics.put("heldOut.recallTextToImage", recall.textToImage());
    metrics.put("heldOut.recallImageToText", recall.imageToText());
    metrics.put("heldOut.recall", verdict.candidate());
    metrics.put("heldOut.recallPublished", verdict.published());
    metrics.put("training.recallTextToImage", figures.last.recallT2i());
    metrics.put("training.recallImageToText", figures.last.recallI2t());
    metrics.put("training.lossContrastive", figures.last.lossContrastive());
    metrics.put("training.lossNextToken", figures.last.lossNextToken());
    metrics.put("training.logitScale", figures.last.logitScale());
    metrics.values().removeIf(value -> !Double.isFinite(value));
    SortedMap<String, Object> training = new TreeMap<>(TrainingFingerprint.values(config));
    training.put("gate", verdict.reason());
    ledger
        .entries()
        .forEach(
            (fate, entry) -> training.put("ledger." + fate, entry.count() + ":" + entry.sum()));
    SortedMap<String, Long> highest = new TreeMap<>();
    offsets.forEach(
        (partition, offset) ->
            highest.put(config.kafka().topicPrefix() + "pairs-" + partition, offset));
    return AdapterManifest.builder(weights, engine.baseDigest())
        .baseName(config.base().model())
        .stream(config.name())
        .version(new AdapterManifest.Version(epoch, versions))
        .parent(published.isEmpty() ? null : published)
        .step(step)
        .pairs(ledger.entry(Fate.TRAINED).count())
        .offsets(highest)
        .training(training)
        .metrics(metrics)
        .calibration(calibration)
        .driftEvents(drift.events())
        .createdAt(config.deterministic() ? null : Instant.now().toString())
        .createdBy("whetstream finetune")
        .build();
  }

  private void keep(AdapterArtifact artifact) {
    kept.put(artifact.weights().digest(), new Kept(artifact, AdapterCodec.encode(artifact)));
  }

  /** Drops adapters that nothing refers to any more. */
  private void forget() {
    kept.keySet()
        .removeIf(
            digest ->
                !digest.equals(published)
                    && !digest.equals(preDrift)
                    && waiting.stream().noneMatch(version -> version.digest().equals(digest)));
  }

  private AdapterWeights weights(String digest) {
    return kept.get(digest).artifact().weights();
  }

  /** Candidates that passed the gate and are not announced yet, oldest first. */
  List<Announced> waiting() {
    return List.copyOf(waiting);
  }

  AdapterArtifact artifact(String digest) {
    return kept.get(digest).artifact();
  }

  /** Notes that the oldest waiting candidate has been announced. */
  void announced() {
    announced.addLast(waiting.removeFirst());
    while (announced.size() > MOST_ANNOUNCED) {
      announced.removeFirst();
    }
    forget();
  }

  /** Puts the last announced adapter back in line, unless it is not the one in use any more. */
  void announceLastAgain() {
    if (!announced.isEmpty() && announced.getLast().digest().equals(published)) {
      waiting.addFirst(announced.removeLast());
    }
  }

  /** Versions announced, oldest first, at most the newest thousand. */
  List<Announced> history() {
    return List.copyOf(announced);
  }

  /**
   * Goes back to an adapter and publishes nothing until {@link #resume}. Candidates of the line
   * that is left are dropped.
   *
   * @param artifact the adapter, or null for the state before the first step
   * @throws BadInputException if it does not fit this base or configuration; nothing is changed
   *     then
   */
  void rollback(AdapterArtifact artifact) {
    engine.trainer().load(artifact == null ? initial : artifact.weights(), true);
    paused = true;
    refusalsInRow = 0;
    waiting.clear();
    if (artifact == null) {
      published = "";
    } else {
      keep(artifact);
      published = artifact.weights().digest();
    }
    forget();
  }

  /** Lets the gate decide again. */
  void resume() {
    paused = false;
  }

  boolean paused() {
    return paused;
  }

  /** Starts a new epoch of versions. */
  void startEpoch(long next) {
    epoch = next;
    versions = 0;
  }

  long epoch() {
    return epoch;
  }

  String publishedDigest() {
    return published;
  }

  Ledger ledger() {
    return ledger;
  }

  Figures figures() {
    return figures;
  }

  int pendingPairs() {
    return batch.size();
  }

  int heldOutPairs() {
    return heldOut.all().size();
  }

  AdapterWeights weights() {
    return engine.trainer().weights();
  }

  long stepNumber() {
    return engine.trainer().stepNumber();
  }

  String baseDigest() {
    return engine.baseDigest();
  }

  /** Writes everything; each part behind a flag, so that a form without one is a form. */
  void write(DataOutputStream out) throws IOException {
    out.writeInt(STATE_MAGIC);
    out.writeInt(STATE_VERSION);
    out.writeUTF(engine.baseDigest());
    out.writeUTF(TrainingFingerprint.of(config));
    for (StatePart part : StatePart.values()) {
      out.writeBoolean(hooks.keeps(part));
      if (!hooks.keeps(part)) {
        continue;
      }
      switch (part) {
        case MODEL -> engine.trainer().writeState(out);
        case LEDGER -> writeLedger(out);
        case BATCH -> writeBatch(out);
        case HELD_OUT -> writePairs(out, List.copyOf(heldOut.all()));
        case PUBLISHING -> writePublishing(out);
        case DRIFT -> drift.write(out);
      }
    }
  }

  /**
   * Reads what {@link #write} wrote.
   *
   * @throws BadInputException if it belongs to another base or configuration, or lacks a part:
   *     going on without one would look like going on
   */
  void read(DataInputStream in) throws IOException {
    if (in.readInt() != STATE_MAGIC) {
      throw new BadInputException("the trainer's state is not of this job; start without it");
    }
    StateVersion.require("the trainer's state", in.readInt(), 1, STATE_VERSION);
    String base = in.readUTF();
    if (!base.equals(engine.baseDigest())) {
      throw new BadInputException(
          "base.model: the state was trained on base "
              + base
              + ", the configured one is "
              + engine.baseDigest()
              + "; configure that base, or start without state under another name");
    }
    String difference = TrainingFingerprint.difference(in.readUTF(), config);
    if (!difference.isEmpty() && !config.training().resetOptimizer()) {
      throw new BadInputException(
          "the state was written under other settings: "
              + difference
              + "; restore them, or set training.resetOptimizer: true to go on with cleared"
              + " moments");
    }
    for (StatePart part : StatePart.values()) {
      if (!in.readBoolean()) {
        if (hooks.keeps(part)) {
          throw new BadInputException(
              "the trainer's state is incomplete, it has no "
                  + part
                  + "; restore from another savepoint or checkpoint, or start without state under"
                  + " another name");
        }
        continue;
      }
      switch (part) {
        case MODEL -> engine.trainer().readState(in);
        case LEDGER -> readLedger(in);
        case BATCH -> readBatch(in);
        case HELD_OUT -> readPairs(in).forEach(heldOut::add);
        case PUBLISHING -> readPublishing(in);
        case DRIFT -> drift.read(in);
      }
    }
    if (!difference.isEmpty()) {
      LOG.warn("Optimizer moments cleared; settings changed: {}", difference);
      engine.trainer().load(engine.trainer().weights(), true);
    }
  }

  private void writeLedger(DataOutputStream out) throws IOException {
    ledger.write(out);
    out.writeInt(offsets.size());
    for (Map.Entry<Integer, Long> entry : offsets.entrySet()) {
      out.writeInt(entry.getKey());
      out.writeLong(entry.getValue());
    }
  }

  private void readLedger(DataInputStream in) throws IOException {
    ledger.read(in);
    int count = in.readInt();
    for (int i = 0; i < count; i++) {
      offsets.put(in.readInt(), in.readLong());
    }
  }

  private void writeBatch(DataOutputStream out) throws IOException {
    writePairs(out, batch.stream().map(Member::pair).toList());
    for (Member member : batch) {
      out.writeBoolean(member.fresh());
    }
  }

  private void readBatch(DataInputStream in) throws IOException {
    for (MinedPair pair : readPairs(in)) {
      batch.add(new Member(pair, in.readBoolean(), engine.prepare(pair)));
    }
  }

  private void writePublishing(DataOutputStream out) throws IOException {
    out.writeLong(epoch);
    out.writeLong(versions);
    out.writeInt(refusalsInRow);
    out.writeBoolean(paused);
    out.writeUTF(published);
    out.writeUTF(preDrift);
    out.writeInt(kept.size());
    for (Kept adapter : kept.values()) {
      out.writeInt(adapter.members().size());
      for (Map.Entry<String, byte[]> member : adapter.members().entrySet()) {
        out.writeUTF(member.getKey());
        out.writeInt(member.getValue().length);
        out.write(member.getValue());
      }
    }
    writeVersions(out, waiting);
    writeVersions(out, announced);
  }

  private void readPublishing(DataInputStream in) throws IOException {
    epoch = in.readLong();
    versions = in.readLong();
    refusalsInRow = in.readInt();
    paused = in.readBoolean();
    published = in.readUTF();
    preDrift = in.readUTF();
    int adapters = in.readInt();
    for (int i = 0; i < adapters; i++) {
      SortedMap<String, byte[]> members = new TreeMap<>();
      int count = in.readInt();
      for (int m = 0; m < count; m++) {
        String path = in.readUTF();
        byte[] content = new byte[in.readInt()];
        in.readFully(content);
        members.put(path, content);
      }
      AdapterArtifact artifact = AdapterCodec.decode(members::get);
      kept.put(artifact.weights().digest(), new Kept(artifact, members));
    }
    readVersions(in, waiting);
    readVersions(in, announced);
  }

  private static void writeVersions(DataOutputStream out, Deque<Announced> versions)
      throws IOException {
    out.writeInt(versions.size());
    for (Announced version : versions) {
      out.writeLong(version.epoch());
      out.writeLong(version.n());
      out.writeUTF(version.digest());
      out.writeLong(version.step());
    }
  }

  private static void readVersions(DataInputStream in, Deque<Announced> versions)
      throws IOException {
    int count = in.readInt();
    for (int i = 0; i < count; i++) {
      versions.addLast(new Announced(in.readLong(), in.readLong(), in.readUTF(), in.readLong()));
    }
  }

  private static void writePairs(DataOutputStream out, List<MinedPair> pairs) throws IOException {
    StreamTypes.PairSerializer serializer = new StreamTypes.PairSerializer();
    out.writeInt(pairs.size());
    DataOutputViewStreamWrapper view = new DataOutputViewStreamWrapper(out);
    for (MinedPair pair : pairs) {
      serializer.serialize(pair, view);
    }
    view.flush();
  }

  private static List<MinedPair> readPairs(DataInputStream in) throws IOException {
    StreamTypes.PairSerializer serializer = new StreamTypes.PairSerializer();
    DataInputViewStreamWrapper view = new DataInputViewStreamWrapper(in);
    int count = in.readInt();
    List<MinedPair> pairs = new ArrayList<>(count);
    for (int i = 0; i < count; i++) {
      pairs.add(serializer.deserialize(view));
    }
    return pairs;
  }

  @Override
  public void close() {
    engine.close();
  }
}
