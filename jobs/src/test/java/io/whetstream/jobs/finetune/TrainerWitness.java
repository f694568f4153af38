package io.whetstream.jobs.finetune;

import io.whetstream.model.train.PreparedPair;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Keeps what a trainer had when it was restored, at each snapshot and in the end; by run. */
record TrainerWitness(String run) implements TrainerHooks {
  private static final long serialVersionUID = 1L;
  private static final Map<String, Seen> SEEN = new ConcurrentHashMap<>();

  /**
   * What a trainer's state says.
   *
   * @param state digest of all of it, moments and drift detectors too
   */
  record Account(
      long epoch,
      long step,
      String weights,
      String published,
      List<String> announced,
      int pending,
      int heldOut,
      Map<String, Ledger.Entry> ledger,
      String state) {
    static Account of(ContinualTrainer trainer) {
      ByteArrayOutputStream state = new ByteArrayOutputStream();
      try {
        trainer.write(new DataOutputStream(state));
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
      return new Account(
          trainer.line().epoch(),
          trainer.stepNumber(),
          trainer.weights().digest(),
          trainer.line().published(),
          trainer.line().history().stream().map(AdapterLine.Version::digest).toList(),
          trainer.pendingPairs(),
          trainer.heldOutPairs(),
          trainer.ledger().entries(),
          PairIds.digest(state.toByteArray()));
    }

    /** What any version of the state says; of a fate that it did not know there was nothing. */
    Account withoutState() {
      Map<String, Ledger.Entry> all = new Ledger().entries();
      all.putAll(ledger);
      return new Account(epoch, step, weights, published, announced, pending, heldOut, all, null);
    }
  }

  /** What is known of a run. */
  static final class Seen {
    private Account restored;
    private Account snapshot;
    private Account end;
    private Ledger.Entry accepted;
    private final List<List<String>> batches = new ArrayList<>();

    synchronized Account restored() {
      return restored;
    }

    /** As of the last snapshot. */
    synchronized Account snapshot() {
      return snapshot;
    }

    synchronized Account end() {
      return end;
    }

    /** All pairs of the ledger in the end. */
    synchronized Ledger.Entry accepted() {
      return accepted;
    }

    /** Ids of the pairs of each step. */
    synchronized List<List<String>> batches() {
      return List.copyOf(batches);
    }
  }

  Seen seen() {
    return SEEN.computeIfAbsent(run, name -> new Seen());
  }

  @Override
  public List<PreparedPair> batch(long step, List<PreparedPair> pairs) {
    Seen seen = seen();
    synchronized (seen) {
      seen.batches.add(pairs.stream().map(PreparedPair::id).toList());
    }
    return pairs;
  }

  @Override
  public void restored(ContinualTrainer trainer) {
    Seen seen = seen();
    synchronized (seen) {
      // Of several attempts the first counts: only it begins with the savepoint.
      seen.restored = seen.restored == null ? Account.of(trainer) : seen.restored;
    }
  }

  @Override
  public void afterSnapshot(long checkpoint, ContinualTrainer trainer) {
    Seen seen = seen();
    synchronized (seen) {
      seen.snapshot = Account.of(trainer);
    }
  }

  @Override
  public void atEnd(ContinualTrainer trainer) {
    Seen seen = seen();
    synchronized (seen) {
      seen.end = Account.of(trainer);
      seen.accepted = trainer.ledger().accepted();
    }
  }
}
