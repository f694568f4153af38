package io.whetstream.connectors.records;

import io.whetstream.connectors.types.Types;
import java.util.Arrays;
import java.util.Objects;
import org.apache.flink.api.common.typeinfo.TypeInfo;

/**
 * The vector of one side of an item. Topic {@code embeddings}, keyed by {@code itemId}.
 *
 * @param itemId the item
 * @param itemAt where the item lies in Kafka
 * @param side image or text
 * @param contentDigest of the embedded content
 * @param adapterDigest adapter under which it was embedded
 * @param eventTime of the item
 * @param vector of unit length
 */
@TypeInfo(Types.OfRecord.class)
public record Embedding(
    String itemId,
    Coordinates itemAt,
    MatchKind.Side side,
    String contentDigest,
    String adapterDigest,
    long eventTime,
    float[] vector)
    implements StreamRecord {

  public Embedding {
    Require.present("itemId", itemId);
    Require.present("adapterDigest", adapterDigest);
    Require.that(side != null, "side is missing: image or text");
    Require.that(vector != null && vector.length > 0, "vector is missing or empty");
  }

  @Override
  public String key() {
    return itemId;
  }

  @Override
  public long timeMillis() {
    return eventTime;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Embedding that
        && itemId.equals(that.itemId)
        && Objects.equals(itemAt, that.itemAt)
        && side == that.side
        && Objects.equals(contentDigest, that.contentDigest)
        && adapterDigest.equals(that.adapterDigest)
        && eventTime == that.eventTime
        && Arrays.equals(vector, that.vector);
  }

  @Override
  public int hashCode() {
    return Objects.hash(itemId, side, adapterDigest, eventTime, Arrays.hashCode(vector));
  }
}
