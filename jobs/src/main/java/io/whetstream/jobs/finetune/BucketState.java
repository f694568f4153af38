package io.whetstream.jobs.finetune;

/**
 * Counters of one bucket.
 *
 * @param next number of the next pair
 * @param groups closed so far
 * @param retired pairs that have left for the memory of past pairs so far
 * @param timer event time of the outstanding timer, or {@link Long#MIN_VALUE}
 * @param watched whether a processing-time timer is outstanding
 */
record BucketState(long next, long groups, long retired, long timer, boolean watched) {
  static final BucketState EMPTY = new BucketState(0, 0, 0, Long.MIN_VALUE, false);

  BucketState arrived() {
    return new BucketState(next + 1, groups, retired, timer, watched);
  }

  BucketState closed() {
    return new BucketState(next, groups + 1, retired, timer, watched);
  }

  BucketState retiredOne() {
    return new BucketState(next, groups, retired + 1, timer, watched);
  }

  BucketState withTimer(long other) {
    return new BucketState(next, groups, retired, other, watched);
  }

  BucketState withWatched(boolean other) {
    return new BucketState(next, groups, retired, timer, other);
  }
}
