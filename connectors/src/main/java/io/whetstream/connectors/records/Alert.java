package io.whetstream.connectors.records;

import io.whetstream.connectors.types.Types;
import java.util.List;
import org.apache.flink.api.common.typeinfo.TypeInfo;

/**
 * An item resembles something watched for. Topic {@code alerts}, keyed by {@code queryId}. All that
 * is needed to compute it again is in it.
 *
 * @param alertId deterministic from item coordinates, query id and revision, and adapter digest;
 *     consumers of at-least-once alerts de-duplicate by it
 * @param itemId the item
 * @param itemAt where the item lies in Kafka
 * @param itemDigest over the item's contents
 * @param queryId the query
 * @param queryRevision its revision, the offset at which it lay
 * @param queryAt where the query lay in Kafka
 * @param queryDigest over the query's contents
 * @param adapterDigest the one adapter under which both sides were embedded
 * @param adapterEpoch version of that adapter; -1 for the base
 * @param adapterN number within the epoch; -1 for the base
 * @param baseDigest the base model
 * @param scores every comparison made, best margin over its threshold first
 * @param nearest other queries near the item, nearest first
 * @param suppressed matches of the same query and near-duplicate group that were suppressed since
 *     the alert before
 * @param finalCount true if this only completes an earlier alert with {@code suppressed}
 * @param bridged true if the query's vector was mapped from the adapter before instead of embedded
 *     under this one, see {@code watchlist.bridge}
 * @param eventTime of the item
 * @param processingTime when it was matched
 */
@TypeInfo(Types.OfRecord.class)
public record Alert(
    String alertId,
    String itemId,
    Coordinates itemAt,
    String itemDigest,
    String queryId,
    long queryRevision,
    Coordinates queryAt,
    String queryDigest,
    String adapterDigest,
    long adapterEpoch,
    long adapterN,
    String baseDigest,
    List<Score> scores,
    List<Near> nearest,
    long suppressed,
    boolean finalCount,
    boolean bridged,
    long eventTime,
    long processingTime)
    implements StreamRecord {

  /**
   * One comparison.
   *
   * @param score cosine
   * @param threshold effective score from which it holds: the query's, or what the item scores with
   *     one of the query's {@code unlike} texts if that is higher
   */
  public record Score(MatchKind kind, double score, double threshold) {
    public Score {
      Require.that(kind != null, "a score needs its kind");
    }
  }

  /**
   * Another query near the item.
   *
   * @param score cosine
   */
  public record Near(String queryId, MatchKind kind, double score) {
    public Near {
      Require.present("queryId", queryId);
      Require.that(kind != null, "a score needs its kind");
    }
  }

  public Alert {
    Require.present("alertId", alertId);
    Require.present("itemId", itemId);
    Require.present("queryId", queryId);
    Require.present("adapterDigest", adapterDigest);
    scores = scores == null ? List.of() : List.copyOf(scores);
    nearest = nearest == null ? List.of() : List.copyOf(nearest);
    Require.that(suppressed >= 0, "suppressed is a count, not " + suppressed);
  }

  @Override
  public String key() {
    return queryId;
  }

  @Override
  public long timeMillis() {
    return eventTime;
  }
}
