package io.whetstream.jobs.table;

import java.util.HashMap;
import java.util.Map;

/**
 * What functions of one process share by a key: opened by the first, closed by the last.
 *
 * @param <K> says what makes two of them the same
 * @param <V> what is shared; thread-safe
 */
final class Shared<K, V extends AutoCloseable> {
  /** Opens what is not there yet. */
  interface Open<K, V> {
    V open(K key) throws Exception;
  }

  private static final class Entry<V> {
    V value;
    int users;
  }

  private final Map<K, Entry<V>> entries = new HashMap<>();
  private final Open<K, V> open;

  Shared(Open<K, V> open) {
    this.open = open;
  }

  /** Joins; the caller leaves once. May block as long as opening does. */
  V join(K key) throws Exception {
    Entry<V> entry;
    synchronized (this) {
      entry = entries.computeIfAbsent(key, any -> new Entry<>());
      entry.users++;
    }
    try {
      // Others of the same key wait here for the first; those of other keys do not.
      synchronized (entry) {
        if (entry.value == null) {
          entry.value = open.open(key);
        }
        return entry.value;
      }
    } catch (Exception | Error e) {
      leave(key);
      throw e;
    }
  }

  /** Ends one use. */
  void leave(K key) throws Exception {
    Entry<V> entry;
    synchronized (this) {
      entry = entries.get(key);
      entry.users--;
      if (entry.users > 0) {
        return;
      }
      entries.remove(key);
    }
    synchronized (entry) {
      if (entry.value != null) {
        entry.value.close();
      }
    }
  }
}
