package io.whetstream.local.demo;

import io.whetstream.jobs.config.ConfigLoader;
import io.whetstream.jobs.finetune.FineTuneConfig;
import io.whetstream.jobs.finetune.FineTuneJob;
import io.whetstream.jobs.score.ScoreConfig;
import io.whetstream.jobs.score.ScoreJob;
import io.whetstream.local.LocalJob;
import io.whetstream.local.LocalRuntime;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The jobs as they are, with settings that let two cores show in minutes what they do. */
final class StreamJobs implements DemoJobs {
  private static final List<String> FINETUNE_SETTINGS =
      List.of(
          "name=demo",
          // Few buckets: at tens of pairs a second more would take minutes to fill.
          "mining.tables=1",
          "mining.depth=1",
          "mining.candidates=64",
          "mining.maxWait=10s",
          "mining.idleFlush=3s",
          "prepare.idleness=2s",
          "prepare.allowedLateness=1s",
          "training.learningRate=0.003",
          "training.nextTokenWeight=0.3",
          "training.logitScale=30",
          "training.falseNegatives=KEEP",
          "publish.comparePublishedEvery=4",
          "publish.compareBaseEvery=0",
          "checkpoint.interval=3s");

  private static final List<String> SCORE_SETTINGS =
      List.of(
          "name=demo-score",
          "adapterStream=demo",
          "output.embeddings=true",
          "checkpoint.interval=1s");

  private final List<String> more;

  StreamJobs() {
    this(List.of());
  }

  /**
   * @param more settings of the fine-tune job, laid over ours
   */
  StreamJobs(List<String> more) {
    this.more = List.copyOf(more);
  }

  @Override
  public LocalJob finetune(LocalRuntime runtime, Path model, long seed, StreamSize size) {
    List<String> settings = new ArrayList<>(FINETUNE_SETTINGS);
    settings.addAll(size.settings());
    settings.addAll(common(runtime, model));
    settings.add("training.seed=" + seed);
    settings.addAll(more);
    FineTuneConfig config = FineTuneConfig.loader().parse("", "the demo", settings);
    FineTuneJob.check(config);
    return runtime.submit(FINETUNE, environment -> FineTuneJob.build(environment, config, false));
  }

  @Override
  public LocalJob score(LocalRuntime runtime, Path model) {
    List<String> settings = new ArrayList<>(SCORE_SETTINGS);
    settings.addAll(common(runtime, model));
    ScoreConfig config = ScoreConfig.loader().parse("", "the demo", settings);
    return runtime.submit(SCORE, environment -> ScoreJob.build(environment, config));
  }

  private static List<String> common(LocalRuntime runtime, Path model) {
    return List.of(
        "kafka.bootstrapServers=" + runtime.bootstrapServers(),
        "kafka.startingOffsets=earliest",
        ConfigLoader.setting("registry.uri", runtime.adapters().toString()),
        ConfigLoader.setting("base.model", model.toAbsolutePath().toString()),
        // One thread each: mining, training and scoring share the cores.
        "base.threads=1",
        "base.device=cpu");
  }
}
