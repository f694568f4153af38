package io.whetstream.jobs.finetune;

/**
 * Counters of one bucket.
 *
 * @param next number of the next pair
 * @param groups closed so far
 * @param retired pairs that have left for the memory of past pairs so far
 * @param timer event time of the outstanding timer, or {@link Long#MIN_VALUE}
 * @param watched whether a processing-time timer is outstanding
 * @param waiting ids of the pending pairs; null in what earlier releases wrote
 */
record BucketState(
    long next, long groups, long retired, long timer, boolean watched, IdSum waiting) {
  static final BucketState EMPTY = new BucketState(0, 0, 0, Long.MIN_VALUE, false, IdSum.NONE);

  BucketState arrived(IdSum id) {
    return new BucketState(next + 1, groups, retired, timer, watched, waiting.plus(id));
  }

  BucketState closed(IdSum ids) {
    return new BucketState(next, groups + 1, retired, timer, watched, waiting.minus(ids));
  }

  BucketState retiredOne() {
    return new BucketState(next, groups, retired + 1, timer, watched, waiting);
  }

  BucketState withTimer(long other) {
    return new BucketState(next, groups, retired, other, watched, waiting);
  }

  BucketState withWatched(boolean other) {
    return new BucketState(next, groups, retired, timer, other, waiting);
  }

  BucketState withWaiting(IdSum ids) {
    return new BucketState(next, groups, retired, timer, watched, ids);
  }
}
