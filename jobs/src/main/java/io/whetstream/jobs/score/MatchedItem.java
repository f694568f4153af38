package io.whetstream.jobs.score;

import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * An item that matches a query, before suppression.
 *
 * @param alertId deterministic, see {@link #alertId}
 * @param itemId the item, with its place in Kafka
 * @param itemDigest SHA-256 over the item's contents
 * @param queryId the query, with its place in Kafka
 * @param queryDigest SHA-256 over the query's contents
 * @param adapterDigest the one digest under which both sides were embedded
 * @param adapterEpoch version of that adapter, -1 for the base model
 * @param scores every kind compared, best margin first
 * @param nearest other queries near the item, nearest first
 * @param eventTime of the item, milliseconds since 1970
 * @param processingTime when it was matched, milliseconds since 1970
 * @param group near-duplicate group of the content that matched
 * @param coolDownMillis the query's own cool-down, or -1
 */
public record MatchedItem(
    String alertId,
    String itemId,
    String itemTopic,
    int itemPartition,
    long itemOffset,
    String itemDigest,
    String queryId,
    long queryRevision,
    String queryTopic,
    int queryPartition,
    long queryOffset,
    String queryDigest,
    String adapterDigest,
    long adapterEpoch,
    long adapterNumber,
    String baseDigest,
    List<Score> scores,
    List<Near> nearest,
    long eventTime,
    long processingTime,
    ContentGroup group,
    long coolDownMillis) {

  /**
   * One comparison.
   *
   * @param kind as {@link MatchKind#label()}
   * @param score cosine
   * @param threshold the score from which it holds
   */
  public record Score(String kind, float score, double threshold) {}

  /**
   * Another query near the item.
   *
   * @param kind as {@link MatchKind#label()}
   */
  public record Near(String queryId, String kind, float score) {}

  /** The id of an alert: the same for the same item, query revision and adapter, always. */
  static String alertId(
      String topic, int partition, long offset, String queryId, long revision, String digest) {
    String identity =
        String.join(
            "\n",
            topic,
            Integer.toString(partition),
            Long.toString(offset),
            queryId,
            Long.toString(revision),
            digest);
    return Digests.sha256(identity.getBytes(StandardCharsets.UTF_8)).substring(0, 32);
  }
}
