package io.whetstream.local;

import io.whetstream.kafka.EmbeddedKafka;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import org.apache.flink.api.common.JobID;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.CoreOptions;
import org.apache.flink.configuration.ExternalizedCheckpointRetention;
import org.apache.flink.configuration.JobManagerOptions;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.MetricOptions;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.configuration.WebOptions;
import org.apache.flink.core.execution.RecoveryClaimMode;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.runtime.jobgraph.SavepointRestoreSettings;
import org.apache.flink.runtime.jobmaster.JobResult;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;
import org.apache.flink.runtime.minicluster.RpcServiceSharing;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.graph.StreamGraph;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Kafka and Flink in this process, on one data directory. A job submitted under a name goes on from
 * the newest checkpoint or savepoint that an earlier run left under it, whether that run was
 * stopped or killed.
 *
 * <p>Everything listens on loopback only. Methods may be called from any thread. A runtime that is
 * not closed keeps the process alive, since broker threads are not daemons.
 */
public final class LocalRuntime implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(LocalRuntime.class);
  private static final Duration SAVEPOINT = Duration.ofSeconds(60);
  private static final Duration SHUT_DOWN = Duration.ofSeconds(30);

  private final String id = UUID.randomUUID().toString();
  private final LocalOptions options;
  private final DataDirectory data;
  private final Map<String, LocalJob> jobs = new LinkedHashMap<>();
  private EmbeddedKafka kafka;
  private MiniCluster cluster;
  private URI web;

  private LocalRuntime(LocalOptions options, DataDirectory data) {
    this.options = options;
    this.data = data;
  }

  /**
   * Starts broker and cluster.
   *
   * @throws BadInputException if a port is taken or the data directory cannot be used
   */
  public static LocalRuntime start(LocalOptions options) {
    requireFree(options.webPort(), "Flink's web UI");
    DataDirectory data = DataDirectory.open(options.dataDir(), options.fresh());
    LocalRuntime runtime = new LocalRuntime(options, data);
    try {
      // Side by side: each takes a second or two.
      CompletableFuture<EmbeddedKafka> broker =
          options.bootstrapServers() != null
              ? CompletableFuture.completedFuture(null)
              : CompletableFuture.supplyAsync(
                  () ->
                      EmbeddedKafka.start(data.resolve(DataDirectory.KAFKA), options.kafkaPort()));
      try {
        runtime.startCluster();
      } finally {
        runtime.kafka = broker.handle((started, failure) -> started).join();
      }
      broker.join();
      return runtime;
    } catch (Exception e) {
      runtime.close();
      BadInputException bad = find(e);
      if (bad != null) {
        throw bad;
      }
      throw new IllegalStateException("the local runtime could not start", e);
    }
  }

  /** Where clients of Kafka connect. */
  public String bootstrapServers() {
    return kafka == null ? options.bootstrapServers() : kafka.bootstrapServers();
  }

  /** Flink's web UI. */
  public URI webUi() {
    return web;
  }

  /** Where adapters are kept. */
  public Path adapters() {
    return data.resolve(DataDirectory.ADAPTERS);
  }

  /** A directory for what a program of ours keeps between runs. */
  public Path directory() {
    return data.resolve(DataDirectory.DEMO);
  }

  /** The metrics of the jobs that run now. */
  public LiveMetrics metrics() {
    return LiveMetrics.of(id);
  }

  /** What a job of that name would go on from; empty if it would start anew. */
  public Optional<Path> newestState(String name) {
    return data.newestState(name);
  }

  /**
   * Submits a job, going on from the newest state under its name.
   *
   * @throws BadInputException if one of that name has had state and there is none, and nobody said
   *     that this is to be so ({@link LocalOptions#withoutState})
   * @param name stable over restarts, letters, digits and dashes
   * @param build adds sources, operators and sinks to the environment, without executing it
   */
  public synchronized LocalJob submit(String name, Consumer<StreamExecutionEnvironment> build) {
    if (!name.matches("[A-Za-z0-9-]+")) {
      throw new IllegalArgumentException("not a name for a job: " + name);
    }
    Configuration configuration = clusterConfiguration();
    StreamExecutionEnvironment environment = new StreamExecutionEnvironment(configuration);
    build.accept(environment);
    // Whatever the job's own configuration says: another start looks here.
    Configuration place = new Configuration();
    place.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, flinkPath(data.checkpoints(name)));
    environment.configure(place);
    StreamGraph graph = environment.getStreamGraph();
    graph.setJobName(name);
    Optional<Path> state = data.newestState(name);
    if (state.isEmpty() && data.hadState(name) && !options.withoutState()) {
      throw new BadInputException(
          "job "
              + name
              + " has had state in "
              + options.dataDir()
              + ", but there is no complete checkpoint or savepoint to go on from; begin anew"
              + " with --without-state (topics and adapters stay) or --fresh (all is deleted), or"
              + " put back its checkpoints");
    }
    // NO_CLAIM: checkpoints of this run share no file with what it goes on from, so that an older
    // one can be deleted and a killed run still finds all files of its own.
    state.ifPresent(
        path -> {
          data.forgetStatesExcept(name, path);
          graph.setSavepointRestoreSettings(
              SavepointRestoreSettings.forPath(flinkPath(path), false, RecoveryClaimMode.NO_CLAIM));
        });
    try {
      JobID job = cluster.submitJob(graph).get().getJobID();
      LocalJob local = new LocalJob(name, job, state.orElse(null));
      jobs.put(name, local);
      data.noteState(name);
      LOG.info("job {} is {}, from {}", name, job, state.map(Path::toString).orElse("the start"));
      return local;
    } catch (ExecutionException e) {
      BadInputException bad = find(e);
      throw bad != null ? bad : new IllegalStateException("job " + name + " was not accepted", e);
    } catch (InterruptedException e) {
      throw interrupted(e);
    }
  }

  /** The state of a job now. */
  public JobStatus status(LocalJob job) {
    return await(cluster.getJobStatus(job.id()), SHUT_DOWN, "the state of job " + job.name());
  }

  /** Completes when the job ends; exceptionally, with the job's own failure, if it failed. */
  public CompletableFuture<Void> ended(LocalJob job) {
    return cluster.requestJobResult(job.id()).thenAccept(result -> check(job, result));
  }

  /**
   * Stops a job with a savepoint, without draining: nothing that is buffered is flushed as if the
   * stream had ended.
   *
   * @return the savepoint, from which the next submission under this name goes on
   */
  public Path stopWithSavepoint(LocalJob job) {
    String directory = flinkPath(data.savepoints(job.name()));
    String path =
        await(
            cluster.stopWithSavepoint(job.id(), directory, false, SavepointFormatType.NATIVE),
            SAVEPOINT,
            "the savepoint of job " + job.name());
    data.noteState(job.name());
    forget(job);
    return Path.of(new org.apache.flink.core.fs.Path(path).getPath());
  }

  /**
   * Notes which jobs have state by now, so that a later start can tell a job that has lost it from
   * one that never had any. To be called now and then; cheap.
   */
  public synchronized void noteStates() {
    jobs.keySet().forEach(data::noteState);
  }

  /** Takes a checkpoint of a job now and waits until it is complete. */
  public void checkpoint(LocalJob job) {
    await(cluster.triggerCheckpoint(job.id()), SAVEPOINT, "a checkpoint of job " + job.name());
  }

  /** Ends a job without a savepoint. Its checkpoints stay. */
  public void cancel(LocalJob job) {
    await(cluster.cancelJob(job.id()), SHUT_DOWN, "the end of job " + job.name());
    await(cluster.requestJobResult(job.id()), SHUT_DOWN, "the end of job " + job.name());
    forget(job);
  }

  /**
   * Stops every job with a savepoint. A job that cannot make one (it is restarting, say) is left to
   * its newest checkpoint. The broker goes on.
   *
   * @return job name to savepoint, in the order of submission; null where none could be made
   */
  public Map<String, Path> stopJobs() {
    Map<String, Path> savepoints = new LinkedHashMap<>();
    for (LocalJob job : submitted()) {
      Path savepoint = null;
      try {
        if (!status(job).isGloballyTerminalState()) {
          savepoint = stopWithSavepoint(job);
        }
      } catch (RuntimeException e) {
        LOG.warn("job {} made no savepoint and will go on from a checkpoint", job.name(), e);
      }
      savepoints.put(job.name(), savepoint);
    }
    return savepoints;
  }

  /** As {@link #stopJobs}, then cluster and broker. */
  public Map<String, Path> stop() {
    Map<String, Path> savepoints = stopJobs();
    close();
    return savepoints;
  }

  /** Ends cluster and broker without savepoints, as a kill would. May be called again. */
  @Override
  public synchronized void close() {
    try {
      if (cluster != null) {
        MiniCluster closing = cluster;
        cluster = null;
        closing.closeAsync().get(SHUT_DOWN.toMillis(), TimeUnit.MILLISECONDS);
      }
    } catch (ExecutionException | TimeoutException e) {
      LOG.warn("the Flink cluster did not shut down cleanly", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } finally {
      LiveMetrics.forget(id);
      if (kafka != null) {
        kafka.close();
        kafka = null;
      }
      noteStates();
      jobs.clear();
      data.close();
    }
  }

  /** Highest resident memory of this process so far, in bytes; -1 where it is not known. */
  public static long peakResidentBytes() {
    try {
      for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
        if (line.startsWith("VmHWM:")) {
          return Long.parseLong(line.replaceAll("\\D", "")) << 10;
        }
      }
    } catch (IOException e) {
      LOG.debug("no /proc/self/status", e);
    }
    return -1;
  }

  private void startCluster() throws Exception {
    Configuration configuration = clusterConfiguration();
    cluster =
        new MiniCluster(
            new MiniClusterConfiguration.Builder()
                .setConfiguration(configuration)
                .setNumTaskManagers(1)
                .setNumSlotsPerTaskManager(options.slots())
                .setRpcServiceSharing(RpcServiceSharing.SHARED)
                .build());
    cluster.start();
    web = cluster.getRestAddress().get();
  }

  private Configuration clusterConfiguration() {
    Configuration c = new Configuration();
    c.set(RestOptions.BIND_ADDRESS, "127.0.0.1");
    c.set(RestOptions.ADDRESS, "127.0.0.1");
    c.set(RestOptions.BIND_PORT, Integer.toString(options.webPort()));
    c.set(RestOptions.PORT, options.webPort());
    c.set(WebOptions.SUBMIT_ENABLE, false);
    // The console reads metrics over REST, and wants to see every step.
    c.set(MetricOptions.METRIC_FETCHER_UPDATE_INTERVAL, Duration.ofMillis(500));
    c.set(JobManagerOptions.BIND_HOST, "127.0.0.1");
    c.set(TaskManagerOptions.BIND_HOST, "127.0.0.1");
    c.set(CoreOptions.TMP_DIRS, data.temporary().toString());
    c.set(
        TaskManagerOptions.MANAGED_MEMORY_SIZE, MemorySize.ofMebiBytes(options.managedMemoryMiB()));
    c.set(TaskManagerOptions.NETWORK_MEMORY_MIN, MemorySize.ofMebiBytes(64));
    c.set(TaskManagerOptions.NETWORK_MEMORY_MAX, MemorySize.ofMebiBytes(64));
    c.set(PipelineOptions.GENERIC_TYPES, false);
    c.set(PipelineOptions.OBJECT_REUSE, false);
    c.set(StateBackendOptions.STATE_BACKEND, "rocksdb");
    c.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
    c.set(CheckpointingOptions.INCREMENTAL_CHECKPOINTS, true);
    c.set(CheckpointingOptions.CHECKPOINTING_INTERVAL, options.checkpointInterval());
    c.set(
        CheckpointingOptions.EXTERNALIZED_CHECKPOINT_RETENTION,
        ExternalizedCheckpointRetention.RETAIN_ON_CANCELLATION);
    c.setString("restart-strategy.type", "exponential-delay");
    c.setString("metrics.reporter.local.factory.class", LiveMetrics.Factory.class.getName());
    c.setString("metrics.reporter.local." + LiveMetrics.RUNTIME, id);
    return c;
  }

  /** A path as Flink's configuration wants it: a scheme, and nothing escaped. */
  private static String flinkPath(Path path) {
    return new org.apache.flink.core.fs.Path(path.toUri()).toString();
  }

  private synchronized List<LocalJob> submitted() {
    return new ArrayList<>(jobs.values());
  }

  private synchronized void forget(LocalJob job) {
    jobs.remove(job.name(), job);
  }

  private static void check(LocalJob job, JobResult result) {
    if (!result.isSuccess() && result.getSerializedThrowable().isPresent()) {
      Throwable failure =
          result
              .getSerializedThrowable()
              .get()
              .deserializeError(LocalRuntime.class.getClassLoader());
      BadInputException bad = find(failure);
      throw bad != null ? bad : new IllegalStateException("job " + job.name() + " failed", failure);
    }
  }

  private static <T> T await(CompletableFuture<T> future, Duration limit, String what) {
    try {
      return future.get(limit.toMillis(), TimeUnit.MILLISECONDS);
    } catch (ExecutionException e) {
      throw new IllegalStateException(what + " failed", e.getCause());
    } catch (TimeoutException e) {
      throw new IllegalStateException(what + " took more than " + limit.toSeconds() + " s", e);
    } catch (InterruptedException e) {
      throw interrupted(e);
    }
  }

  private static IllegalStateException interrupted(InterruptedException e) {
    Thread.currentThread().interrupt();
    return new IllegalStateException("interrupted", e);
  }

  private static BadInputException find(Throwable failure) {
    for (Throwable t = failure; t != null; t = t.getCause()) {
      if (t instanceof BadInputException bad) {
        return bad;
      }
    }
    return null;
  }

  private static void requireFree(int port, String of) {
    if (port == 0) {
      return;
    }
    try (ServerSocket socket = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
      LOG.debug("port {} is free for {}", socket.getLocalPort(), of);
    } catch (IOException e) {
      throw new BadInputException(
          "port "
              + port
              + " for "
              + of
              + " is in use: stop what listens there, or give another port (0 for a free one)",
          e);
    }
  }
}
