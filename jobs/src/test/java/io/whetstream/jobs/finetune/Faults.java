package io.whetstream.jobs.finetune;

import io.whetstream.model.train.PreparedPair;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Lets a run fail at chosen places and keeps what it did. Hooks travel through serialization into
 * the cluster of the same process, so what they share is looked up by the run's name.
 */
record Faults(String run, Place place, StatePart missing) implements TrainerHooks {
  private static final long serialVersionUID = 1L;
  private static final Map<String, Record> RECORDS = new ConcurrentHashMap<>();

  /** Where a run fails, once. */
  enum Place {
    NOWHERE,
    BEFORE_FIRST_CHECKPOINT,
    IN_STEP,
    BETWEEN_SNAPSHOT_AND_COMPLETION,
    WHILE_A_CANDIDATE_IS_WRITTEN,
    AFTER_COMPLETION,
    /** Again and again, at places drawn from the run's name. */
    ANYWHERE
  }

  /** What a run ended with. */
  record Outcome(String digest, long step, Ledger.Entry accepted, String ledger) {
    static Outcome of(ContinualTrainer trainer) {
      return new Outcome(
          trainer.weights().digest(),
          trainer.stepNumber(),
          trainer.ledger().accepted(),
          trainer.ledger().entries().toString());
    }
  }

  /** What is known of a run. */
  static final class Record {
    private final Map<Long, Long> stepOfSnapshot = new TreeMap<>();
    private final Map<Long, List<String>> historyOfSnapshot = new TreeMap<>();
    private final List<Long> completed = new ArrayList<>();
    private final Random random;
    private long completedStep = -1;
    private long snapshotStep;
    private boolean paused;
    private int fired;
    private int most;
    private Outcome outcome;

    Record(long seed) {
      random = new Random(seed);
      most = 1;
    }

    synchronized long completedStep() {
      return completedStep;
    }

    synchronized long snapshotStep() {
      return snapshotStep;
    }

    synchronized boolean paused() {
      return paused;
    }

    synchronized int fired() {
      return fired;
    }

    synchronized Outcome outcome() {
      return outcome;
    }

    /** Digests announced, by completed checkpoint, as its state has them. */
    synchronized Map<Long, List<String>> histories() {
      Map<Long, List<String>> histories = new TreeMap<>(historyOfSnapshot);
      histories.keySet().retainAll(completed);
      return histories;
    }

    private synchronized boolean fires(boolean here, double chance) {
      if (!here || fired >= most || random.nextDouble() >= chance) {
        return false;
      }
      fired++;
      return true;
    }
  }

  static Faults of(String run, Place place) {
    return new Faults(run, place, null);
  }

  Record record() {
    return RECORDS.computeIfAbsent(
        run,
        name -> {
          Record record = new Record(name.hashCode());
          record.most = place == Place.ANYWHERE ? 4 : 1;
          return record;
        });
  }

  private void failIf(Place here, boolean ready) {
    boolean anywhere = place == Place.ANYWHERE;
    if (record().fires(anywhere || (place == here && ready), anywhere ? 0.05 : 1)) {
      throw new IllegalStateException("fault of the test: " + here);
    }
  }

  private boolean checkpointed() {
    return record().completedStep() >= 2;
  }

  @Override
  public List<PreparedPair> batch(long step, List<PreparedPair> pairs) {
    return pairs;
  }

  @Override
  public void inStep(long step) {
    failIf(Place.IN_STEP, checkpointed());
    failIf(Place.BEFORE_FIRST_CHECKPOINT, step >= 4);
  }

  @Override
  public void afterSnapshot(long checkpoint, ContinualTrainer trainer) {
    Record record = record();
    synchronized (record) {
      record.stepOfSnapshot.put(checkpoint, trainer.stepNumber());
      record.historyOfSnapshot.put(
          checkpoint, trainer.history().stream().map(ContinualTrainer.Announced::digest).toList());
      record.snapshotStep = trainer.stepNumber();
      record.paused = trainer.paused();
    }
    failIf(Place.BETWEEN_SNAPSHOT_AND_COMPLETION, checkpointed());
  }

  @Override
  public void afterCheckpoint(long checkpoint) {
    Record record = record();
    synchronized (record) {
      record.completed.add(checkpoint);
      record.completedStep = record.stepOfSnapshot.getOrDefault(checkpoint, -1L);
    }
    failIf(Place.AFTER_COMPLETION, checkpointed());
  }

  @Override
  public void beforeWrite(String digest) {
    failIf(Place.WHILE_A_CANDIDATE_IS_WRITTEN, true);
  }

  @Override
  public void atEnd(ContinualTrainer trainer) {
    Record record = record();
    synchronized (record) {
      record.outcome = Outcome.of(trainer);
    }
  }

  @Override
  public boolean keeps(StatePart part) {
    return part != missing;
  }
}
