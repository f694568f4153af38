package io.whetstream.jobs.finetune;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Pairs that are never trained on: the newest, oldest first, and a uniform sample of all there ever
 * were (Vitter 1985, algorithm R) by which forgetting shows. Not thread-safe.
 */
final class HeldOutSet {
  private final FineTuneConfig.HeldOut settings;
  private final long seed;
  private final Deque<MinedPair> newest = new ArrayDeque<>();
  private final List<MinedPair> history = new ArrayList<>();
  private final Map<String, Integer> pictures = new HashMap<>();
  private long seen;

  /**
   * @param seed of the sample's draws
   */
  HeldOutSet(FineTuneConfig.HeldOut settings, long seed) {
    this.settings = settings;
    this.seed = seed;
  }

  void add(MinedPair pair) {
    newest.addLast(pair);
    count(pair, 1);
    while (newest.size() > settings.size()) {
      count(newest.removeFirst(), -1);
    }
    seen++;
    if (history.size() < settings.history()) {
      history.add(pair);
      count(pair, 1);
      return;
    }
    long slot = (long) (PairIds.unit(PairIds.mix(seed, seen, 0)) * seen);
    if (slot < history.size()) {
      count(history.set((int) slot, pair), -1);
      count(pair, 1);
    }
  }

  private void count(MinedPair pair, int by) {
    pictures.merge(pair.imageDigest(), by, (old, more) -> old + more == 0 ? null : old + more);
  }

  /** Whether a picture is that of a pair held out now: posted again, it is not trained on. */
  boolean holds(String imageDigest) {
    return pictures.containsKey(imageDigest);
  }

  /** How many of the newest are held. */
  int size() {
    return newest.size();
  }

  /** The newest that retrieval can be measured on. */
  List<MinedPair> newest() {
    return newest.stream().filter(pair -> pair.shortCaption() != null).toList();
  }

  /** Those of the whole history that retrieval can be measured on. */
  List<MinedPair> history() {
    return history.stream().filter(pair -> pair.shortCaption() != null).toList();
  }

  void write(DataOutputStream out) throws IOException {
    PendingGroups.writePairs(out, newest);
    PendingGroups.writePairs(out, history);
    out.writeLong(seen);
  }

  void read(DataInputStream in) throws IOException {
    for (MinedPair pair : PendingGroups.readPairs(in)) {
      newest.addLast(pair);
      count(pair, 1);
    }
    for (MinedPair pair : PendingGroups.readPairs(in)) {
      history.add(pair);
      count(pair, 1);
    }
    seen = in.readLong();
    fit();
  }

  /** Reads what releases before version 3 of the state wrote: history begins with the newest. */
  void readBefore3(DataInputStream in) throws IOException {
    PendingGroups.readPairs(in).forEach(this::add);
  }

  /** Another size may be configured than the one that was written. */
  private void fit() {
    while (newest.size() > settings.size()) {
      count(newest.removeFirst(), -1);
    }
    while (history.size() > settings.history()) {
      int slot = (int) (PairIds.unit(PairIds.mix(seed, seen, history.size())) * history.size());
      count(history.remove(slot), -1);
    }
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
