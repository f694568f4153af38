package io.whetstream.jobs.finetune;

import io.whetstream.model.image.ModelImage;
import io.whetstream.model.train.PreparedPair;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Lets a run fail at chosen places and keeps what it did. Hooks travel through serialization into
 * the cluster of the same process, so what they share is looked up by the run's name.
 */
record Faults(String run, Place place) implements TrainerHooks {
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
    /** Nothing fails, but one batch is not finite. */
    NOT_FINITE,
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
    private List<String> spoiled = List.of();

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

    /** Ids of the pairs in the batch that was not finite. */
    synchronized List<String> spoiled() {
      return spoiled;
    }

    synchronized History history() {
      return new History(new TreeMap<>(historyOfSnapshot), new TreeSet<>(completed));
    }

    private synchronized boolean fires(boolean here, double chance) {
      if (!here || fired >= most || random.nextDouble() >= chance) {
        return false;
      }
      fired++;
      return true;
    }
  }

  /**
   * What was announced, as checkpoints have it.
   *
   * @param snapshots digests announced so far, by checkpoint, whether it was completed or not
   * @param completed checkpoints
   */
  record History(SortedMap<Long, List<String>> snapshots, SortedSet<Long> completed) {
    /**
     * What is wrong with a digest's announcement; empty if nothing is. It must be in the state of
     * the first checkpoint completed at or after its emission, and of all later ones. Announcements
     * are emitted right before a snapshot; of several, aborted ones among them, the last counts.
     */
    String fault(String digest) {
      long emitted = -1;
      boolean before = false;
      for (Map.Entry<Long, List<String>> snapshot : snapshots.entrySet()) {
        boolean now = snapshot.getValue().contains(digest);
        emitted = now && !before ? snapshot.getKey() : emitted;
        before = now;
      }
      if (emitted < 0) {
        return digest + " is in no snapshot";
      }
      SortedSet<Long> after = completed.tailSet(emitted);
      if (after.isEmpty()) {
        return digest + ": no checkpoint was completed after its emission before " + emitted;
      }
      for (long checkpoint : after) {
        if (!snapshots.get(checkpoint).contains(digest)) {
          return digest + ", emitted before " + emitted + ", is missing in " + checkpoint;
        }
      }
      return "";
    }
  }

  static Faults of(String run, Place place) {
    return new Faults(run, place);
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
    Record record = record();
    if (!record.fires(place == Place.NOT_FINITE && step >= 5, 1)) {
      return pairs;
    }
    synchronized (record) {
      record.spoiled = pairs.stream().map(PreparedPair::id).toList();
    }
    return spoiled(pairs);
  }

  /** The same batch with one value of one picture that is not a number. */
  static List<PreparedPair> spoiled(List<PreparedPair> pairs) {
    PreparedPair first = pairs.get(0);
    float[] pixels = first.image().pixels().clone();
    pixels[0] = Float.NaN;
    List<PreparedPair> spoiled = new ArrayList<>(pairs);
    spoiled.set(
        0,
        new PreparedPair(
            first.id(),
            new ModelImage(first.image().geometry(), pixels),
            first.shortCaption(),
            first.longCaption(),
            first.imageDigest(),
            first.captionDigest()));
    return spoiled;
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
          checkpoint, trainer.line().history().stream().map(AdapterLine.Version::digest).toList());
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
}
