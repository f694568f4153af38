package io.whetstream.connectors.records;

import io.whetstream.connectors.types.Types;
import org.apache.flink.api.common.typeinfo.TypeInfo;

/**
 * An order about adapters from a person. Topic {@code adapters.control}, compacted, keyed by {@code
 * stream}; written by a plain producer, never inside a job's transaction. The newest order stands:
 * a rollback holds until a resume.
 *
 * @param stream name of the adapter stream
 * @param action what to do
 * @param digest adapter to go back to; null for a resume
 * @param reason in the words of who ordered it
 * @param issuedAt when it was ordered
 */
@TypeInfo(Types.OfRecord.class)
public record AdapterControl(
    String stream, Action action, String digest, String reason, long issuedAt)
    implements StreamRecord {

  /** What to do. */
  public enum Action {
    /** Use that adapter everywhere and publish nothing until a resume. */
    ROLLBACK,
    /** Publish again. */
    RESUME
  }

  public AdapterControl {
    Require.present("stream", stream);
    Require.that(action != null, "action is missing: rollback or resume");
    digest = Require.blankToNull(digest);
    Require.that(
        (action == Action.ROLLBACK) == (digest != null),
        action == Action.ROLLBACK
            ? "a rollback needs the digest of the adapter to go back to"
            : "a resume has no digest");
    reason = reason == null ? "" : reason;
  }

  @Override
  public String key() {
    return stream;
  }

  @Override
  public long timeMillis() {
    return issuedAt;
  }
}
