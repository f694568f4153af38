package io.whetstream.local.demo;

import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.SimilarityQuery;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.LongConsumer;
import java.util.function.LongSupplier;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * Sends the demo's stream to Kafka at its rates, as any producer would: records that do not wait
 * for the jobs. {@link #run} belongs to one thread; the getters may be called from any.
 */
final class Feeder implements AutoCloseable {
  /** Told of what has been sent, on the feeding thread or a producer's. */
  interface Listener {
    /** A pair lies in Kafka at that offset. */
    void pairSent(long offset, long eventTime);

    /**
     * An item was sent.
     *
     * @param query it was planted for, or null
     */
    void itemSent(long item, long eventTime, String query);
  }

  /** Enough that a job never waits for pairs, little enough that a stop loses no time. */
  private static final double MOST_BEHIND_SECONDS = 15;

  /** What waits for a group or a batch is not behind: a slow stream must fill them too. */
  private static final long LEAST_BEHIND = 512;

  private static final long TICK_MILLIS = 20;
  private static final long SAVE_NANOS = TimeUnit.SECONDS.toNanos(1);
  private static final String SOURCE = "demo";

  private final Topics topics;
  private final Source stream;
  private final Path directory;
  private final LongSupplier done;
  private final Listener listener;
  private final KafkaProducer<byte[], byte[]> producer;
  private final RecordCodec<ImageTextPair> pairs;
  private final RecordCodec<Item> items;
  private final RecordCodec<SimilarityQuery> queries;
  private final AtomicReference<DemoState> state;
  private volatile RuntimeException failure;
  private volatile boolean paused;

  /**
   * @param stream what is sent
   * @param directory where the position is kept
   * @param state where to go on
   * @param done pairs that the jobs are through with, of those sent from the stream's beginning
   */
  Feeder(
      KafkaConnection kafka,
      Topics topics,
      Source stream,
      Path directory,
      DemoState state,
      LongSupplier done,
      Listener listener) {
    this.topics = topics;
    this.directory = directory;
    this.listener = listener;
    this.state = new AtomicReference<>(state);
    this.stream = stream;
    this.done = done;
    producer = kafka.producer(Topics.MAX_RECORD_BYTES);
    pairs = RecordFormat.json().codec(RecordType.PAIR, topics.pairs());
    items = RecordFormat.json().codec(RecordType.ITEM, topics.items());
    queries = RecordFormat.json().codec(RecordType.QUERY, topics.queries());
  }

  /** How far it has come. */
  DemoState state() {
    return state.get();
  }

  /**
   * Puts the watchlist into its topic. Again does no harm: queries are compacted by id.
   *
   * @param maxFalsePositiveRate that each query asks for
   */
  void sendWatchlist(double maxFalsePositiveRate) {
    long now = System.currentTimeMillis();
    for (Source.Watch watched : stream.queries()) {
      SimilarityQuery query =
          new SimilarityQuery(
              watched.id(),
              watched.text(),
              null,
              null,
              watched.image() == null
                  ? List.of(MatchKind.IMAGE_TEXT)
                  : List.of(MatchKind.IMAGE_TEXT, MatchKind.IMAGE_IMAGE),
              null,
              null,
              maxFalsePositiveRate,
              0L,
              true,
              now,
              watched.image(),
              null);
      send(topics.queries(), watched.id(), queries.encode(query), now, null);
    }
    flush();
  }

  /**
   * Sends until that many seconds are over or a stop is asked for, then waits until Kafka has all.
   * While the jobs are too far behind, nothing is sent and the seconds do not count: a slow machine
   * takes longer instead of learning less.
   *
   * @param stop waits up to that many milliseconds, true when it is time to stop
   */
  void run(long seconds, Stop stop) throws InterruptedException, IOException {
    DemoState start = state.get();
    DemoOptions options = start.options();
    long mostBehind =
        Math.max(LEAST_BEHIND, Math.round(MOST_BEHIND_SECONDS * options.pairsPerSecond()));
    long looked = System.nanoTime();
    long saved = looked;
    double elapsed = 0;
    while (true) {
      long now = System.nanoTime();
      paused = state.get().pairs() - done.getAsLong() > mostBehind;
      if (!paused) {
        elapsed = Math.min((double) seconds, elapsed + (now - looked) / 1e9);
        sendUpTo(
            Math.min(
                stream.lastPair(), start.pairs() + (long) (elapsed * options.pairsPerSecond())),
            start.items() + (long) (elapsed * options.itemsPerSecond()));
      }
      looked = now;
      if (failure != null) {
        throw failure;
      }
      if (now - saved > SAVE_NANOS) {
        saved = now;
        state.get().save(directory);
      }
      boolean atEnd = elapsed >= seconds || state.get().pairs() >= stream.lastPair();
      if (atEnd || stop.within(TICK_MILLIS)) {
        break;
      }
    }
    flush();
    state.get().save(directory);
  }

  /** Whether it waits for the jobs now. */
  boolean paused() {
    return paused;
  }

  /** Waits a little, and says whether to stop. */
  interface Stop {
    boolean within(long millis) throws InterruptedException;
  }

  @Override
  public void close() {
    producer.close();
  }

  private void sendUpTo(long pairsDue, long itemsDue) {
    DemoState now = state.get();
    long drift = now.driftTime();
    for (long i = now.pairs(); i < pairsDue; i++) {
      long time = System.currentTimeMillis();
      if (drift == 0 && i >= stream.driftPair()) {
        drift = time;
      }
      sendPair(i, time);
    }
    for (long i = now.items(); i < itemsDue; i++) {
      sendItem(i, System.currentTimeMillis());
    }
    state.set(
        new DemoState(
            now.options(),
            now.pairsDigest(),
            Math.max(now.pairs(), pairsDue),
            Math.max(now.items(), itemsDue),
            drift));
  }

  private void sendPair(long i, long time) {
    Source.Pair pair = stream.pair(i);
    byte[] value =
        pair.bad() != null
            ? pair.bad()
            : pairs.encode(
                new ImageTextPair(
                    pair.id(),
                    null,
                    null,
                    pair.caption(),
                    pair.captionLong(),
                    SOURCE,
                    time,
                    pair.image(),
                    null));
    send(topics.pairs(), pair.id(), value, time, offset -> listener.pairSent(offset, time));
  }

  private void sendItem(long i, long time) {
    Source.Shown item = stream.item(i);
    byte[] value =
        item.bad() != null
            ? item.bad()
            : items.encode(new Item(item.id(), null, null, null, SOURCE, time, item.image(), null));
    listener.itemSent(i, time, item.query());
    send(topics.items(), item.id(), value, time, null);
  }

  private void send(String topic, String key, byte[] value, long time, LongConsumer sent) {
    producer.send(
        new ProducerRecord<>(topic, null, time, key.getBytes(StandardCharsets.UTF_8), value),
        (metadata, problem) -> {
          if (problem != null) {
            failure = new IllegalStateException("Kafka did not take a record of " + topic, problem);
          } else if (sent != null) {
            sent.accept(metadata.offset());
          }
        });
  }

  private void flush() {
    producer.flush();
    if (failure != null) {
      throw failure;
    }
  }
}
