package io.whetstream.connectors.kafka;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Collection;
import java.util.List;
import java.util.Properties;
import org.apache.flink.api.connector.sink2.Committer;
import org.apache.flink.connector.kafka.sink.KafkaCommittable;
import org.apache.flink.connector.kafka.sink.internal.FlinkKafkaInternalProducer;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.InvalidPidMappingException;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.junit.jupiter.api.Test;

class RestoredCommitsTest {
  private static RuntimeException forgotten() {
    return new InvalidPidMappingException("not assigned");
  }

  /** The connector's committer where every commit fails in a way it does not know. */
  private record Failing(RuntimeException failure) implements Committer<KafkaCommittable> {
    @Override
    public void commit(Collection<CommitRequest<KafkaCommittable>> requests) {
      requests.forEach(request -> request.signalFailedWithUnknownReason(failure));
    }

    @Override
    public void close() {}
  }

  /** A commit, and what is said of it. */
  private static final class Asked implements Committer.CommitRequest<KafkaCommittable> {
    private final KafkaCommittable committable;
    private String answer = "none";

    Asked(KafkaCommittable committable) {
      this.committable = committable;
    }

    @Override
    public KafkaCommittable getCommittable() {
      return committable;
    }

    @Override
    public int getNumberOfRetries() {
      return 0;
    }

    @Override
    public void signalFailedWithKnownReason(Throwable reason) {
      answer = "passed over";
    }

    @Override
    public void signalFailedWithUnknownReason(Throwable reason) {
      answer = "failed";
    }

    @Override
    public void retryLater() {
      answer = "again";
    }

    @Override
    public void updateAndRetryLater(KafkaCommittable other) {
      answer = "again";
    }

    @Override
    public void signalAlreadyCommitted() {
      answer = "done";
    }
  }

  private static String answer(
      RuntimeException failure, FlinkKafkaInternalProducer<byte[], byte[]> producer)
      throws Exception {
    Asked asked = new Asked(new KafkaCommittable(7, (short) 0, "adapters-0", producer));
    new RestoredCommits(new Failing(failure)).commit(List.of(asked));
    return asked.answer;
  }

  @Test
  void aTransactionOfRestoredStateThatKafkaHasForgottenIsPassedOver() throws Exception {
    assertEquals("passed over", answer(forgotten(), null));
  }

  @Test
  void whatElseKeepsARestoredTransactionFromBeingCommittedFails() throws Exception {
    assertEquals("failed", answer(new AuthorizationException("not allowed"), null));
  }

  @Test
  void aForgottenTransactionOfARunningJobFails() throws Exception {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", "127.0.0.1:1");
    properties.put("key.serializer", ByteArraySerializer.class.getName());
    properties.put("value.serializer", ByteArraySerializer.class.getName());
    try (FlinkKafkaInternalProducer<byte[], byte[]> producer =
        new FlinkKafkaInternalProducer<>(properties, "adapters-0")) {
      assertEquals("failed", answer(forgotten(), producer));
    }
  }
}
