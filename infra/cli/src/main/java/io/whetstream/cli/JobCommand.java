package io.whetstream.cli;

import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.jobs.config.ConfigLoader;
import io.whetstream.jobs.config.KafkaSettings;
import io.whetstream.jobs.config.RegistrySettings;
import io.whetstream.jobs.finetune.FineTuneConfig;
import io.whetstream.jobs.finetune.FineTuneJob;
import io.whetstream.jobs.score.ScoreConfig;
import io.whetstream.jobs.score.ScoreJob;
import io.whetstream.local.LocalJob;
import io.whetstream.local.LocalOptions;
import io.whetstream.local.LocalRuntime;
import io.whetstream.local.StopSignal;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.admin.Admin;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code whetstream job}: jobs in this process. The same main classes are what a cluster runs. */
@Command(
    name = "job",
    description = "Runs the fine-tune job, the scoring job or both in this process, until Ctrl-C.",
    subcommands = {JobCommand.Finetune.class, JobCommand.Score.class, JobCommand.Both.class})
final class JobCommand implements Runnable {
  @Spec private CommandSpec spec;

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "say which job: finetune, score or both");
  }

  /**
   * A configured job.
   *
   * @param name under which its state is kept
   * @param config as it stands in the file
   */
  private record Plan(
      String name, Record config, KafkaSettings kafka, String registry, Building building) {}

  /** Adds a job to an environment, its settings over those of its file, and gives all of them. */
  private interface Building {
    Record build(StreamExecutionEnvironment environment, List<String> settings);
  }

  private static Plan finetune(Path file, List<String> overrides) {
    FineTuneConfig config = read(FineTuneConfig.loader(), file, overrides);
    return new Plan(
        "finetune",
        config,
        config.kafka(),
        config.registry().uri(),
        (environment, settings) -> {
          FineTuneConfig effective = read(FineTuneConfig.loader(), file, settings);
          FineTuneJob.check(effective);
          FineTuneJob.build(environment, effective, false);
          return effective;
        });
  }

  private static Plan score(Path file, List<String> overrides) {
    ScoreConfig config = read(ScoreConfig.loader(), file, overrides);
    return new Plan(
        "score",
        config,
        config.kafka(),
        config.registry().uri(),
        (environment, settings) -> {
          ScoreConfig effective = read(ScoreConfig.loader(), file, settings);
          ScoreJob.build(environment, effective);
          return effective;
        });
  }

  private static <T extends Record> T read(
      ConfigLoader<T> loader, Path file, List<String> overrides) {
    return file == null
        ? loader.parse("", "command line", overrides)
        : loader.load(file, overrides);
  }

  /** What all have in common. */
  abstract static class Base implements Callable<Integer> {
    private static final long LOOK_SECONDS = 1;

    /** Slots that one job needs at most. */
    private static final int SLOTS = 4;

    @Spec private CommandSpec spec;
    @Mixin private LocalRuntimeOptions local;

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

    private final String directory;

    /**
     * @param directory name of the data directory under the default one
     */
    Base(String directory) {
      this.directory = directory;
    }

    /** Reads the configurations; the same as the cluster's main classes would. */
    abstract List<Plan> plans(List<String> overrides);

    @Override
    public Integer call() throws Exception {
      PrintWriter err = spec.commandLine().getErr();
      List<Plan> plans = plans(overrides);
      String servers = servers(plans);
      LocalOptions options =
          local.options(directory).withBootstrapServers(servers).withSlots(SLOTS * plans.size());
      TemporaryFolder.require(TemporaryFolder.NATIVES);
      StopSignal stop = StopSignal.install();
      try (LocalRuntime runtime = LocalRuntime.start(options)) {
        String where = runtime.bootstrapServers();
        if (servers == null) {
          for (Plan plan : plans) {
            try (Admin admin = KafkaConnection.of(where).admin()) {
              new Topics(plan.kafka().topicPrefix()).create(admin, 1, (short) 1);
            }
          }
        }
        err.println("Kafka " + where + ", Flink " + runtime.webUi());
        List<LocalJob> jobs = new ArrayList<>();
        for (Plan plan : plans) {
          jobs.add(submit(plan, runtime, where, err));
        }
        CompletableFuture<?> ended =
            CompletableFuture.anyOf(
                jobs.stream().map(runtime::ended).toArray(CompletableFuture[]::new));
        while (!ended.isDone() && !stop.await(LOOK_SECONDS, TimeUnit.SECONDS)) {
          err.flush();
          runtime.noteStates();
        }
        if (ended.isDone() && jobs.size() == 1) {
          rethrow(ended);
          return 0;
        }
        err.println("stopping with savepoints ...");
        for (Map.Entry<String, Path> each : runtime.stopJobs().entrySet()) {
          err.println(
              "job "
                  + each.getKey()
                  + (each.getValue() == null
                      ? runtime.newestState(each.getKey()).isPresent()
                          ? " made no savepoint; the next start goes on from a checkpoint"
                          : " had no state yet; the next start begins anew"
                      : " stopped at " + each.getValue()));
        }
        if (ended.isDone()) {
          rethrow(ended);
        }
      }
      return 0;
    }

    /** Kafka of the option, else of the configurations, else none: one is to be started. */
    private String servers(List<Plan> plans) {
      if (bootstrapServers != null) {
        return bootstrapServers;
      }
      List<String> given =
          plans.stream().map(plan -> plan.kafka().bootstrapServers()).distinct().toList();
      if (given.size() > 1) {
        throw new BadInputException(
            "the configurations name different brokers ("
                + String.join(" and ", given)
                + "): kafka.bootstrapServers must be the same, or give --bootstrap-servers");
      }
      return given.get(0).equals(KafkaSettings.defaults().bootstrapServers()) ? null : given.get(0);
    }

    private LocalJob submit(Plan plan, LocalRuntime runtime, String servers, PrintWriter err) {
      List<String> settings = new ArrayList<>(overrides);
      settings.add(ConfigLoader.setting("kafka.bootstrapServers", servers));
      if (plan.registry().equals(RegistrySettings.defaults().uri())) {
        settings.add(ConfigLoader.setting("registry.uri", registry(local.adapters(), err)));
      }
      LocalJob job =
          runtime.submit(
              plan.name(),
              environment -> {
                Record effective = plan.building().build(environment, settings);
                err.println(ConfigLoader.render(effective));
              });
      err.println(
          job.restoredFrom() == null
              ? "job " + job.name() + " started"
              : "job " + job.name() + " goes on from " + job.restoredFrom());
      err.flush();
      return job;
    }

    /**
     * Adapters lie with everything else that lasts, unless an earlier version put them elsewhere.
     */
    private static String registry(Path place, PrintWriter err) {
      Path former = Path.of(RegistrySettings.defaults().uri()).toAbsolutePath();
      if (Files.isDirectory(former.resolve("adapters")) && isEmpty(place)) {
        err.println(
            "adapters stay in "
                + former
                + ", where an earlier version put them; registry.uri says where else they are to"
                + " be");
        return former.toString();
      }
      return place.toString();
    }

    private static boolean isEmpty(Path directory) {
      if (!Files.exists(directory)) {
        return true;
      }
      try (Stream<Path> children = Files.list(directory)) {
        return children.findAny().isEmpty();
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    private static void rethrow(CompletableFuture<?> ended) {
      try {
        ended.join();
      } catch (CompletionException e) {
        throw e.getCause() instanceof RuntimeException cause ? cause : e;
      }
    }
  }

  /** One job, with its configuration. */
  abstract static class One extends Base {
    @Option(
        names = "--config",
        paramLabel = "FILE",
        description = "Configuration in YAML; what it does not say keeps its default.")
    Path config;

    One(String directory) {
      super(directory);
    }
  }

  /** {@code whetstream job finetune}. */
  @Command(name = "finetune", description = "Learns from the topic pairs and publishes adapters.")
  static final class Finetune extends One {
    Finetune() {
      super("finetune");
    }

    @Override
    List<Plan> plans(List<String> overrides) {
      return List.of(finetune(config, overrides));
    }
  }

  /** {@code whetstream job score}. */
  @Command(
      name = "score",
      description = "Matches the topic items against the watchlist and raises alerts.")
  static final class Score extends One {
    Score() {
      super("score");
    }

    @Override
    List<Plan> plans(List<String> overrides) {
      return List.of(score(config, overrides));
    }
  }

  /** {@code whetstream job both}. */
  @Command(
      name = "both",
      description =
          "Both jobs in one process, on one data directory. -D is for keys that both have, such as"
              + " kafka.topicPrefix.")
  static final class Both extends Base {
    @Option(
        names = "--finetune",
        paramLabel = "FILE",
        description = "Configuration of the fine-tune job (default: all defaults).")
    private Path finetune;

    @Option(
        names = "--score",
        paramLabel = "FILE",
        description = "Configuration of the scoring job (default: all defaults).")
    private Path score;

    Both() {
      super("both");
    }

    @Override
    List<Plan> plans(List<String> overrides) {
      return List.of(finetune(finetune, overrides), score(score, overrides));
    }
  }
}
