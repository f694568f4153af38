package io.whetstream.connectors.records;

import io.whetstream.connectors.types.Types;
import java.util.List;
import org.apache.flink.api.common.typeinfo.TypeInfo;

/**
 * What became of a query. Topic {@code queries.status}, compacted, keyed by {@code queryId}.
 *
 * @param queryId the query
 * @param revision offset at which it lies
 * @param state what became of it
 * @param reason why; empty when there is nothing to say
 * @param thresholds effective thresholds when accepted
 * @param adapterDigest adapter under which they hold, or null
 * @param matches withheld in a quarantine that ended, else 0
 * @param untilMillis end of a quarantine that begins, in processing time, else 0
 * @param time when it was decided
 */
@TypeInfo(Types.OfRecord.class)
public record QueryStatus(
    String queryId,
    long revision,
    State state,
    String reason,
    List<Threshold> thresholds,
    String adapterDigest,
    long matches,
    long untilMillis,
    long time)
    implements StreamRecord {

  /** What became of a query. */
  public enum State {
    ACCEPTED,
    REFUSED,
    REMOVED,
    /** It matched too much; copies of what it matched are withheld for a while. */
    QUARANTINED,
    /** A quarantine ended. */
    RELEASED
  }

  /**
   * The score from which a comparison of one kind holds.
   *
   * @param score cosine
   */
  public record Threshold(MatchKind kind, double score) {
    public Threshold {
      Require.that(kind != null, "a threshold needs its kind");
    }
  }

  public QueryStatus {
    Require.present("queryId", queryId);
    Require.that(state != null, "state is missing");
    reason = reason == null ? "" : reason;
    thresholds = thresholds == null ? List.of() : List.copyOf(thresholds);
  }

  @Override
  public String key() {
    return queryId;
  }

  @Override
  public long timeMillis() {
    return time;
  }
}
