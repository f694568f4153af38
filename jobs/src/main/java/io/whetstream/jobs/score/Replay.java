package io.whetstream.jobs.score;

import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.image.ImageFetcher;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.ImageRecord;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.Calibration;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;

/**
 * What the commands that look back share with the job: its formats, its registry and the adapter
 * that is published now. It reads topics with consumers of its own and has no part in the job.
 */
final class Replay implements AutoCloseable {
  private final ScoreConfig config;
  private final RecordParts parts;
  private final OnnxEmbedder embedder;
  private final LoadedAdapter.Loader loader;
  private final Properties client;
  private final Map<RecordType<?>, RecordCodec<?>> codecs = new HashMap<>();
  private final ImageFetcher images;

  Replay(ScoreConfig config) {
    this.config = config;
    this.parts = new RecordParts(config);
    this.embedder = (OnnxEmbedder) parts.embedder();
    this.loader = parts.loader(embedder);
    this.client = config.clientProperties();
    this.images = ImageFetcher.open(config.images().options());
  }

  ScoreConfig config() {
    return config;
  }

  RecordParts parts() {
    return parts;
  }

  OnnxEmbedder embedder() {
    return embedder;
  }

  Properties client() {
    return client;
  }

  /**
   * Reads an adapter; {@code base} is the base model.
   *
   * @throws BadInputException if it cannot be used
   */
  LoadedAdapter load(AdapterVersion version) {
    if (version.digest().equals(AdapterVersion.BASE.digest())) {
      return new LoadedAdapter(AdapterVersion.BASE, embedder.base(), Calibration.NONE);
    }
    try {
      return loader.load(version);
    } catch (RuntimeException e) {
      throw e;
    } catch (Exception e) {
      throw new BadInputException("adapter " + version + ": " + Reasons.of(e), e);
    }
  }

  /** The adapter a job that started now would serve, a rollback in force included. */
  AdapterVersion published() {
    AdapterFeed feed = new AdapterFeed();
    try (TopicReader control = new TopicReader(client, parts.topics().adaptersControl())) {
      control.readToEnd(
          read -> {
            ScoreParts.Command command = parts.command(ControlRecord.of(read));
            if (command != null) {
              feed.apply(command);
            }
          });
    }
    try (TopicReader adapters = new TopicReader(client, parts.topics().adapters())) {
      adapters.readToEnd(
          read -> {
            AdapterVersion version =
                read.value() == null ? null : parts.announcement(ControlRecord.of(read));
            if (version != null) {
              feed.announced(version);
            }
          });
    }
    AdapterVersion wanted = feed.wanted();
    return wanted == null || wanted.digest().equals(embedder.baseDigest())
        ? AdapterVersion.BASE
        : wanted;
  }

  @SuppressWarnings("unchecked")
  <T extends StreamRecord> RecordCodec<T> codec(RecordType<T> type) {
    return (RecordCodec<T>)
        codecs.computeIfAbsent(
            type,
            t ->
                (t == RecordType.ITEM ? config.kafka().userFormat() : config.kafka().ownFormat())
                    .codec(type, type.name()));
  }

  <T extends StreamRecord> T decode(RecordType<T> type, ConsumerRecord<byte[], byte[]> read) {
    return codec(type)
        .decode(
            read.value(),
            new Coordinates(read.topic(), read.partition(), read.offset()),
            read.timestamp());
  }

  /** The record at a place, if the topic still has it. */
  <T extends StreamRecord> Optional<T> at(RecordType<T> type, Coordinates at) {
    try (TopicReader reader = new TopicReader(client, at.topic())) {
      Long first = reader.beginningOffsets().get(new TopicPartition(at.topic(), at.partition()));
      if (first == null || first > at.offset()) {
        return Optional.empty();
      }
      reader.seek(at.partition(), at.offset());
      return reader
          .next()
          .filter(read -> read.offset() == at.offset() && read.value() != null)
          .map(read -> decode(type, read));
    }
  }

  /** Everything in a topic from a time on; what cannot be read is left out. */
  <T extends StreamRecord> void forEach(
      RecordType<T> type, String topic, long fromMillis, Consumer<T> sink) {
    RecordCodec<T> codec = codec(type);
    try (TopicReader reader = new TopicReader(client, topic)) {
      if (fromMillis > 0) {
        reader.seek(fromMillis);
      }
      reader.readToEnd(
          read -> {
            if (read.value() != null) {
              T record;
              try {
                record =
                    codec.decode(
                        read.value(),
                        new Coordinates(read.topic(), read.partition(), read.offset()),
                        read.timestamp());
              } catch (BadInputException e) {
                // The live job has put it to the dead letters; here it is nobody's record.
                return;
              }
              sink.accept(record);
            }
          });
    }
  }

  /**
   * An item or a query with its image at hand, fetched if the record has only a URI, as the job
   * does it.
   *
   * @throws CompletionException from the future, because of a {@link BadInputException} that says
   *     why the image cannot be had any more
   */
  <T extends ImageRecord<T>> CompletableFuture<T> withImage(T record) {
    return record.image() != null || record.imageUri() == null
        ? CompletableFuture.completedFuture(record)
        : images.fetchLater(record);
  }

  @Override
  public void close() {
    images.close();
    embedder.close();
  }
}
