package io.whetstream.connectors.records;

import io.whetstream.connectors.types.Types;
import org.apache.flink.api.common.typeinfo.TypeInfo;

/**
 * What a person thinks of an alert. Topic {@code feedback}, keyed by {@code alertId}.
 *
 * @param alertId the alert
 * @param verdict whether the match is one
 * @param by who says so, or null
 * @param comment free text, or null
 * @param eventTime when; Kafka's timestamp if the producer gave none
 */
@TypeInfo(Types.OfRecord.class)
public record Feedback(String alertId, Verdict verdict, String by, String comment, long eventTime)
    implements StreamRecord {

  /** Whether an alert was right. */
  public enum Verdict {
    CONFIRM,
    REJECT
  }

  public Feedback {
    Require.present("alertId", alertId);
    Require.that(verdict != null, "verdict is missing: confirm or reject");
  }

  @Override
  public String key() {
    return alertId;
  }

  @Override
  public long timeMillis() {
    return eventTime;
  }
}
