package io.whetstream.jobs.finetune;

import io.whetstream.connectors.registry.AdapterRegistry;
import io.whetstream.connectors.registry.RegistryOptions;
import io.whetstream.model.BadInputException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Function;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.metrics.Counter;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Asks the registry on a thread of its own, one request after the other, again until it answers.
 * Answers come back as mails, on the operator's thread; so a registry that is slow or gone holds up
 * what waits for it and nothing else.
 */
final class RegistryThread implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(RegistryThread.class);
  private static final Duration SHORTEST_PAUSE = Duration.ofMillis(250);
  private static final Duration LONGEST_PAUSE = Duration.ofSeconds(30);

  private final String uri;
  private final MailboxExecutor mailbox;
  private final Counter failures;
  private final ExecutorService thread;
  private AdapterRegistry registry;

  /**
   * @param failures counts requests that were not answered
   */
  RegistryThread(String stream, String uri, MailboxExecutor mailbox, Counter failures) {
    this.uri = uri;
    this.mailbox = mailbox;
    this.failures = failures;
    thread =
        Executors.newSingleThreadExecutor(
            task -> {
              Thread created = new Thread(task, "registry-" + stream);
              created.setDaemon(true);
              return created;
            });
  }

  /**
   * Asks until there is an answer, or nobody wants one any more.
   *
   * @param what for the log
   * @param wanted asked on the registry's thread before each attempt
   * @param refusals whether an adapter that is absent or damaged is an answer, namely null, and not
   *     worth another attempt
   */
  <T> void ask(
      String what,
      Function<AdapterRegistry, T> request,
      BooleanSupplier wanted,
      boolean refusals,
      Consumer<T> answer) {
    thread.execute(
        () -> {
          try {
            attempt(what, request, wanted, refusals, answer);
          } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
          } catch (RejectedExecutionException e) {
            LOG.debug("{}: the operator is gone", what);
          } catch (Throwable e) {
            mailbox.execute(
                () -> {
                  throw new IllegalStateException(what + " failed", e);
                },
                what);
          }
        });
  }

  private <T> void attempt(
      String what,
      Function<AdapterRegistry, T> request,
      BooleanSupplier wanted,
      boolean refusals,
      Consumer<T> answer)
      throws InterruptedException {
    long pause = SHORTEST_PAUSE.toMillis();
    while (wanted.getAsBoolean()) {
      try {
        if (registry == null) {
          registry = AdapterRegistry.open(RegistryOptions.of(uri));
        }
        T found = request.apply(registry);
        mailbox.execute(() -> answer.accept(found), what);
        return;
      } catch (UncheckedIOException | BadInputException e) {
        failures.inc();
        if (refusals && e instanceof BadInputException) {
          LOG.error("{}: {}", what, e.getMessage());
          mailbox.execute(() -> answer.accept(null), what);
          return;
        }
        LOG.error("{} did not succeed, trying again: {}", what, e.toString());
      }
      TimeUnit.MILLISECONDS.sleep(pause);
      pause = Math.min(2 * pause, LONGEST_PAUSE.toMillis());
    }
  }

  @Override
  public void close() throws InterruptedException {
    thread.shutdownNow();
    if (!thread.awaitTermination(10, TimeUnit.SECONDS)) {
      LOG.warn("The registry's thread did not stop within 10 s");
    }
  }
}
