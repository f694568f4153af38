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
 * @param digest of a rollback: the adapter to go back to; of a resume: the adapter that stays in
 *     use until a newer version than {@code afterEpoch}.{@code afterN} is announced, or null if
 *     there was no rollback
 * @param afterEpoch of a resume with a digest: epoch of the newest version announced before it;
 *     else null
 * @param afterN of a resume with a digest: number within that epoch; else null
 * @param reason in the words of who ordered it
 * @param issuedAt when it was ordered
 */
@TypeInfo(Types.OfRecord.class)
public record AdapterControl(
    String stream,
    Action action,
    String digest,
    Long afterEpoch,
    Long afterN,
    String reason,
    long issuedAt)
    implements StreamRecord {

  /** What to do. */
  public enum Action {
    /** Use that adapter everywhere and publish nothing until a resume. */
    ROLLBACK,
    /**
     * Publish again. The adapter that was gone back to stays in use until then: what was announced
     * before the order is not taken up again.
     */
    RESUME
  }

  public AdapterControl {
    Require.present("stream", stream);
    Require.that(action != null, "action is missing: rollback or resume");
    digest = Require.blankToNull(digest);
    Require.that(
        action == Action.RESUME || digest != null,
        "a rollback needs the digest of the adapter to go back to");
    boolean floor = action == Action.RESUME && digest != null;
    Require.that(
        (afterEpoch != null) == floor && (afterN != null) == floor,
        "afterEpoch and afterN belong to a resume that names an adapter, and to nothing else");
    reason = reason == null ? "" : reason;
  }

  /** An order to go back to an adapter. */
  public static AdapterControl rollback(
      String stream, String digest, String reason, long issuedAt) {
    return new AdapterControl(stream, Action.ROLLBACK, digest, null, null, reason, issuedAt);
  }

  /**
   * An order to publish again after a rollback.
   *
   * @param digest the adapter that was gone back to
   * @param afterEpoch epoch of the newest version announced so far
   * @param afterN its number within that epoch
   */
  public static AdapterControl resume(
      String stream, String digest, long afterEpoch, long afterN, String reason, long issuedAt) {
    return new AdapterControl(stream, Action.RESUME, digest, afterEpoch, afterN, reason, issuedAt);
  }

  /** An order to publish again where nothing was rolled back. */
  public static AdapterControl resume(String stream, String reason, long issuedAt) {
    return new AdapterControl(stream, Action.RESUME, null, null, null, reason, issuedAt);
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
