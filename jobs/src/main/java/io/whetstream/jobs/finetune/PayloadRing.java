package io.whetstream.jobs.finetune;

import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Pending pairs on the heap, the youngest, as far as their bytes allow: most leave their bucket
 * before they would have to be read from RocksDB again. What is not here is there. One thread.
 */
final class PayloadRing {
  /** Heap of a pair beyond its bytes in state: objects, and texts that are not bytes. */
  private static final int OBJECTS = 320;

  private record Place(int bucket, long number) {}

  private record Held(MinedPair pair, int heap) {}

  private final Map<Place, Held> pairs = new LinkedHashMap<>();
  private long bytes;

  /**
   * Holds a pair.
   *
   * @param size of the pair in state, in bytes
   */
  void put(int bucket, long number, MinedPair pair, int size) {
    Held held = new Held(pair, size + OBJECTS);
    pairs.put(new Place(bucket, number), held);
    bytes += held.heap();
  }

  /** Gives up a pair, or null if it is not held. */
  MinedPair take(int bucket, long number) {
    Held held = pairs.remove(new Place(bucket, number));
    if (held == null) {
      return null;
    }
    bytes -= held.heap();
    return held.pair();
  }

  /** Lets go of the oldest until at most so many bytes of heap are taken. */
  void trim(long most) {
    Iterator<Held> oldest = pairs.values().iterator();
    while (bytes > most && oldest.hasNext()) {
      bytes -= oldest.next().heap();
      oldest.remove();
    }
  }

  /** Heap taken, in bytes, about. */
  long bytes() {
    return bytes;
  }
}
