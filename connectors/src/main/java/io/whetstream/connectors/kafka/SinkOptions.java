package io.whetstream.connectors.kafka;

import io.whetstream.model.BadInputException;
import java.io.Serializable;
import java.time.Duration;
import org.apache.flink.connector.base.DeliveryGuarantee;

/**
 * How a topic is written.
 *
 * @param kafka where it is
 * @param delivery exactly once: visible to read_committed readers after the checkpoint that commits
 *     it, lost only if an outage outlasts {@code transactionTimeout}; at least once: visible at
 *     once, and again after a failure
 * @param transactionalIdPrefix unique for each sink of each job
 * @param transactionTimeout a stock broker allows at most 15 minutes
 */
public record SinkOptions(
    KafkaConnection kafka,
    DeliveryGuarantee delivery,
    String transactionalIdPrefix,
    Duration transactionTimeout)
    implements Serializable {

  /** Below a stock broker's maximum of 15 minutes. */
  public static final Duration TRANSACTION_TIMEOUT = Duration.ofMinutes(14);

  public SinkOptions {
    if (delivery == DeliveryGuarantee.EXACTLY_ONCE
        && (transactionalIdPrefix == null || transactionalIdPrefix.isBlank())) {
      throw new BadInputException(
          "an exactly-once sink needs a transactional id prefix of its own");
    }
  }

  /** Exactly once. */
  public static SinkOptions exactlyOnce(KafkaConnection kafka, String transactionalIdPrefix) {
    return new SinkOptions(
        kafka, DeliveryGuarantee.EXACTLY_ONCE, transactionalIdPrefix, TRANSACTION_TIMEOUT);
  }

  /** At least once: lower latency, consumers de-duplicate. */
  public static SinkOptions atLeastOnce(KafkaConnection kafka) {
    return new SinkOptions(kafka, DeliveryGuarantee.AT_LEAST_ONCE, null, TRANSACTION_TIMEOUT);
  }
}
