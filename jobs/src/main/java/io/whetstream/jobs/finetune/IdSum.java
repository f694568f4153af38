package io.whetstream.jobs.finetune;

import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;

/**
 * A set of ids as a count and the sum of their hashes modulo 2^128. Sums do not depend on order, so
 * a set of ids can be proven to be exactly the one that was accepted: a pair lost, doubled or
 * swapped changes them.
 *
 * @param count of ids
 * @param high upper word of the sum
 * @param low lower word
 */
record IdSum(long count, long high, long low) {
  static final IdSum NONE = new IdSum(0, 0, 0);

  IdSum plus(IdSum other) {
    long sum = low + other.low;
    long carry = Long.compareUnsigned(sum, low) < 0 ? 1 : 0;
    return new IdSum(count + other.count, high + other.high + carry, sum);
  }

  IdSum minus(IdSum other) {
    long borrow = Long.compareUnsigned(low, other.low) < 0 ? 1 : 0;
    return new IdSum(count - other.count, high - other.high - borrow, low - other.low);
  }

  static IdSum of(String id) {
    PairIds.Hash hash = PairIds.hash(id);
    return new IdSum(1, hash.high(), hash.low());
  }

  /** The sum as 32 hexadecimal digits. */
  String hex() {
    return "%016x%016x".formatted(high, low);
  }

  void write(DataOutput out) throws IOException {
    out.writeLong(count);
    out.writeLong(high);
    out.writeLong(low);
  }

  static IdSum read(DataInput in) throws IOException {
    return new IdSum(in.readLong(), in.readLong(), in.readLong());
  }
}
