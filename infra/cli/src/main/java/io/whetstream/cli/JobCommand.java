package io.whetstream.cli;

import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.jobs.config.ConfigLoader;
import io.whetstream.jobs.config.KafkaSettings;
import io.whetstream.jobs.finetune.FineTuneConfig;
import io.whetstream.jobs.finetune.FineTuneJob;
import io.whetstream.jobs.score.ScoreConfig;
import io.whetstream.jobs.score.ScoreJob;
import io.whetstream.local.LocalJob;
import io.whetstream.local.LocalOptions;
import io.whetstream.local.LocalRuntime;
import io.whetstream.local.StopSignal;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.admin.Admin;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code whetstream job}: a job in this process. The same main class is what a cluster runs. */
@Command(
    name = "job",
    description = "Runs the fine-tune or the scoring job in this process, until Ctrl-C.",
    subcommands = {JobCommand.Finetune.class, JobCommand.Score.class})
final class JobCommand implements Runnable {
  @Spec private CommandSpec spec;

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "say which job: finetune or score");
  }

  /** What both have in common. */
  abstract static class Base implements Callable<Integer> {
    private static final long LOOK_SECONDS = 1;

    @Spec private CommandSpec spec;
    @Mixin private LocalRuntimeOptions local;

    @Option(
        names = "--config",
        paramLabel = "FILE",
        description = "Configuration in YAML; what it does not say keeps its default.")
    private Path config;

    @Option(
        names = "-D",
        paramLabel = "KEY=VALUE",
        description = "One setting over the file's, for example -D training.globalBatch=128.")
    private List<String> overrides = new ArrayList<>();

    @Option(
        names = "--bootstrap-servers",
        paramLabel = "HOST:PORT",
        description = "Your own Kafka. Otherwise that of the configuration, else one is started.")
    private String bootstrapServers;

    /** Reads the configuration; the same as the cluster's main class would. */
    abstract Plan plan(Path config, List<String> overrides);

    /**
     * A configured job.
     *
     * @param name under which its state is kept
     * @param rendered configuration, secrets masked
     * @param topicPrefix of its topics
     */
    record Plan(
        String name, KafkaSettings kafka, String rendered, String topicPrefix, Building building) {}

    /** Adds the job to an environment. */
    interface Building {
      void build(StreamExecutionEnvironment environment, List<String> overrides);
    }

    @Override
    public Integer call() throws Exception {
      PrintWriter err = spec.commandLine().getErr();
      Plan plan = plan(config, overrides);
      String given = plan.kafka().bootstrapServers();
      String servers =
          bootstrapServers != null
              ? bootstrapServers
              : given.equals(KafkaSettings.defaults().bootstrapServers()) ? null : given;
      LocalOptions options = local.options(plan.name()).withBootstrapServers(servers);
      StopSignal stop = StopSignal.install();
      try (LocalRuntime runtime = LocalRuntime.start(options)) {
        String where = runtime.bootstrapServers();
        if (servers == null) {
          try (Admin admin = KafkaConnection.of(where).admin()) {
            new Topics(plan.topicPrefix()).create(admin, 1, (short) 1);
          }
        }
        List<String> settings = new ArrayList<>(overrides);
        settings.add("kafka.bootstrapServers=" + where);
        err.println(plan.rendered());
        err.println("Kafka " + where + ", Flink " + runtime.webUi());
        LocalJob job =
            runtime.submit(
                plan.name(), environment -> plan.building().build(environment, settings));
        err.println(
            job.restoredFrom() == null
                ? "job " + job.name() + " started"
                : "job " + job.name() + " goes on from " + job.restoredFrom());
        CompletableFuture<Void> ended = runtime.ended(job);
        while (!ended.isDone() && !stop.await(LOOK_SECONDS, TimeUnit.SECONDS)) {
          err.flush();
        }
        if (ended.isDone()) {
          rethrow(ended);
          return 0;
        }
        err.println("stopping with a savepoint ...");
        Map<String, Path> savepoints = runtime.stopJobs();
        err.println(
            savepoints.get(job.name()) == null
                ? "no savepoint could be made; the next start goes on from a checkpoint"
                : "stopped at " + savepoints.get(job.name()));
      }
      return 0;
    }

    private static void rethrow(CompletableFuture<Void> ended) {
      try {
        ended.join();
      } catch (CompletionException e) {
        throw e.getCause() instanceof RuntimeException cause ? cause : e;
      }
    }
  }

  /** {@code whetstream job finetune}. */
  @Command(name = "finetune", description = "Learns from the topic pairs and publishes adapters.")
  static final class Finetune extends Base {
    @Override
    Plan plan(Path file, List<String> overrides) {
      FineTuneConfig config = read(file, overrides);
      return new Plan(
          "finetune",
          config.kafka(),
          ConfigLoader.render(config),
          config.kafka().topicPrefix(),
          (environment, settings) -> {
            FineTuneConfig effective = read(file, settings);
            FineTuneJob.check(effective);
            FineTuneJob.build(environment, effective, false);
          });
    }

    private static FineTuneConfig read(Path file, List<String> overrides) {
      return file == null
          ? FineTuneConfig.loader().parse("", "command line", overrides)
          : FineTuneConfig.loader().load(file, overrides);
    }
  }

  /** {@code whetstream job score}. */
  @Command(
      name = "score",
      description = "Matches the topic items against the watchlist and raises alerts.")
  static final class Score extends Base {
    @Override
    Plan plan(Path file, List<String> overrides) {
      ScoreConfig config = read(file, overrides);
      return new Plan(
          "score",
          config.kafka(),
          ConfigLoader.render(config),
          config.kafka().topicPrefix(),
          (environment, settings) -> ScoreJob.build(environment, read(file, settings)));
    }

    private static ScoreConfig read(Path file, List<String> overrides) {
      return file == null
          ? ScoreConfig.loader().parse("", "command line", overrides)
          : ScoreConfig.loader().load(file, overrides);
    }
  }
}
