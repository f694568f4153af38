package io.whetstream.jobs.finetune;

import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The newest pairs that are never trained on, oldest first. Not thread-safe. */
final class HeldOutSet {
  private final int size;
  private final Deque<MinedPair> pairs = new ArrayDeque<>();

  HeldOutSet(int size) {
    this.size = size;
  }

  void add(MinedPair pair) {
    pairs.addLast(pair);
    while (pairs.size() > size) {
      pairs.removeFirst();
    }
  }

  Collection<MinedPair> all() {
    return pairs;
  }

  /** Those that retrieval can be measured on. */
  List<MinedPair> measurable() {
    return pairs.stream().filter(pair -> pair.shortCaption() != null).toList();
  }

  /**
   * Numbers such that pairs with one number are right answers to each other: those that share an
   * image or a caption, directly or through others.
   */
  static int[] groups(List<MinedPair> pairs) {
    int[] group = new int[pairs.size()];
    Map<String, Integer> first = new HashMap<>();
    for (int i = 0; i < group.length; i++) {
      group[i] = i;
      for (String digest :
          new String[] {pairs.get(i).imageDigest(), pairs.get(i).captionDigest()}) {
        Integer other = first.putIfAbsent(digest, i);
        if (other != null) {
          int joined = group[other];
          int gone = group[i];
          for (int j = 0; j <= i; j++) {
            if (group[j] == gone) {
              group[j] = joined;
            }
          }
        }
      }
    }
    return group;
  }
}
