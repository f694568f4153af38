package io.whetstream.local.demo;

import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Embedding;
import io.whetstream.connectors.records.QueryStatus;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.LongPredicate;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Reads what the jobs write, as any consumer would (read_committed), on a thread of its own. The
 * getters may be called from any thread.
 */
final class Monitor implements AutoCloseable, Feeder.Listener {
  private static final Logger LOG = LoggerFactory.getLogger(Monitor.class);
  private static final Duration POLL = Duration.ofMillis(200);

  /**
   * An adapter that was announced.
   *
   * @param seenAt when the announcement could be read
   * @param firstScored event time of the first item known to be scored by it, or -1
   */
  record Published(AdapterAnnouncement announcement, long seenAt, long firstScored) {
    /** When it was in use: it was known, and an item came; -1 if that is not known. */
    long inUseFrom() {
      return firstScored < 0 ? -1 : Math.max(seenAt, firstScored);
    }
  }

  private final Topics topics;
  private final KafkaConsumer<byte[], byte[]> consumer;
  private final Thread thread;
  private final RecordCodec<AdapterAnnouncement> adapters;
  private final RecordCodec<Alert> alerts;
  private final RecordCodec<Embedding> embeddings;
  private final RecordCodec<QueryStatus> statuses;
  private volatile boolean closed;
  private volatile long polls;

  // Guarded by this.
  private final AlertJudge judge = new AlertJudge();
  private final Map<String, AdapterAnnouncement> announced = new LinkedHashMap<>();
  private final Map<String, Long> seenAt = new HashMap<>();
  private final Map<String, Long> firstScored = new HashMap<>();
  private final TreeMap<Long, Long> pairTimes = new TreeMap<>();
  private final Map<String, Boolean> watching = new HashMap<>();
  private long deadPairs;
  private long deadItems;
  private long suppressed;

  Monitor(KafkaConnection kafka, Topics topics) {
    this.topics = topics;
    consumer = kafka.consumer();
    adapters = RecordFormat.json().codec(RecordType.ADAPTER, topics.adapters());
    alerts = RecordFormat.json().codec(RecordType.ALERT, topics.alerts());
    statuses = RecordFormat.json().codec(RecordType.QUERY_STATUS, topics.queriesStatus());
    embeddings = RecordFormat.json().codec(RecordType.EMBEDDING, topics.embeddings());
    List<TopicPartition> partitions = new ArrayList<>();
    for (String topic :
        List.of(
            topics.adapters(),
            topics.alerts(),
            topics.queriesStatus(),
            topics.embeddings(),
            topics.pairsDeadLetters(),
            topics.itemsDeadLetters())) {
      consumer
          .partitionsFor(topic)
          .forEach(p -> partitions.add(new TopicPartition(topic, p.partition())));
    }
    consumer.assign(partitions);
    consumer.seekToBeginning(partitions);
    thread = new Thread(this::read, "demo-monitor");
    thread.setDaemon(true);
    thread.start();
  }

  @Override
  public synchronized void pairSent(long offset, long eventTime) {
    pairTimes.put(offset, eventTime);
  }

  @Override
  public synchronized void itemSent(long item, long eventTime, String query) {
    judge.sent(item, eventTime, query);
  }

  /** Adapters in the order of their announcement, each once. */
  synchronized List<Published> published() {
    List<Published> all = new ArrayList<>();
    announced.forEach(
        (digest, announcement) ->
            all.add(
                new Published(
                    announcement, seenAt.get(digest), firstScored.getOrDefault(digest, -1L))));
    return all;
  }

  /** Alerts so far. */
  synchronized int alerts() {
    return judge.raised();
  }

  /** Queries whose newest answer is a refusal. */
  synchronized long refusedQueries() {
    return watching.values().stream().filter(accepted -> !accepted).count();
  }

  /** Matches that alerts say were suppressed. */
  synchronized long suppressed() {
    return suppressed;
  }

  synchronized long deadPairs() {
    return deadPairs;
  }

  synchronized long deadItems() {
    return deadItems;
  }

  /** Figures of the alerts for items whose event time passes the test. */
  synchronized AlertJudge.Figures judge(LongPredicate eventTime) {
    return judge.judge(eventTime);
  }

  /** Event times of the pairs sent by this process, by offset in their one partition. */
  synchronized TreeMap<Long, Long> pairTimes() {
    return new TreeMap<>(pairTimes);
  }

  /** Reads on until nothing has come for a poll; what is committed by now is then known. */
  void catchUp() throws InterruptedException {
    long end = System.nanoTime() + Duration.ofSeconds(10).toNanos();
    long before = polls;
    while (polls < before + 3 && System.nanoTime() < end) {
      Thread.sleep(50);
    }
  }

  @Override
  public void close() throws InterruptedException {
    closed = true;
    consumer.wakeup();
    thread.join();
  }

  @SuppressWarnings("NonAtomicVolatileUpdate") // Written by this thread alone.
  private void read() {
    try (consumer) {
      while (!closed) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
          take(record);
        }
        polls++;
      }
    } catch (WakeupException e) {
      LOG.debug("the monitor was closed");
    } catch (RuntimeException e) {
      LOG.error("the monitor ended", e);
    }
  }

  private synchronized void take(ConsumerRecord<byte[], byte[]> record) {
    String topic = record.topic();
    if (topic.equals(topics.pairsDeadLetters())) {
      deadPairs++;
    } else if (topic.equals(topics.itemsDeadLetters())) {
      deadItems++;
    } else if (record.value() == null) {
      LOG.debug("tombstone in {}", topic);
    } else if (topic.equals(topics.adapters())) {
      AdapterAnnouncement a = adapters.decode(record.value(), null, record.timestamp());
      if (announced.putIfAbsent(a.digest(), a) == null) {
        seenAt.put(a.digest(), System.currentTimeMillis());
      }
    } else if (topic.equals(topics.alerts())) {
      Alert alert = alerts.decode(record.value(), null, record.timestamp());
      suppressed += alert.suppressed();
      if (!alert.finalCount()) {
        judge.alert(alert.alertId(), number(alert.itemId()), alert.queryId());
      }
    } else if (topic.equals(topics.queriesStatus())) {
      QueryStatus status = statuses.decode(record.value(), null, record.timestamp());
      watching.put(status.queryId(), status.state() != QueryStatus.State.REFUSED);
    } else if (topic.equals(topics.embeddings())) {
      Embedding embedding = embeddings.decode(record.value(), null, record.timestamp());
      firstScored.merge(embedding.adapterDigest(), embedding.eventTime(), Math::min);
    }
  }

  private static long number(String itemId) {
    return Long.parseLong(itemId.substring(itemId.indexOf('-') + 1));
  }
}
