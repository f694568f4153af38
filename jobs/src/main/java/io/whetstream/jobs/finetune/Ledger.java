package io.whetstream.jobs.finetune;

import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/**
 * What became of every pair that reached the trainer, as {@link IdSum}s. What waits in buckets
 * before it is in {@link BucketState}: at a checkpoint both together are all that was accepted. Not
 * thread-safe.
 */
final class Ledger {
  /**
   * A pair is in exactly one of these; only appearances again are counted apart. Written in this
   * order.
   */
  enum Fate {
    TRAINED,
    HELD_OUT,
    SKIPPED,
    PENDING,
    REPLAYED,
    /** Not trained on because the stream was faster than the trainer. */
    SHED
  }

  /**
   * @param count of pairs
   * @param sum of hashes, 32 hexadecimal digits
   */
  record Entry(long count, String sum) {
    static Entry of(IdSum sum) {
      return new Entry(sum.count(), sum.hex());
    }
  }

  private final Map<Fate, IdSum> sums = new EnumMap<>(Fate.class);

  Ledger() {
    for (Fate fate : Fate.values()) {
      sums.put(fate, IdSum.NONE);
    }
  }

  void add(Fate fate, String id) {
    sums.merge(fate, IdSum.of(id), IdSum::plus);
  }

  void move(Fate from, Fate to, String id) {
    IdSum one = IdSum.of(id);
    sums.merge(from, one, IdSum::minus);
    sums.merge(to, one, IdSum::plus);
  }

  Entry entry(Fate fate) {
    return Entry.of(sums.get(fate));
  }

  /** All accepted pairs that have reached the trainer: all fates but the replayed together. */
  Entry accepted() {
    return Entry.of(total());
  }

  /** The same with those that wait in buckets. */
  Entry accepted(IdSum inBuckets) {
    return Entry.of(total().plus(inBuckets));
  }

  private IdSum total() {
    IdSum total = IdSum.NONE;
    for (Map.Entry<Fate, IdSum> each : sums.entrySet()) {
      total = each.getKey() == Fate.REPLAYED ? total : total.plus(each.getValue());
    }
    return total;
  }

  /** The entry that exactly these ids would make. */
  static Entry of(Iterable<String> ids) {
    IdSum sum = IdSum.NONE;
    for (String id : ids) {
      sum = sum.plus(IdSum.of(id));
    }
    return Entry.of(sum);
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
    for (IdSum sum : sums.values()) {
      sum.write(out);
    }
  }

  /** An earlier release knew fewer fates. */
  void read(DataInput in) throws IOException {
    int written = in.readInt();
    for (int i = 0; i < written; i++) {
      sums.put(Fate.values()[i], IdSum.read(in));
    }
  }
}
