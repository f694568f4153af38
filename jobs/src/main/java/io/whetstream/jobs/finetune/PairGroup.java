package io.whetstream.jobs.finetune;

import java.util.List;

/**
 * Pairs that are hard for each other.
 *
 * @param pairs the anchor, its partners, then past pairs that are shown again
 * @param fresh how many of them are new
 */
record PairGroup(List<MinedPair> pairs, int fresh) {
  PairGroup {
    pairs = List.copyOf(pairs);
    if (fresh < 1 || fresh > pairs.size()) {
      throw new IllegalArgumentException(fresh + " new pairs of " + pairs.size());
    }
  }
}
