package io.whetstream.connectors.kafka;

import io.whetstream.connectors.Digests;
import io.whetstream.connectors.StoredFiles;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.function.Consumer;
import org.apache.flink.core.fs.Path;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Sends dead letters back to the topic they came from, with their bytes and headers unchanged, one
 * more hop, and where and when they lay before. Letters with too many hops stay where they are.
 *
 * <p>What was replayed is remembered in the same transaction, so no letter is replayed twice,
 * whatever fails: as offsets of a consumer group, and, since brokers forget those of an idle group,
 * by a mark behind the letters of each partition, which lasts as long as they do.
 *
 * <p>Whoever may write to a dead-letter topic decides neither where letters go nor what is read:
 * they go to the topic whose name the dead-letter topic bears, and values in files lie in one
 * directory, named by their digest, which is verified.
 */
public final class DeadLetterReplay {
  private static final String GROUP = "whetstream-dlq-replay-";
  private static final int BATCH = 500;
  private static final String SUFFIX = ".dlq";

  private final KafkaConnection kafka;
  private final String deadLetters;
  private final String source;
  private final String spilled;
  private final int maxHops;

  /**
   * What was done.
   *
   * @param replayed letters sent back
   * @param tooManyHops letters that came back too often and were left
   * @param foreign records of others in the dead-letter topic, left as they are
   */
  public record Result(long replayed, long tooManyHops, long foreign) {}

  /**
   * @param deadLetters dead-letter topic, full name: that of its source and {@code .dlq}
   * @param spilled directory of values that the topic did not take, usually {@code dead-letters}
   *     beside the adapters; null: a letter with such a value stops the replay
   * @param maxHops letters that were replayed so often already are left
   */
  public DeadLetterReplay(KafkaConnection kafka, String deadLetters, String spilled, int maxHops) {
    if (!deadLetters.endsWith(SUFFIX) || deadLetters.length() == SUFFIX.length()) {
      throw new BadInputException(
          "'" + deadLetters + "' is no dead-letter topic: its name must be a topic's and .dlq");
    }
    this.kafka = kafka;
    this.deadLetters = deadLetters;
    this.source = deadLetters.substring(0, deadLetters.length() - SUFFIX.length());
    this.spilled = spilled;
    this.maxHops = maxHops;
  }

  /** Hands over the letters that were not replayed yet, as records of the dead-letter topic. */
  public void pending(Consumer<ConsumerRecord<byte[], byte[]>> sink) {
    try (TopicScan scan = new TopicScan(kafka, deadLetters)) {
      scan.seek(done());
      scan.toEnd(
          record -> {
            if (!DeadLetters.isReplayMark(record)) {
              sink.accept(record);
            }
          });
    }
  }

  private Map<Integer, Long> done() {
    Map<Integer, Long> done = new HashMap<>();
    try (Admin admin = kafka.admin()) {
      Topics.await(
              admin.listConsumerGroupOffsets(GROUP + deadLetters).partitionsToOffsetAndMetadata())
          .forEach(
              (partition, offset) -> {
                if (offset != null) {
                  done.put(partition.partition(), offset.offset());
                }
              });
    } catch (GroupIdNotFoundException e) {
      // Nothing was ever replayed, or so long ago that the brokers have forgotten it.
    }
    try (TopicScan marks = new TopicScan(kafka, deadLetters)) {
      // A mark stands behind what it speaks of, so nothing before that offset is needed.
      marks.seek(done);
      marks.toEnd(
          record ->
              DeadLetters.replayedBefore(record)
                  .ifPresent(before -> done.merge(record.partition(), before, Math::max)));
    }
    return done;
  }

  /** What {@link #run} would do now. */
  public Result preview() {
    Counts counts = new Counts();
    pending(counts::letter);
    return counts.result();
  }

  /** Replays all that is pending now. */
  public Result run() {
    Properties properties = kafka.clientProperties();
    properties.put("transactional.id", GROUP + deadLetters);
    properties.putIfAbsent("max.request.size", Integer.toString(largestRecord()));
    Properties group = kafka.clientProperties();
    group.put("group.id", GROUP + deadLetters);
    try (KafkaProducer<byte[], byte[]> producer =
            new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
        KafkaConsumer<byte[], byte[]> reader =
            new KafkaConsumer<>(group, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      producer.initTransactions();
      Batch batch = new Batch(producer, reader);
      try {
        pending(batch::add);
        batch.commit();
      } catch (RuntimeException e) {
        batch.abort();
        throw e;
      }
      return batch.counts.result();
    }
  }

  private int largestRecord() {
    try (Admin admin = kafka.admin()) {
      long topics = Topics.maxMessageBytes(admin, source);
      if (topics < 0) {
        throw new BadInputException("there is no topic " + source + " to send the letters back to");
      }
      return (int)
          Math.min(
              Integer.MAX_VALUE,
              Math.max(topics, Topics.MAX_RECORD_BYTES) + 2 * Topics.DEAD_LETTER_ROOM);
    }
  }

  /** Sorts letters by what becomes of them. */
  private final class Counts {
    private long replayed;
    private long left;
    private long foreign;

    /** The letter to send back, or null if it stays. */
    DeadLetter letter(ConsumerRecord<byte[], byte[]> record) {
      DeadLetter letter;
      try {
        letter = DeadLetters.read(record);
      } catch (BadInputException e) {
        // Not written by us: what it was and where it belongs is not known.
        foreign++;
        return null;
      }
      if (!letter.at().topic().equals(source)) {
        // It says that it belongs elsewhere, which nothing of ours says.
        foreign++;
        return null;
      }
      if (letter.hops() >= maxHops) {
        left++;
        return null;
      }
      replayed++;
      return letter;
    }

    Result result() {
      return new Result(replayed, left, foreign);
    }
  }

  /** Letters that go back together with the note that they did. */
  private final class Batch {
    private final KafkaProducer<byte[], byte[]> producer;
    private final KafkaConsumer<byte[], byte[]> reader;
    private final Counts counts = new Counts();
    private final Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
    private int records;

    Batch(KafkaProducer<byte[], byte[]> producer, KafkaConsumer<byte[], byte[]> reader) {
      this.producer = producer;
      this.reader = reader;
    }

    void add(ConsumerRecord<byte[], byte[]> record) {
      if (records == 0) {
        producer.beginTransaction();
      }
      records++;
      DeadLetter letter = counts.letter(record);
      if (letter != null) {
        // What it fails with is thrown when the transaction is committed.
        var unused = producer.send(replay(letter));
      }
      offsets.put(
          new TopicPartition(record.topic(), record.partition()),
          new OffsetAndMetadata(record.offset() + 1));
      if (records == BATCH) {
        commit();
      }
    }

    void commit() {
      if (records > 0) {
        offsets.forEach(
            (partition, next) -> {
              var unused = producer.send(DeadLetters.replayMark(partition, next.offset()));
            });
        producer.sendOffsetsToTransaction(offsets, reader.groupMetadata());
        producer.commitTransaction();
        offsets.clear();
        records = 0;
      }
    }

    void abort() {
      if (records > 0) {
        producer.abortTransaction();
      }
    }
  }

  private ProducerRecord<byte[], byte[]> replay(DeadLetter letter) {
    ProducerRecord<byte[], byte[]> record =
        // With Kafka's time of now: under an old one the topic's retention may delete it unread.
        new ProducerRecord<>(source, letter.recordKey(), value(letter));
    letter.headers().forEach(header -> record.headers().add(header.name(), header.value()));
    record
        .headers()
        .add(
            DeadLetters.HOPS,
            Integer.toString(letter.hops() + 1).getBytes(StandardCharsets.US_ASCII))
        .add(DeadLetters.ORIGIN, letter.at().toString().getBytes(StandardCharsets.UTF_8))
        .add(
            DeadLetters.TIMESTAMP,
            Long.toString(letter.timestamp()).getBytes(StandardCharsets.US_ASCII));
    return record;
  }

  private byte[] value(DeadLetter letter) {
    if (letter.spilledTo() == null) {
      return letter.value();
    }
    String what = "the value of the dead letter of " + letter.at();
    if (spilled == null) {
      throw new BadInputException(what + " lies in a file beside the adapters: give --registry");
    }
    String digest = letter.spilledTo().substring(letter.spilledTo().lastIndexOf('/') + 1);
    if (!digest.matches("[0-9a-f]{64}")) {
      throw new BadInputException(what + " lies in no file of ours: " + letter.spilledTo());
    }
    Path file = new Path(StoredFiles.path(spilled), digest);
    try {
      byte[] value = StoredFiles.read(file, Integer.MAX_VALUE - 8);
      if (value == null) {
        throw new BadInputException(what + " is not in " + file);
      }
      if (!Digests.sha256(value).equals(digest)) {
        throw new BadInputException(what + " is damaged: " + file + " has another digest");
      }
      return value;
    } catch (IOException e) {
      throw new UncheckedIOException(file + " cannot be read", e);
    }
  }
}
