package io.whetstream.console;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.DeadLetters;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.Feedback;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.model.BadInputException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Reads the topics onto the board, on a thread of its own: compacted ones from their beginning, the
 * others from a little before their end, all of them read_committed. A topic that is created later
 * is taken up then.
 */
final class TopicFeed implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(TopicFeed.class);
  private static final Duration POLL = Duration.ofMillis(200);
  private static final Duration PAUSE = Duration.ofSeconds(3);
  private static final long LOOK_FOR_TOPICS_NANOS = Duration.ofSeconds(10).toNanos();

  /** Offsets read back, per partition; transaction markers take some of them. */
  private static final long BACK = 2L * Board.MOST_ALERTS;

  private static final int MOST_TEXT = 2_000;
  private static final int PREVIEW = 400;

  private interface Reader {
    void read(ConsumerRecord<byte[], byte[]> record);
  }

  private final ConsoleOptions options;
  private final Board board;
  private final Map<String, Reader> readers = new HashMap<>();
  private final Set<String> compacted;
  private final Set<TopicPartition> assigned = new HashSet<>();
  private final Consumer<String> alertSeen;
  private final Thread thread;
  private final CountDownLatch closing = new CountDownLatch(1);
  private volatile KafkaConsumer<byte[], byte[]> consumer;

  /**
   * @param alertSeen told the id of each alert that is new on the board
   */
  TopicFeed(ConsoleOptions options, Board board, Consumer<String> alertSeen) {
    this.options = options;
    this.board = board;
    this.alertSeen = alertSeen;
    Topics topics = options.topics();
    compacted =
        Set.of(
            topics.adapters(), topics.adaptersControl(), topics.queries(), topics.queriesStatus());
    on(topics.adapters(), RecordType.ADAPTER, (a, record) -> announced(a));
    on(topics.adaptersControl(), RecordType.ADAPTER_CONTROL, (c, record) -> control(c));
    on(topics.queriesStatus(), RecordType.QUERY_STATUS, (s, record) -> status(s));
    on(topics.alerts(), RecordType.ALERT, (a, record) -> alert(a));
    on(topics.feedback(), RecordType.FEEDBACK, (f, record) -> feedback(f));
    RecordCodec<SimilarityQuery> queries =
        options.format().codec(RecordType.QUERY, topics.queries() + "-value");
    readers.put(topics.queries(), record -> query(queries, record));
    readers.put(topics.pairsDeadLetters(), record -> deadLetter("pairs", record));
    readers.put(topics.itemsDeadLetters(), record -> deadLetter("items", record));
    thread = new Thread(this::run, "console-topics");
    thread.setDaemon(true);
    thread.start();
  }

  private interface Taker<T> {
    void take(T value, ConsumerRecord<byte[], byte[]> record);
  }

  private <T extends StreamRecord> void on(String topic, RecordType<T> type, Taker<T> taker) {
    RecordFormat format = options.format();
    RecordCodec<T> codec = format.codec(type, topic + "-value");
    readers.put(
        topic,
        record -> {
          if (record.value() != null) {
            taker.take(codec.decode(record.value(), null, record.timestamp()), record);
          }
        });
  }

  @Override
  public void close() {
    closing.countDown();
    KafkaConsumer<byte[], byte[]> open = consumer;
    if (open != null) {
      open.wakeup();
    }
    Threads.await(thread);
  }

  private void run() {
    while (closing.getCount() > 0) {
      try (KafkaConsumer<byte[], byte[]> opened = options.kafka().consumer()) {
        consumer = opened;
        assigned.clear();
        follow(opened);
      } catch (WakeupException e) {
        LOG.debug("the console stops reading");
      } catch (RuntimeException e) {
        LOG.warn("the console cannot read Kafka", e);
        board.problem("kafka", "Kafka cannot be read: " + e.getMessage());
        pause();
      }
    }
  }

  private void follow(KafkaConsumer<byte[], byte[]> from) {
    long looked = 0;
    while (closing.getCount() > 0) {
      if (looked == 0 || System.nanoTime() - looked > LOOK_FOR_TOPICS_NANOS) {
        looked = System.nanoTime();
        takeUp(from);
      }
      if (assigned.isEmpty()) {
        pause();
        continue;
      }
      for (ConsumerRecord<byte[], byte[]> record : from.poll(POLL)) {
        try {
          readers.get(record.topic()).read(record);
        } catch (BadInputException e) {
          LOG.warn(
              "{}-{}@{} cannot be shown: {}",
              record.topic(),
              record.partition(),
              record.offset(),
              e.getMessage());
          board.problem(
              record.topic(), "a record of " + record.topic() + " cannot be read in this format");
        }
      }
    }
  }

  /** Assigns the partitions there are; new ones are sought to where reading begins. */
  private void takeUp(KafkaConsumer<byte[], byte[]> from) {
    Map<String, List<PartitionInfo>> existing = from.listTopics();
    List<TopicPartition> fresh = new ArrayList<>();
    List<String> missing = new ArrayList<>();
    for (String topic : readers.keySet().stream().sorted().toList()) {
      List<PartitionInfo> partitions = existing.get(topic);
      if (partitions == null) {
        missing.add(topic);
        continue;
      }
      for (PartitionInfo partition : partitions) {
        TopicPartition one = new TopicPartition(topic, partition.partition());
        if (assigned.add(one)) {
          fresh.add(one);
        }
      }
    }
    board.problem(
        "kafka",
        missing.isEmpty()
            ? null
            : "topics are missing: "
                + String.join(", ", missing)
                + "; make them with 'whetstream topics create'");
    if (fresh.isEmpty()) {
      return;
    }
    from.assign(assigned);
    seek(from, fresh);
  }

  private void seek(KafkaConsumer<byte[], byte[]> from, Collection<TopicPartition> fresh) {
    Map<TopicPartition, Long> begin = from.beginningOffsets(fresh);
    Map<TopicPartition, Long> end = from.endOffsets(fresh);
    for (TopicPartition each : fresh) {
      long first = begin.get(each);
      long start = compacted.contains(each.topic()) ? first : Math.max(first, end.get(each) - BACK);
      from.seek(each, start);
    }
  }

  private void announced(AdapterAnnouncement a) {
    ObjectNode node = Board.object();
    node.put("digest", a.digest());
    node.put("stream", a.stream());
    node.put("epoch", a.epoch());
    node.put("n", a.n());
    node.put("parent", a.parentDigest());
    node.put("base", a.baseDigest());
    node.put("step", a.step());
    node.put("pairs", a.pairs());
    node.put("announcedAt", a.announcedAt());
    ObjectNode metrics = node.putObject("metrics");
    a.metrics().forEach(metrics::put);
    board.adapter(node);
    board.mark("publish", a.step(), a.epoch() + "." + a.n(), true);
  }

  private void control(AdapterControl c) {
    ObjectNode node = Board.object();
    node.put("stream", c.stream());
    node.put("action", c.action().name());
    node.put("digest", c.digest());
    node.put("afterEpoch", c.afterEpoch());
    node.put("afterN", c.afterN());
    node.put("reason", text(c.reason()));
    node.put("time", c.issuedAt());
    board.control(node);
  }

  private void status(QueryStatus s) {
    ObjectNode node = Board.object();
    node.put("queryId", s.queryId());
    node.put("revision", s.revision());
    node.put("state", s.state().name());
    node.put("reason", text(s.reason()));
    node.put("matches", s.matches());
    node.put("time", s.time());
    ArrayNode thresholds = node.putArray("thresholds");
    s.thresholds()
        .forEach(t -> thresholds.addObject().put("kind", t.kind().label()).put("score", t.score()));
    board.status(node);
  }

  private void alert(Alert a) {
    if (a.finalCount()) {
      board.count("suppressed", a.suppressed());
      return;
    }
    board.count("alerts", 1);
    board.count("suppressed", a.suppressed());
    ObjectNode node = Board.object();
    node.put("alertId", a.alertId());
    node.put("itemId", text(a.itemId()));
    node.put("itemAt", String.valueOf(a.itemAt()));
    node.put("queryId", text(a.queryId()));
    node.put("adapter", a.adapterDigest());
    node.put("version", a.adapterN() < 0 ? "base" : a.adapterEpoch() + "." + a.adapterN());
    node.put("suppressed", a.suppressed());
    node.put("eventTime", a.eventTime());
    node.put("processingTime", a.processingTime());
    ArrayNode scores = node.putArray("scores");
    for (Alert.Score score : a.scores()) {
      scores
          .addObject()
          .put("kind", score.kind().label())
          .put("score", score.score())
          .put("threshold", score.threshold());
    }
    ArrayNode nearest = node.putArray("nearest");
    for (Alert.Near near : a.nearest()) {
      nearest.addObject().put("queryId", text(near.queryId())).put("score", near.score());
    }
    board.alert(node, new Board.Sources(a.itemAt(), a.queryAt()));
    alertSeen.accept(a.alertId());
  }

  private void feedback(Feedback f) {
    ObjectNode node = Board.object();
    node.put("alertId", f.alertId());
    node.put("verdict", f.verdict().name());
    node.put("by", text(f.by()));
    node.put("comment", text(f.comment()));
    node.put("time", f.eventTime());
    board.feedback(node);
  }

  private void query(RecordCodec<SimilarityQuery> codec, ConsumerRecord<byte[], byte[]> record) {
    if (record.key() == null) {
      return;
    }
    String id = new String(record.key(), StandardCharsets.UTF_8);
    if (record.value() == null) {
      board.query(id, null);
      return;
    }
    SimilarityQuery q = codec.decode(record.value(), null, record.timestamp());
    ObjectNode node = Board.object();
    node.put("id", id);
    node.put("text", text(q.text()));
    node.put("image", q.image() != null || q.imageUri() != null);
    ArrayNode kinds = node.putArray("kinds");
    q.kinds().stream().map(MatchKind::label).forEach(kinds::add);
    ArrayNode unlike = node.putArray("unlike");
    q.unlike().forEach(unlike::add);
    node.put("minScore", q.minScore());
    node.put("maxFalsePositiveRate", q.maxFalsePositiveRate());
    node.put("maxAlertsPerDay", q.maxAlertsPerDay());
    node.put("coolDownMillis", q.coolDownMillis());
    node.put("enabled", q.enabled());
    node.put("revision", record.offset());
    node.put("partition", record.partition());
    node.put("createdAt", q.createdAt());
    board.query(id, node);
  }

  private void deadLetter(String source, ConsumerRecord<byte[], byte[]> record) {
    if (DeadLetters.isReplayMark(record)) {
      return;
    }
    DeadLetter letter = DeadLetters.read(record);
    board.count("deadLetters", 1);
    ObjectNode node = Board.object();
    node.put("source", source);
    node.put("at", letter.at().toString());
    node.put("time", letter.timestamp());
    node.put("stage", text(letter.stage()));
    node.put("error", text(letter.errorClass()));
    node.put("message", text(letter.message()));
    node.put("hops", letter.hops());
    node.put("bytes", letter.value() == null ? 0 : letter.value().length);
    node.put("spilledTo", letter.spilledTo());
    node.put("preview", preview(letter.value()));
    board.deadLetter(node);
  }

  /** The beginning of a value as text; what cannot be shown becomes a replacement character. */
  static String preview(byte[] value) {
    if (value == null) {
      return null;
    }
    String decoded =
        new String(value, 0, Math.min(value.length, 4 * PREVIEW), StandardCharsets.UTF_8);
    StringBuilder shown = new StringBuilder();
    decoded
        .codePoints()
        .limit(PREVIEW)
        .forEach(c -> shown.appendCodePoint(Character.isISOControl(c) ? 0xFFFD : c));
    return value.length > shown.length() ? shown.append('…').toString() : shown.toString();
  }

  /** Text of strangers, kept to a length. */
  static String text(String value) {
    return value == null || value.length() <= MOST_TEXT
        ? value
        : value.substring(0, MOST_TEXT) + "…";
  }

  private void pause() {
    try {
      if (closing.await(PAUSE.toMillis(), TimeUnit.MILLISECONDS)) {
        LOG.debug("the console stops reading");
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      closing.countDown();
    }
  }
}
