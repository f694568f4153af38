package io.whetstream.jobs.finetune;

import io.whetstream.jobs.config.ByteSize;
import io.whetstream.jobs.config.Checks;
import java.io.Serializable;
import java.time.Duration;

/**
 * Hard-negative mining.
 *
 * @param mode {@code HARD}: nearest by the mining embedding; {@code RANDOM}: order of arrival, the
 *     yardstick
 * @param parallelism of the keyed stage
 * @param seed of hyperplanes and draws
 * @param tables of hyperplanes; a pair's home is the one where it is farthest from all planes
 * @param depth hyperplanes per table; buckets are tables times 2^depth, and pairs of different
 *     buckets never meet. 0: as few as the parallelism needs
 * @param groupSize pairs in a group, replayed ones included
 * @param candidates pending pairs of a bucket that, once reached, close a group
 * @param maxWait event time after which an incomplete group is closed: what bounds waiting where
 *     pairs are too few to fill a bucket
 * @param idleFlush processing time of silence after which a bucket is emptied, at least: ten times
 *     the usual gap between pairs is no silence yet; 0s: never
 * @param similarityBound cosine of pictures above which two pairs are taken for the same thing
 * @param captionWeight how much captions count in what is near, pictures counting 1; 0: not at all
 * @param replayShare share of a group drawn from past pairs
 * @param memory past pairs kept, all buckets together
 * @param cache heap for vectors of pending and past pairs and, in what is left, for the youngest
 *     pending pairs, per subtask; the rest is read from RocksDB
 * @param batch images per run of the mining embedding
 * @param batchWait processing time after which an incomplete batch is run
 */
public record MiningSettings(
    Mode mode,
    int parallelism,
    long seed,
    int tables,
    int depth,
    int groupSize,
    int candidates,
    Duration maxWait,
    Duration idleFlush,
    double similarityBound,
    double captionWeight,
    double replayShare,
    ByteSize memory,
    ByteSize cache,
    int batch,
    Duration batchWait)
    implements Serializable {
  /** How partners of a group are chosen. */
  public enum Mode {
    /** The nearest by the mining embedding. */
    HARD,
    /** In order of arrival; the yardstick for {@link #HARD}. */
    RANDOM
  }

  public MiningSettings {
    Checks.atLeast("mining.parallelism", parallelism, 1);
    Checks.within("mining.tables", tables, 1, 64);
    Checks.within("mining.depth", depth, 0, 20);
    Checks.within("mining.groupSize", groupSize, 2, 1024);
    Checks.that(
        candidates >= groupSize,
        "mining.candidates must be at least mining.groupSize (" + groupSize + ")");
    Checks.positive("mining.maxWait", maxWait);
    Checks.within("mining.similarityBound", similarityBound, -1, 2);
    Checks.within("mining.captionWeight", captionWeight, 0, 100);
    Checks.within("mining.replayShare", replayShare, 0, 0.9);
    Checks.within("mining.batch", batch, 1, 4096);
  }

  static MiningSettings defaults() {
    return new MiningSettings(
        Mode.HARD,
        1,
        17,
        1,
        0,
        8,
        1024,
        Duration.ofHours(1),
        Duration.ofSeconds(10),
        0.999,
        1,
        0,
        ByteSize.ofMega(64),
        ByteSize.ofMega(64),
        16,
        Duration.ofMillis(50));
  }

  /** Hyperplanes per table: a few buckets for each subtask, but one where there is only one. */
  int planes() {
    int subtasks = Integer.SIZE - Integer.numberOfLeadingZeros(parallelism - 1);
    return depth > 0 || parallelism == 1 ? depth : subtasks + 1;
  }

  int buckets() {
    return tables << planes();
  }
}
