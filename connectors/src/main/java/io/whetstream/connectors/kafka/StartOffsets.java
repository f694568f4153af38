package io.whetstream.connectors.kafka;

import io.whetstream.model.BadInputException;
import java.util.Collection;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.kafka.clients.consumer.OffsetResetStrategy;
import org.apache.kafka.common.TopicPartition;

/**
 * Where reading begins without restored state, as offsets that stand from then on.
 *
 * <p>Flink's own initializers also say what happens when an offset is gone: they begin again at the
 * first that is left. A job that comes back after Kafka has deleted what it had not read would so
 * lose records in silence. Here such a read fails with Kafka's message, which names the partition
 * and the offset, unless {@code auto.offset.reset} is set to go on deliberately. What is compacted
 * is read again from its beginning instead: there the newest record of a key is all that counts.
 *
 * @param from {@code earliest}, {@code latest} or {@code committed} (else earliest)
 * @param reset {@code none}, {@code earliest} or {@code latest}
 */
@SuppressWarnings("deprecation") // the connector's interface still speaks of OffsetResetStrategy
record StartOffsets(String from, String reset) implements OffsetsInitializer {
  private static final Set<String> RESETS = Set.of("none", "earliest", "latest");

  static StartOffsets of(SourceOptions options) {
    String reset =
        options
            .kafka()
            .properties()
            .getOrDefault("auto.offset.reset", options.tombstones() ? "earliest" : "none");
    if (!RESETS.contains(reset)) {
      throw new BadInputException(
          "auto.offset.reset must be none, earliest or latest, not " + reset);
    }
    return new StartOffsets(options.startingOffsets(), reset);
  }

  @Override
  public Map<TopicPartition, Long> getPartitionOffsets(
      Collection<TopicPartition> partitions, PartitionOffsetsRetriever retriever) {
    if (from.equals("latest")) {
      return retriever.endOffsets(partitions);
    }
    Map<TopicPartition, Long> offsets = new HashMap<>(retriever.beginningOffsets(partitions));
    if (from.equals("committed")) {
      retriever
          .committedOffsets(partitions)
          .forEach(
              (partition, offset) -> {
                if (offset != null && offset >= 0) {
                  offsets.put(partition, offset);
                }
              });
    }
    return offsets;
  }

  @Override
  public OffsetResetStrategy getAutoOffsetResetStrategy() {
    return OffsetResetStrategy.valueOf(reset.toUpperCase(Locale.ROOT));
  }
}
