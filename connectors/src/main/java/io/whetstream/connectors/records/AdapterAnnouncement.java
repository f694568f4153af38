package io.whetstream.connectors.records;

import io.whetstream.connectors.types.Types;
import java.util.Map;
import org.apache.flink.api.common.typeinfo.TypeInfo;

/**
 * A published adapter. Topic {@code adapters}, compacted, keyed by {@code stream}. Readers are
 * idempotent by digest: after a long outage the same adapter may be announced again.
 *
 * @param stream name of the adapter stream
 * @param epoch of the version; grows with each restore of the trainer by hand
 * @param n number within the epoch
 * @param digest of tensors and configuration; the adapter's identity
 * @param manifestDigest of the manifest's bytes; verified with {@code digest} when it is read
 * @param parentDigest adapter it was trained from, or null for the base
 * @param baseDigest base model it belongs to
 * @param uri directory in the registry
 * @param step training steps behind it
 * @param pairs pairs trained on
 * @param metrics of the gate that let it pass, by name
 * @param announcedAt when it was announced
 */
@TypeInfo(Types.OfRecord.class)
public record AdapterAnnouncement(
    String stream,
    long epoch,
    long n,
    String digest,
    String manifestDigest,
    String parentDigest,
    String baseDigest,
    String uri,
    long step,
    long pairs,
    Map<String, Double> metrics,
    long announcedAt)
    implements StreamRecord {

  public AdapterAnnouncement {
    Require.present("stream", stream);
    Require.present("digest", digest);
    Require.present("manifestDigest", manifestDigest);
    Require.present("baseDigest", baseDigest);
    Require.present("uri", uri);
    Require.that(epoch >= 0 && n >= 0, "a version is not negative: epoch " + epoch + ", n " + n);
    Require.that(
        step >= 0 && pairs >= 0, "counts are not negative: step " + step + ", pairs " + pairs);
    metrics = metrics == null ? Map.of() : Map.copyOf(metrics);
  }

  @Override
  public String key() {
    return stream;
  }

  @Override
  public long timeMillis() {
    return announcedAt;
  }
}
