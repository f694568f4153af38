package io.whetstream.local.demo;

import java.util.List;

/**
 * What a demo streams, by number: pair {@code i}, item {@code i} and the watchlist are always the
 * same, so a stopped demo goes on where it was and the truth about an item is known. Not
 * thread-safe.
 */
interface Source {
  /**
   * A pair.
   *
   * @param image encoded
   * @param bad null, or the bytes of a record that nobody can read, in place of all else
   */
  record Pair(String id, byte[] image, String caption, String captionLong, byte[] bad) {}

  /**
   * An item.
   *
   * @param image encoded
   * @param query the query it was planted for, or null; of an item that is planted for none, no
   *     query is true, however generously it is read
   * @param bad null, or the bytes of a record that nobody can read, in place of all else
   */
  record Shown(String id, byte[] image, String query, byte[] bad) {}

  /**
   * A query of the watchlist.
   *
   * @param image an encoded example of what the text says, or null
   */
  record Watch(String id, String text, byte[] image) {}

  /** Pair number {@code i}, from 0. */
  Pair pair(long i);

  /** Item number {@code i}, from 0. */
  Shown item(long i);

  /** The queries. */
  List<Watch> queries();

  /** How many pairs there are; the stream ends after them. */
  long lastPair();

  /** Number of the first pair after a change of looks; {@link Long#MAX_VALUE} for none. */
  long driftPair();
}
