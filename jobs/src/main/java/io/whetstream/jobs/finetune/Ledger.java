package io.whetstream.jobs.finetune;

import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/**
 * What became of every pair, as a count and the sum modulo 2^128 of the ids' hashes. Sums do not
 * depend on order, so a set of ids can be proven to be exactly the one that was accepted: a pair
 * lost, doubled or swapped changes them. Not thread-safe.
 */
final class Ledger {
  /** A pair is in exactly one of the first four; appearances again are counted apart. */
  enum Fate {
    TRAINED,
    HELD_OUT,
    SKIPPED,
    PENDING,
    REPLAYED
  }

  /**
   * @param count of pairs
   * @param sum of hashes, 32 hexadecimal digits
   */
  record Entry(long count, String sum) {}

  private final Map<Fate, Sum> sums = new EnumMap<>(Fate.class);

  private static final class Sum {
    private long count;
    private long high;
    private long low;

    void add(PairIds.Hash hash) {
      long before = low;
      low += hash.low();
      high += hash.high() + (Long.compareUnsigned(low, before) < 0 ? 1 : 0);
      count++;
    }

    void subtract(PairIds.Hash hash) {
      long before = low;
      low -= hash.low();
      high -= hash.high() + (Long.compareUnsigned(low, before) > 0 ? 1 : 0);
      count--;
    }

    void add(Sum other) {
      add(new PairIds.Hash(other.high, other.low));
      count += other.count - 1;
    }
  }

  Ledger() {
    for (Fate fate : Fate.values()) {
      sums.put(fate, new Sum());
    }
  }

  void add(Fate fate, String id) {
    sums.get(fate).add(PairIds.hash(id));
  }

  void move(Fate from, Fate to, String id) {
    PairIds.Hash hash = PairIds.hash(id);
    sums.get(from).subtract(hash);
    sums.get(to).add(hash);
  }

  Entry entry(Fate fate) {
    Sum sum = sums.get(fate);
    return new Entry(sum.count, "%016x%016x".formatted(sum.high, sum.low));
  }

  /** All accepted pairs: trained, held out, skipped and pending together. */
  Entry accepted() {
    Ledger total = new Ledger();
    for (Fate fate : Fate.values()) {
      if (fate != Fate.REPLAYED) {
        total.sums.get(Fate.PENDING).add(sums.get(fate));
      }
    }
    return total.entry(Fate.PENDING);
  }

  /** The entry that exactly these ids would make. */
  static Entry of(Iterable<String> ids) {
    Ledger ledger = new Ledger();
    ids.forEach(id -> ledger.add(Fate.TRAINED, id));
    return ledger.entry(Fate.TRAINED);
  }

  /** For manifests and logs: count and sum by fate, lower case. */
  Map<String, Entry> entries() {
    Map<String, Entry> entries = new LinkedHashMap<>();
    for (Fate fate : Fate.values()) {
      entries.put(fate.name().toLowerCase(Locale.ROOT), entry(fate));
    }
    return entries;
  }

  void write(DataOutput out) throws IOException {
    out.writeInt(sums.size());
    for (Sum sum : sums.values()) {
      out.writeLong(sum.count);
      out.writeLong(sum.high);
      out.writeLong(sum.low);
    }
  }

  void read(DataInput in) throws IOException {
    int written = in.readInt();
    for (int i = 0; i < written; i++) {
      Sum sum = sums.get(Fate.values()[i]);
      sum.count = in.readLong();
      sum.high = in.readLong();
      sum.low = in.readLong();
    }
  }
}
