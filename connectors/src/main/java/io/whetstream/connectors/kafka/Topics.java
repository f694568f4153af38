package io.whetstream.connectors.kafka;

import io.whetstream.model.BadInputException;
import java.io.Serializable;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.TopicConfig;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The topics, by name and by what they must be.
 *
 * @param prefix put before every name; may be empty
 */
public record Topics(String prefix) implements Serializable {
  private static final Logger LOGGER = LoggerFactory.getLogger(Topics.class);
  private static final Duration SERVED_WITHIN = Duration.ofSeconds(20);

  /** Largest record of {@code pairs}, {@code items} and {@code queries}, in bytes. */
  public static final int MAX_RECORD_BYTES = 8 << 20;

  /** Room for key, headers and framing that dead letters have beyond their source. */
  public static final int DEAD_LETTER_ROOM = 64 << 10;

  /** How a topic forgets. */
  public enum Cleanup {
    DELETE,
    COMPACT;

    String policy() {
      return this == DELETE
          ? TopicConfig.CLEANUP_POLICY_DELETE
          : TopicConfig.CLEANUP_POLICY_COMPACT;
    }
  }

  /**
   * What a topic must be.
   *
   * @param name full name
   * @param maxRecordBytes largest record
   */
  public record Spec(String name, Cleanup cleanup, int maxRecordBytes) implements Serializable {}

  public Topics {
    prefix = prefix == null ? "" : prefix;
    if (!prefix.matches("[a-zA-Z0-9._-]{0,100}")) {
      throw new BadInputException(
          "topic prefix '" + prefix + "' has characters other than letters, digits, '.', '_', '-'");
    }
  }

  public String pairs() {
    return prefix + "pairs";
  }

  public String pairsDeadLetters() {
    return prefix + "pairs.dlq";
  }

  public String items() {
    return prefix + "items";
  }

  public String itemsDeadLetters() {
    return prefix + "items.dlq";
  }

  public String adapters() {
    return prefix + "adapters";
  }

  public String adaptersControl() {
    return prefix + "adapters.control";
  }

  public String queries() {
    return prefix + "queries";
  }

  public String queriesStatus() {
    return prefix + "queries.status";
  }

  public String alerts() {
    return prefix + "alerts";
  }

  public String alertsWithheld() {
    return prefix + "alerts.withheld";
  }

  public String embeddings() {
    return prefix + "embeddings";
  }

  public String feedback() {
    return prefix + "feedback";
  }

  /** Every topic. */
  public List<Spec> specs() {
    int stock = 1 << 20;
    return List.of(
        new Spec(pairs(), Cleanup.DELETE, MAX_RECORD_BYTES),
        new Spec(pairsDeadLetters(), Cleanup.DELETE, MAX_RECORD_BYTES + DEAD_LETTER_ROOM),
        new Spec(items(), Cleanup.DELETE, MAX_RECORD_BYTES),
        new Spec(itemsDeadLetters(), Cleanup.DELETE, MAX_RECORD_BYTES + DEAD_LETTER_ROOM),
        new Spec(adapters(), Cleanup.COMPACT, stock),
        new Spec(adaptersControl(), Cleanup.COMPACT, stock),
        new Spec(queries(), Cleanup.COMPACT, MAX_RECORD_BYTES),
        new Spec(queriesStatus(), Cleanup.COMPACT, stock),
        new Spec(alerts(), Cleanup.DELETE, stock),
        new Spec(alertsWithheld(), Cleanup.DELETE, stock),
        new Spec(embeddings(), Cleanup.DELETE, stock),
        new Spec(feedback(), Cleanup.DELETE, stock));
  }

  /** What the topic of that full name must be. */
  public Spec spec(String name) {
    return specs().stream()
        .filter(spec -> spec.name().equals(name))
        .findFirst()
        .orElseThrow(
            () ->
                new BadInputException(
                    "there is no topic '"
                        + name
                        + "'; there are "
                        + String.join(", ", specs().stream().map(Spec::name).toList())));
  }

  /**
   * Creates the topics that do not exist and leaves the others as they are.
   *
   * @param partitions of topics that are deleted from; compacted control topics other than {@code
   *     queries} and {@code queries.status} have one, which keeps their order
   * @param replication copies of each
   * @return names of the topics created
   */
  public List<String> create(Admin admin, int partitions, short replication) {
    List<NewTopic> missing = new ArrayList<>();
    var existing = await(admin.listTopics().names());
    for (Spec spec : specs()) {
      if (existing.contains(spec.name())) {
        // It stays as it is; check() says whether it fits.
        continue;
      }
      int count = isOrdered(spec) ? 1 : partitions;
      Map<String, String> config = new TreeMap<>();
      config.put(TopicConfig.CLEANUP_POLICY_CONFIG, spec.cleanup().policy());
      config.put(TopicConfig.MAX_MESSAGE_BYTES_CONFIG, Integer.toString(spec.maxRecordBytes()));
      if (isDeadLetters(spec)) {
        // Letters of old records are new: retention counts from when they were written.
        config.put(TopicConfig.MESSAGE_TIMESTAMP_TYPE_CONFIG, "LogAppendTime");
      }
      missing.add(new NewTopic(spec.name(), count, replication).configs(config));
    }
    return create(admin, missing);
  }

  /**
   * Creates a topic that deployments of earlier releases lack, with the brokers' own numbers of
   * partitions and copies. Where that is not allowed it stays absent, which {@link #require} says.
   */
  public void createIfAbsent(Admin admin, String name) {
    Spec spec = spec(name);
    NewTopic topic =
        new NewTopic(name, Optional.empty(), Optional.empty())
            .configs(
                Map.of(
                    TopicConfig.CLEANUP_POLICY_CONFIG,
                    spec.cleanup().policy(),
                    TopicConfig.MAX_MESSAGE_BYTES_CONFIG,
                    Integer.toString(spec.maxRecordBytes())));
    try {
      if (!await(admin.listTopics().names()).contains(name)) {
        create(admin, List.of(topic));
      }
    } catch (AuthorizationException e) {
      LOGGER.warn("topic {} may not be created: {}", name, e.getMessage());
    }
  }

  /**
   * Creates those topics that do not exist, and returns when all of them can be written to: a topic
   * reaches the brokers' metadata, and its partitions their leaders, a moment after the answer.
   * Whoever writes in that moment may lose records. Of an idempotent producer's first requests,
   * several of which are on the way at once, the first is refused and the second taken; the first
   * is then out of sequence however often it is tried again, until {@code delivery.timeout.ms}.
   *
   * @return names of the topics created
   */
  public static List<String> create(Admin admin, Collection<NewTopic> topics) {
    List<String> created = new ArrayList<>();
    Map<TopicPartition, OffsetSpec> partitions = new HashMap<>();
    var answers = admin.createTopics(topics).values();
    for (NewTopic topic : topics) {
      try {
        await(answers.get(topic.name()));
        created.add(topic.name());
        for (int i = 0; i < topic.numPartitions(); i++) {
          partitions.put(new TopicPartition(topic.name(), i), OffsetSpec.latest());
        }
      } catch (TopicExistsException e) {
        // Another has just created it.
      }
    }
    long deadline = System.nanoTime() + SERVED_WITHIN.toNanos();
    while (!areServed(admin, created, partitions)) {
      if (System.nanoTime() > deadline) {
        throw new BadInputException(
            "the brokers took the topics "
                + created
                + " but do not serve them after "
                + SERVED_WITHIN.toSeconds()
                + " s; look at their logs");
      }
      Thread.onSpinWait();
    }
    return created;
  }

  private static boolean areServed(
      Admin admin, Collection<String> topics, Map<TopicPartition, OffsetSpec> partitions) {
    try {
      // Only a partition's leader knows its end.
      await(admin.listOffsets(partitions).all());
      return await(admin.listTopics().names()).containsAll(topics);
    } catch (RetriableException e) {
      return false;
    }
  }

  private boolean isOrdered(Spec spec) {
    return spec.name().equals(adapters()) || spec.name().equals(adaptersControl());
  }

  /**
   * Compares the topics with what they must be.
   *
   * @param names full names to look at; empty for all
   * @return by topic, what is wrong and what to do; empty if all is well
   */
  public Map<String, String> check(Admin admin, Collection<String> names) {
    Map<String, String> problems = new TreeMap<>();
    var existing = await(admin.listTopics().names());
    for (Spec spec : specs()) {
      if (!names.isEmpty() && !names.contains(spec.name())) {
        continue;
      }
      if (!existing.contains(spec.name())) {
        problems.put(spec.name(), "does not exist: create it with 'whetstream topics create'");
        continue;
      }
      ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, spec.name());
      Config config = await(admin.describeConfigs(List.of(resource)).all()).get(resource);
      List<String> wrong = new ArrayList<>();
      String policy = config.get(TopicConfig.CLEANUP_POLICY_CONFIG).value();
      if (!policy.equals(spec.cleanup().policy())) {
        wrong.add(
            "cleanup.policy is "
                + policy
                + ", but must be "
                + spec.cleanup().policy()
                + (spec.cleanup() == Cleanup.COMPACT
                    ? ", or what it says now will be forgotten"
                    : ", or records of equal key will be lost"));
      }
      long max = Long.parseLong(config.get(TopicConfig.MAX_MESSAGE_BYTES_CONFIG).value());
      if (isDeadLetters(spec)) {
        long source = maxMessageBytes(admin, spec.name().substring(0, spec.name().length() - 4));
        if (source > 0 && max < source + DEAD_LETTER_ROOM) {
          wrong.add(
              "max.message.bytes is "
                  + max
                  + ", but must be at least "
                  + (source + DEAD_LETTER_ROOM)
                  + " to take every record of its source");
        }
      }
      TopicDescription description =
          await(admin.describeTopics(List.of(spec.name())).allTopicNames()).get(spec.name());
      if (isOrdered(spec) && description.partitions().size() != 1) {
        wrong.add(
            "has "
                + description.partitions().size()
                + " partitions, but must have 1 to keep order");
      }
      if (!wrong.isEmpty()) {
        problems.put(spec.name(), String.join("; ", wrong));
      }
    }
    return problems;
  }

  /**
   * As {@link #check}, for a job that cannot go on otherwise.
   *
   * @throws BadInputException naming every problem
   */
  public void require(Admin admin, Collection<String> names) {
    Map<String, String> problems = check(admin, names);
    if (!problems.isEmpty()) {
      StringBuilder text = new StringBuilder("topics are not as they must be:");
      problems.forEach(
          (topic, problem) -> text.append("\n  ").append(topic).append(' ').append(problem));
      throw new BadInputException(text.toString());
    }
  }

  private static boolean isDeadLetters(Spec spec) {
    return spec.name().endsWith(".dlq");
  }

  /** A topic's largest record in bytes, or -1 if there is no such topic. */
  public static long maxMessageBytes(Admin admin, String topic) {
    if (!await(admin.listTopics().names()).contains(topic)) {
      return -1;
    }
    ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
    return Long.parseLong(
        await(admin.describeConfigs(List.of(resource)).all())
            .get(resource)
            .get(TopicConfig.MAX_MESSAGE_BYTES_CONFIG)
            .value());
  }

  /**
   * Checks that the broker allows transactions as long as a sink needs them.
   *
   * @throws BadInputException naming both settings when it does not
   */
  public static void requireTransactionTimeout(Admin admin, java.time.Duration timeout) {
    int node = await(admin.describeCluster().nodes()).iterator().next().id();
    ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(node));
    var entry =
        await(admin.describeConfigs(List.of(broker)).all())
            .get(broker)
            .get("transaction.max.timeout.ms");
    if (entry != null && Long.parseLong(entry.value()) < timeout.toMillis()) {
      throw new BadInputException(
          "the transaction timeout of "
              + timeout.toMillis()
              + " ms is above the broker's transaction.max.timeout.ms of "
              + entry.value()
              + ": lower kafka.transactionTimeout or raise the broker's");
    }
  }

  static <T> T await(org.apache.kafka.common.KafkaFuture<T> future) {
    try {
      return future.get();
    } catch (ExecutionException e) {
      if (e.getCause() instanceof KafkaException cause) {
        throw cause;
      }
      throw new KafkaException(e.getCause());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new KafkaException("interrupted", e);
    }
  }
}
