package io.whetstream.jobs.finetune;

import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.jobs.StateVersion;
import io.whetstream.jobs.finetune.FineTuneConfig.WhenBehind;
import io.whetstream.jobs.finetune.Gate.Comparison;
import io.whetstream.jobs.finetune.Gate.Decision;
import io.whetstream.jobs.finetune.Gate.Verdict;
import io.whetstream.jobs.finetune.Ledger.Fate;
import io.whetstream.jobs.finetune.PendingGroups.Member;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
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
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The trainer without Flink: groups come in, optimizer steps happen, candidates that pass the gate
 * join the {@link AdapterLine}. Everything it does is a function of base, configuration, its state
 * and what comes in, so state read back goes on as if nothing had happened.
 *
 * <p>Not thread-safe.
 */
final class ContinualTrainer implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(ContinualTrainer.class);

  /** The first bytes of the state. */
  static final int STATE_MAGIC = 0x57485453;

  /**
   * Raised with each change of what the job keeps, here or elsewhere; earlier versions must stay
   * readable. 2: the miner's sketches have features of captions. 3: stages of versions, orders not
   * carried out yet, whole groups, held-out pairs of the whole history, what waits in a bucket.
   */
  static final int STATE_VERSION = 3;

  /** Groups of which one is shed. */
  private static final int DRAWN = 4;

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
  private final PendingGroups pending = new PendingGroups();
  private final HeldOutSet heldOut;
  private final DriftMonitor drift;
  private final AdapterLine line = new AdapterLine();

  private int refusalsInRow;
  private boolean paused;

  /** Digest of an adapter to go back to, an order that waits for it to be read; empty: none. */
  private String order = "";

  /** Whether a resume came behind that order. */
  private boolean resumeAfterOrder;

  ContinualTrainer(FineTuneConfig config, TrainingEngine engine, TrainerHooks hooks) {
    this.config = config;
    this.engine = engine;
    this.hooks = hooks;
    heldOut = new HeldOutSet(config.heldOut(), config.training().seed());
    drift = new DriftMonitor(config.drift(), config.training().globalBatch());
    initial = engine.trainer().weights();
  }

  // ---- groups and steps

  /** Takes a group; sheds others where more wait than are to. */
  void take(PairGroup group) {
    List<Member> members = new ArrayList<>();
    for (int i = 0; i < group.pairs().size(); i++) {
      MinedPair pair = group.pairs().get(i);
      if (i >= group.fresh()) {
        // It has been trained on, so whatever the share is now, it is not held out.
        if (keepsReplayed(pair)) {
          members.add(new Member(pair, false));
        }
      } else if (isHeldOut(pair)) {
        ledger.add(Fate.HELD_OUT, pair.id());
        heldOut.add(pair);
      } else {
        ledger.add(Fate.PENDING, pair.id());
        members.add(new Member(pair, true));
      }
    }
    pending.add(members);
    if (config.training().whenBehind() != WhenBehind.WAIT) {
      while (pending.pairs() > config.training().maxLag() && pending.all().size() > 1) {
        shed();
      }
    }
  }

  /** By what the picture is, so that a pair posted again under another id has the same fate. */
  private boolean isHeldOut(MinedPair pair) {
    return PairIds.heldOut(pair.imageDigest(), config.heldOut().share())
        || heldOut.holds(pair.imageDigest());
  }

  private boolean keepsReplayed(MinedPair pair) {
    long step = engine.trainer().stepNumber();
    double factor = drift.replayFactor(step);
    return factor >= 1
        || PairIds.unit(PairIds.mix(step, PairIds.hash(pair.id()).high(), 0)) < factor;
  }

  /** Of some groups, a few drawn from all or the older half, the easiest to tell apart goes. */
  private void shed() {
    List<List<Member>> groups = pending.all();
    int easiest = -1;
    double least = Double.POSITIVE_INFINITY;
    for (int at : shedable(groups.size())) {
      double hardness = hardness(groups.get(at));
      if (hardness < least) {
        least = hardness;
        easiest = at;
      }
    }
    for (Member member : pending.removeAt(easiest)) {
      if (member.fresh()) {
        ledger.move(Fate.PENDING, Fate.SHED, member.pair().id());
      }
    }
  }

  private int[] shedable(int groups) {
    if (config.training().whenBehind() == WhenBehind.NEWEST) {
      return IntStream.rangeClosed(0, (groups - 1) / 2).toArray();
    }
    long shed = ledger.entry(Fate.SHED).count();
    long seed = config.training().seed();
    return IntStream.range(0, DRAWN)
        .map(i -> (int) (PairIds.unit(PairIds.mix(seed, shed, i)) * groups))
        .toArray();
  }

  /** Mean cosine between a group's pictures; 0 of a pair alone. */
  private static double hardness(List<Member> group) {
    double sum = 0;
    int count = 0;
    for (int i = 0; i < group.size(); i++) {
      for (int j = 0; j < i; j++) {
        sum += Sketch.cosine(group.get(i).pair().vector(), group.get(j).pair().vector());
        count++;
      }
    }
    return count == 0 ? 0 : sum / count;
  }

  /** Whether enough groups for a step wait, and nothing forbids one. */
  boolean ready() {
    return pending.pairs() >= config.training().globalBatch() && mayTrain();
  }

  /**
   * Not while weights are about to be replaced by an order; and where all must come again in the
   * same way not before candidates have been written, since none is given up.
   */
  boolean mayTrain() {
    return order.isEmpty() && !(config.deterministic() && line.passed() > AdapterLine.MOST_PASSED);
  }

  /** One optimizer step; the gate too if it is its turn. Only if {@link #ready}. */
  void step() {
    Trainer trainer = engine.trainer();
    long number = trainer.stepNumber();
    List<List<Member>> groups = pending.next(config.training().globalBatch());
    List<Member> members = groups.stream().flatMap(List::stream).toList();
    List<PreparedPair> pairs = engine.prepare(members.stream().map(Member::pair).toList());
    compare(number, members, pairs);
    StepReport report =
        trainer.step(hooks.batch(number, pairs), numbers(groups), drift.rateFactor(number));
    hooks.inStep(number);

    pending.remove(groups.size());
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

  /** A group's number for each pair of a batch; of a pair that is shown again its complement. */
  private static int[] numbers(List<List<Member>> groups) {
    int[] numbers = new int[groups.stream().mapToInt(List::size).sum()];
    int at = 0;
    for (int g = 0; g < groups.size(); g++) {
      for (Member member : groups.get(g)) {
        numbers[at++] = member.fresh() ? g : ~g;
      }
    }
    return numbers;
  }

  /** Test-then-train figures of other weights than the ones in training, on the same batch. */
  private void compare(long number, List<Member> members, List<PreparedPair> pairs) {
    int every = config.publish().comparePublishedEvery();
    if (every > 0 && number % every == 0) {
      figures.publishedRecall = recallOf(line.published(), members, pairs);
      figures.preDriftRecall = recallOf(line.preDrift(), members, pairs);
    }
    int baseEvery = config.publish().compareBaseEvery();
    if (baseEvery > 0 && number % baseEvery == 0) {
      figures.baseRecall = recallOf((AdapterWeights) null, members, pairs);
    }
  }

  private double recallOf(String digest, List<Member> members, List<PreparedPair> pairs) {
    return digest.isEmpty() ? Double.NaN : recallOf(line.weights(digest), members, pairs);
  }

  private double recallOf(AdapterWeights weights, List<Member> members, List<PreparedPair> pairs) {
    List<PreparedPair> measurable =
        pairs.stream().filter(pair -> pair.shortCaption() != null).toList();
    if (measurable.isEmpty()) {
      return Double.NaN;
    }
    List<MinedPair> mined =
        members.stream().map(Member::pair).filter(pair -> pair.shortCaption() != null).toList();
    return engine.embed(weights, measurable).recall(HeldOutSet.groups(mined)).mean();
  }

  private void observeDrift(StepReport report, List<Member> members) {
    DriftEvent event =
        drift.observe(
            report.step(),
            ledger.entry(Fate.TRAINED).count(),
            report.recallApart(),
            members.stream().filter(Member::fresh).map(Member::pair).toList());
    if (event != null) {
      figures.driftEvents++;
      line.noteDrift();
      LOG.warn(
          "Distribution change at step {}: {} fell from {} to {}. Response: {}",
          event.step(),
          event.metric(),
          "%.3f".formatted(event.before()),
          "%.3f".formatted(event.after()),
          event.response());
    }
  }

  // ---- the gate

  /** One set of held-out pairs, ready to be embedded. */
  private record Sample(List<PreparedPair> prepared, int[] groups) {}

  private Sample sample(List<MinedPair> pairs) {
    return new Sample(engine.prepare(pairs), HeldOutSet.groups(pairs));
  }

  /**
   * Weights that may be published, on the held-out pairs.
   *
   * @param average share of the adapter in use
   * @param embedded the newest held-out pairs
   */
  private record Candidate(
      AdapterWeights weights,
      double average,
      PairEmbeddings embedded,
      Comparison newest,
      Comparison history) {
    /** On both sets alike, where both were measured. */
    double recall() {
      return history.sample() == 0
          ? newest.candidate()
          : (newest.candidate() + history.candidate()) / 2;
    }
  }

  private void gate(long step) {
    if (paused) {
      return;
    }
    List<MinedPair> newest = heldOut.newest();
    Candidate best =
        new Candidate(
            engine.trainer().weights(),
            0,
            null,
            new Comparison(Double.NaN, Double.NaN, 0, 0, newest.size()),
            Comparison.NONE);
    int candidates = 1;
    Sample sample = null;
    if (newest.size() >= config.gate().minSample()) {
      AdapterWeights inUse = line.weights(line.published());
      sample = sample(newest);
      List<MinedPair> history = heldOut.history();
      Sample past = history.size() >= config.gate().minSample() ? sample(history) : null;
      PairEmbeddings usedNow = engine.embed(inUse, sample.prepared());
      PairEmbeddings usedPast = past == null ? null : engine.embed(inUse, past.prepared());
      best = candidate(best.weights(), 0, sample, usedNow, past, usedPast);
      double average = config.gate().average();
      if (average > 0 && inUse != null && inUse.config().equals(best.weights().config())) {
        candidates++;
        AdapterWeights merged = best.weights().towards(inUse, average);
        Candidate other = candidate(merged, average, sample, usedNow, past, usedPast);
        best = other.recall() > best.recall() ? other : best;
      }
    }
    Verdict verdict = Gate.judge(config.gate(), candidates, best.newest(), best.history());
    figures.verdict = verdict;
    LOG.info(
        "Gate at step {}: {}, {}{}",
        step,
        verdict.decision(),
        verdict.reason(),
        best.average() > 0 ? " (averaged with the adapter in use)" : "");
    if (verdict.decision() == Decision.PUBLISH) {
      refusalsInRow = 0;
      publish(step, best, verdict, sample.groups());
    } else if (verdict.decision() == Decision.REFUSE) {
      refusalsInRow++;
      figures.refusals++;
      if (refusalsInRow >= config.gate().maxRefusals()) {
        refusalsInRow = 0;
        figures.returns++;
        boolean none = line.published().isEmpty();
        engine.trainer().load(none ? initial : line.weights(line.published()), true);
        LOG.warn(
            "{} refusals in a row: training returned to {} with cleared moments",
            config.gate().maxRefusals(),
            none ? "its start" : line.published());
      }
    }
  }

  private Candidate candidate(
      AdapterWeights weights,
      double average,
      Sample newest,
      PairEmbeddings usedNow,
      Sample past,
      PairEmbeddings usedPast) {
    PairEmbeddings now = engine.embed(weights, newest.prepared());
    return new Candidate(
        weights,
        average,
        now,
        compare(now, usedNow, newest),
        past == null
            ? Comparison.NONE
            : compare(engine.embed(weights, past.prepared()), usedPast, past));
  }

  private static Comparison compare(PairEmbeddings candidate, PairEmbeddings used, Sample sample) {
    return Comparison.of(candidate.scores(sample.groups()), used.scores(sample.groups()));
  }

  private void publish(long step, Candidate candidate, Verdict verdict, int[] groups) {
    AdapterWeights weights = candidate.weights();
    if (weights.digest().equals(line.published())) {
      return;
    }
    PairEmbeddings embedded = candidate.embedded();
    AdapterManifest manifest =
        manifest(
            step,
            weights,
            candidate.average(),
            verdict,
            embedded.recall(groups),
            embedded.calibration(groups));
    line.pass(new AdapterArtifact(weights, manifest), !config.deterministic());
    figures.published++;
  }

  /** Lineage and figures of a candidate. */
  private AdapterManifest manifest(
      long step,
      AdapterWeights weights,
      double average,
      Verdict verdict,
      PairEmbeddings.Recall recall,
      Calibration calibration) {
    SortedMap<String, Double> metrics = new TreeMap<>();
    metrics.put("heldOut.pairs", (double) verdict.newest().sample());
    metrics.put("heldOut.recallTextToImage", recall.textToImage());
    metrics.put("heldOut.recallImageToText", recall.imageToText());
    metrics.put("heldOut.recall", verdict.newest().candidate());
    metrics.put("heldOut.recallPublished", verdict.newest().published());
    metrics.put("heldOut.better", (double) verdict.newest().wins());
    metrics.put("heldOut.worse", (double) verdict.newest().losses());
    metrics.put("history.pairs", (double) verdict.history().sample());
    metrics.put("history.recall", verdict.history().candidate());
    metrics.put("history.recallPublished", verdict.history().published());
    metrics.put("history.forgot", verdict.forgot() ? 1.0 : 0.0);
    metrics.put("training.recallTextToImage", figures.last.recallT2i());
    metrics.put("training.recallImageToText", figures.last.recallI2t());
    metrics.put("training.lossContrastive", figures.last.lossContrastive());
    metrics.put("training.lossNextToken", figures.last.lossNextToken());
    metrics.put("training.logitScale", figures.last.logitScale());
    metrics.values().removeIf(value -> !Double.isFinite(value));
    SortedMap<String, Object> training = new TreeMap<>(TrainingFingerprint.values(config));
    training.put("gate", verdict.reason());
    if (average > 0) {
      training.put("gate.average", average);
    }
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
        .decoderModule(engine.decoderModule())
        .stream(config.name())
        .version(line.next())
        .parent(line.published().isEmpty() ? null : line.published())
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

  // ---- orders

  /**
   * Takes an order about the stream. Nothing is published, and nothing trained on, from the moment
   * of a rollback; it is carried out at once if the adapter is at hand, otherwise {@link #order}
   * names it until it has been read.
   */
  void obey(AdapterControl control) {
    switch (control.action()) {
      case ROLLBACK -> backTo(control.digest());
      case RESUME -> {
        if (control.digest() != null) {
          // Started without state, the trainer may not have seen the rollback before this.
          boolean superseded =
              control.digest().equals(order)
                  || control.digest().equals(line.published())
                  || !line.isNotAfter(control.afterEpoch(), control.afterN());
          if (!superseded) {
            backTo(control.digest());
          }
          line.raiseAbove(control.afterEpoch(), control.afterN());
        }
        if (order.isEmpty()) {
          paused = false;
          LOG.info("Publishing resumed");
        } else {
          resumeAfterOrder = true;
        }
      }
    }
  }

  private void backTo(String digest) {
    paused = true;
    resumeAfterOrder = false;
    refusalsInRow = 0;
    order = digest;
    AdapterArtifact kept = line.artifact(digest);
    if (kept != null || digest.equals(engine.baseDigest())) {
      carryOut(digest, kept);
    }
  }

  /** Digest of the adapter that an order waits for; empty: none does. */
  String order() {
    return order;
  }

  /**
   * Goes back to an adapter that has been read. Candidates of the line that is left are dropped.
   *
   * @param digest that was ordered; if it is not the one waited for any more nothing happens
   * @param artifact the adapter, or null for the state before the first step
   * @throws BadInputException if it does not fit this base or configuration; nothing is changed
   *     then
   */
  void carryOut(String digest, AdapterArtifact artifact) {
    if (!digest.equals(order)) {
      return;
    }
    engine.trainer().load(artifact == null ? initial : artifact.weights(), true);
    line.backTo(artifact);
    ordered();
    LOG.warn("Rolled back to {}; nothing is published until resume", digest);
  }

  /** Gives up an order that cannot be carried out: training goes on as before. */
  void refuseOrder(String digest) {
    if (digest.equals(order)) {
      paused = false;
      ordered();
    }
  }

  private void ordered() {
    order = "";
    if (resumeAfterOrder) {
      resumeAfterOrder = false;
      paused = false;
      LOG.info("Publishing resumed");
    }
  }

  /**
   * Goes on from the adapter that the stream announced last, where there is no state.
   *
   * @throws BadInputException if it does not fit this base or configuration
   */
  void adopt(AdapterArtifact artifact, long epoch, long n) {
    engine.trainer().load(artifact.weights(), true);
    line.adopt(artifact, epoch, n);
  }

  // ---- what it is at

  boolean paused() {
    return paused;
  }

  AdapterLine line() {
    return line;
  }

  Ledger ledger() {
    return ledger;
  }

  Figures figures() {
    return figures;
  }

  /** Pairs that wait for a step, those that are shown again too. */
  int pendingPairs() {
    return pending.pairs();
  }

  /** Event time of the oldest pair that waits; {@link Long#MAX_VALUE} if none does. */
  long oldestPending() {
    List<List<Member>> groups = pending.all();
    return groups.isEmpty() ? Long.MAX_VALUE : groups.get(0).get(0).pair().eventTime();
  }

  int heldOutPairs() {
    return heldOut.size();
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

  // ---- state

  /** Writes everything. */
  void write(DataOutputStream out) throws IOException {
    write(out, EnumSet.allOf(StatePart.class));
  }

  /** Writes some parts, each behind a flag that says whether it is there. */
  void write(DataOutputStream out, Set<StatePart> parts) throws IOException {
    out.writeInt(STATE_MAGIC);
    out.writeInt(STATE_VERSION);
    out.writeUTF(engine.baseDigest());
    out.writeUTF(TrainingFingerprint.of(config));
    for (StatePart part : StatePart.values()) {
      out.writeBoolean(parts.contains(part));
      if (!parts.contains(part)) {
        continue;
      }
      switch (part) {
        case MODEL -> engine.trainer().writeState(out);
        case LEDGER -> writeLedger(out);
        case BATCH -> pending.write(out);
        case HELD_OUT -> heldOut.write(out);
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
    read(in, EnumSet.allOf(StatePart.class));
  }

  /** The same where only some parts need be there. */
  void read(DataInputStream in, Set<StatePart> needed) throws IOException {
    if (in.readInt() != STATE_MAGIC) {
      throw new BadInputException("the trainer's state is not of this job; start without it");
    }
    int version = in.readInt();
    StateVersion.require("the trainer's state", version, 1, STATE_VERSION);
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
      if (in.readBoolean()) {
        read(part, version, in);
      } else if (needed.contains(part)) {
        throw new BadInputException(
            "the trainer's state is incomplete, it has no "
                + part
                + "; restore from another savepoint or checkpoint, or start without state under"
                + " another name");
      }
    }
    if (!difference.isEmpty()) {
      LOG.warn("Optimizer moments cleared; settings changed: {}", difference);
      engine.trainer().load(engine.trainer().weights(), true);
    }
  }

  private void read(StatePart part, int version, DataInputStream in) throws IOException {
    switch (part) {
      case MODEL -> engine.trainer().readState(in);
      case LEDGER -> readLedger(in);
      case BATCH -> {
        if (version < 3) {
          pending.readGroup(in);
        } else {
          pending.read(in);
        }
      }
      case HELD_OUT -> {
        if (version < 3) {
          heldOut.readBefore3(in);
        } else {
          heldOut.read(in);
        }
      }
      case PUBLISHING -> readPublishing(version, in);
      case DRIFT -> drift.read(version, in);
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

  private void writePublishing(DataOutputStream out) throws IOException {
    out.writeInt(refusalsInRow);
    out.writeBoolean(paused);
    out.writeUTF(order);
    out.writeBoolean(resumeAfterOrder);
    line.write(out);
  }

  private void readPublishing(int version, DataInputStream in) throws IOException {
    if (version < 3) {
      long epoch = in.readLong();
      long versions = in.readLong();
      refusalsInRow = in.readInt();
      paused = in.readBoolean();
      line.readBefore3(in, epoch, versions);
      return;
    }
    refusalsInRow = in.readInt();
    paused = in.readBoolean();
    order = in.readUTF();
    resumeAfterOrder = in.readBoolean();
    line.read(in);
  }

  @Override
  public void close() {
    engine.close();
  }
}
