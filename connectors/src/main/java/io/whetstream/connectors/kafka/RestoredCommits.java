package io.whetstream.connectors.kafka;

import java.io.IOException;
import java.util.Collection;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.flink.api.connector.sink2.Committer;
import org.apache.flink.connector.kafka.sink.KafkaCommittable;
import org.apache.kafka.common.errors.InvalidPidMappingException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Lets a restore go on whose transactions Kafka has forgotten.
 *
 * <p>A savepoint holds the transactions that were to be committed when it was complete, and a
 * restore commits them again. Kafka forgets a transactional id that nobody has used for {@code
 * transactional.id.expiration.ms}, by default seven days; a savepoint older than that, or one
 * restored beside a copy of its topics, could so never be restored: the connector (5.0.0) fails the
 * task, at each attempt. But a transaction is forgotten only after its end. It was committed when
 * the savepoint was complete, or else aborted when its time was up, which the connector passes over
 * with a line in the log. So this is done here too.
 *
 * <p>Only for what came from a restored state: in a running job it cannot be, and fails.
 */
final class RestoredCommits implements Committer<KafkaCommittable> {
  private static final Logger LOG = LoggerFactory.getLogger(RestoredCommits.class);

  private final Committer<KafkaCommittable> committer;

  RestoredCommits(Committer<KafkaCommittable> committer) {
    this.committer = committer;
  }

  @Override
  public void commit(Collection<CommitRequest<KafkaCommittable>> requests)
      throws IOException, InterruptedException {
    List<CommitRequest<KafkaCommittable>> lenient =
        requests.stream().map(Request::new).collect(Collectors.toList());
    committer.commit(lenient);
  }

  @Override
  public void close() throws Exception {
    committer.close();
  }

  private record Request(CommitRequest<KafkaCommittable> request)
      implements CommitRequest<KafkaCommittable> {
    @Override
    public KafkaCommittable getCommittable() {
      return request.getCommittable();
    }

    @Override
    public int getNumberOfRetries() {
      return request.getNumberOfRetries();
    }

    @Override
    public void signalFailedWithKnownReason(Throwable reason) {
      request.signalFailedWithKnownReason(reason);
    }

    @Override
    public void signalFailedWithUnknownReason(Throwable reason) {
      boolean restored = getCommittable().getProducer().isEmpty();
      if (restored && reason instanceof InvalidPidMappingException) {
        LOG.warn(
            "The broker does not know the transaction {} of the restored state any more. It was"
                + " committed when that state was written, unless the job failed in that moment:"
                + " then its records are lost",
            getCommittable().getTransactionalId());
        request.signalFailedWithKnownReason(reason);
      } else {
        request.signalFailedWithUnknownReason(reason);
      }
    }

    @Override
    public void retryLater() {
      request.retryLater();
    }

    @Override
    public void updateAndRetryLater(KafkaCommittable committable) {
      request.updateAndRetryLater(committable);
    }

    @Override
    public void signalAlreadyCommitted() {
      request.signalAlreadyCommitted();
    }
  }
}
