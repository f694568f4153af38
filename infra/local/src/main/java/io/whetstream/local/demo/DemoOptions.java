package io.whetstream.local.demo;

import io.whetstream.model.BadInputException;

/**
 * What the demo streams.
 *
 * @param seconds that scenes are streamed
 * @param seed of the scenes and of training
 * @param pairsPerSecond rate of pairs
 * @param itemsPerSecond rate of items to be scored
 * @param driftAt share of the time after which the looks change, in (0, 1); 1 for never
 * @param queries on the watchlist, half of them for the looks after the change
 */
public record DemoOptions(
    int seconds,
    long seed,
    double pairsPerSecond,
    double itemsPerSecond,
    double driftAt,
    int queries) {
  public DemoOptions {
    if (seconds < 1 || seconds > 7 * 24 * 3600) {
      throw new BadInputException("--seconds must be from 1 to a week, not " + seconds);
    }
    if (!(pairsPerSecond > 0 && pairsPerSecond <= 10_000)
        || !(itemsPerSecond > 0 && itemsPerSecond <= 10_000)) {
      throw new BadInputException("rates must be above 0 and at most 10000 a second");
    }
    if (!(driftAt > 0 && driftAt <= 1)) {
      throw new BadInputException("the change of looks must lie in (0, 1], not at " + driftAt);
    }
    if (queries < 2 || queries > 200) {
      throw new BadInputException("the watchlist must have 2 to 200 queries, not " + queries);
    }
  }

  /** Rates that two cores keep up with, the change half-way. */
  public static DemoOptions of(int seconds, long seed) {
    return new DemoOptions(seconds, seed, 80, 10, 0.5, 16);
  }

  /**
   * So many pairs, spread over the time as far as the rate allows, without a change of looks: items
   * come by all the while.
   */
  DemoOptions spreading(long pairs) {
    // A half more, so that the last one is due before the time is over.
    double rate = Math.min(pairsPerSecond, (pairs + 0.5) / seconds);
    return new DemoOptions(seconds, seed, rate, itemsPerSecond, 1, queries);
  }

  /** Pairs in all. */
  public long pairs() {
    return Math.round(seconds * pairsPerSecond);
  }

  /** Items in all. */
  public long items() {
    return Math.round(seconds * itemsPerSecond);
  }

  /** Number of the first pair with the new looks. */
  public long driftPair() {
    return Math.round(driftAt * pairs());
  }

  /** Number of the first item with the new looks. */
  public long driftItem() {
    return Math.round(driftAt * items());
  }
}
