package io.whetstream.jobs.finetune;

import io.whetstream.connectors.kafka.Topics;
import io.whetstream.local.LocalJob;
import io.whetstream.local.LocalOptions;
import io.whetstream.local.LocalRuntime;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.text.TextTokenizer;
import io.whetstream.model.train.PreparedPair;
import io.whetstream.model.train.Trainer;
import io.whetstream.model.train.TrainingConfig;
import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import io.whetstream.scenes.SceneStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;

/**
 * Speed of the whole fine-tune job, from Kafka to published adapters, against its training step
 * alone on the same pairs: the bare step before, the job, the bare step after, in one process with
 * the same threads. The job has checkpoints, gate and publishing as configured by default.
 */
public final class JobSpeed {
  private static final int WARM_UP = 2;

  /** Beyond what the steps need: held out, in flight, waiting for a group. */
  private static final int SPARE = 512;

  /**
   * What was measured.
   *
   * @param barePairsPerSecond of the step alone, mean of before and after
   * @param jobPairsPerSecond of the whole job, replayed pairs included
   * @param recoverySeconds from a failure in mid-step to the end of the next step, restart delay,
   *     restored state and repeated steps included; NaN if that was not wanted
   */
  public record Figures(
      double barePairsPerSecond, double jobPairsPerSecond, double recoverySeconds) {
    /** The job's pairs a second over those of the step alone. */
    public double jobOverBare() {
      return jobPairsPerSecond / barePairsPerSecond;
    }
  }

  /** When each step began, and a failure at one of them; the job runs in this process. */
  private record Steps(long failing) implements TrainerHooks {
    private static final long serialVersionUID = 1L;
    private static final ConcurrentSkipListMap<Long, Long> BEGUN = new ConcurrentSkipListMap<>();
    private static final AtomicLong FAILED_AT = new AtomicLong();
    private static final AtomicLong RECOVERED_AT = new AtomicLong();

    static void reset() {
      BEGUN.clear();
      FAILED_AT.set(0);
      RECOVERED_AT.set(0);
    }

    @Override
    public List<PreparedPair> batch(long step, List<PreparedPair> pairs) {
      long now = System.nanoTime();
      BEGUN.putIfAbsent(step, now);
      if (FAILED_AT.get() > 0) {
        // The second step after the failure begins where the first one ends.
        if (!RECOVERED_AT.compareAndSet(0, -1)) {
          RECOVERED_AT.compareAndSet(-1, now);
        }
      } else if (step == failing) {
        FAILED_AT.set(now);
        throw new IllegalStateException("a failure on purpose, to measure recovery");
      }
      return pairs;
    }
  }

  private JobSpeed() {}

  /**
   * Measures.
   *
   * @param model directory of the base
   * @param batch pairs of a step
   * @param steps of the job that are timed
   * @param recovery whether the job then fails once, on purpose
   */
  public static Figures measure(Path model, int batch, int steps, int threads, boolean recovery)
      throws Exception {
    SceneStream scenes = new SceneStream(1, SceneLook.STANDARD, 16);
    double before = bare(model, scenes, batch, steps, threads);
    Path directory = Files.createTempDirectory("job-speed");
    Steps.reset();
    long last = WARM_UP + steps;
    double job;
    double recovered = Double.NaN;
    try (LocalRuntime runtime = LocalRuntime.start(LocalOptions.in(directory).withFresh(true))) {
      FineTuneConfig config =
          FineTuneConfig.loader()
              .parse(
                  "",
                  "bench",
                  List.of(
                      "name=bench",
                      "kafka.bootstrapServers=" + runtime.bootstrapServers(),
                      "kafka.startingOffsets=earliest",
                      "registry.uri=" + runtime.adapters(),
                      "base.model=" + model.toAbsolutePath(),
                      "base.threads=" + threads,
                      "base.device=cpu",
                      "mining.candidates=64",
                      "training.globalBatch=" + batch));
      Topics topics = new Topics(config.kafka().topicPrefix());
      try (Admin admin = config.kafka().connection().admin()) {
        topics.create(admin, 1, (short) 1);
      }
      int more = recovery ? 2 * steps + 8 : 2;
      ScenePairs.send(
          config.kafka().connection(), topics.pairs(), scenes, (int) (last + more) * batch + SPARE);
      TrainerHooks hooks = new Steps(recovery ? last + 2 : Long.MAX_VALUE);
      LocalJob running =
          runtime.submit(
              "bench", environment -> FineTuneJob.build(environment, config, false, hooks));
      await(runtime, running, () -> Steps.BEGUN.containsKey(last));
      double seconds = (Steps.BEGUN.get(last) - Steps.BEGUN.get((long) WARM_UP)) / 1e9;
      job = steps * batch / seconds;
      if (recovery) {
        await(runtime, running, () -> Steps.RECOVERED_AT.get() > 0);
        recovered = (Steps.RECOVERED_AT.get() - Steps.FAILED_AT.get()) / 1e9;
      }
      runtime.cancel(running);
    } finally {
      delete(directory);
    }
    double after = bare(model, scenes, batch, steps, threads);
    return new Figures((before + after) / 2, job, recovered);
  }

  /** Pairs a second of the step alone: the median step. */
  private static double bare(Path model, SceneStream scenes, int batch, int steps, int threads) {
    ImageProcessor images = ImageProcessor.open(model);
    List<Double> seconds = new ArrayList<>();
    try (Checkpoint checkpoint = Checkpoint.open(model);
        TextTokenizer tokenizer = TextTokenizer.open(model);
        Lvlm lvlm = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP32, "cpu", threads));
        Trainer trainer = Trainer.create(lvlm, tokenizer, TrainingConfig.defaults())) {
      long number = 0;
      for (int step = 0; step < WARM_UP + steps; step++) {
        List<PreparedPair> pairs = new ArrayList<>();
        for (int i = 0; i < batch; i++) {
          Scene scene = scenes.scene(number++).scene();
          String caption = Captioner.shortCaption(scene);
          String id = ScenePairs.id(number);
          pairs.add(
              new PreparedPair(
                  id,
                  images.process(SceneRenderer.render(scene)),
                  tokenizer.encode(caption),
                  tokenizer.encode(Captioner.longCaption(scene)),
                  id,
                  caption));
        }
        double taken = trainer.step(pairs).seconds();
        if (step >= WARM_UP) {
          seconds.add(taken);
        }
      }
    }
    seconds.sort(null);
    return batch / seconds.get(seconds.size() / 2);
  }

  /** What is waited for. */
  interface Condition {
    boolean holds();
  }

  static void await(LocalRuntime runtime, LocalJob job, Condition condition) throws Exception {
    while (!condition.holds()) {
      if (runtime.status(job).isGloballyTerminalState()) {
        runtime.ended(job).get();
        throw new IllegalStateException("job " + job.name() + " ended before it was measured");
      }
      TimeUnit.MILLISECONDS.sleep(20);
    }
  }

  static void delete(Path directory) throws IOException {
    try (Stream<Path> files = Files.walk(directory)) {
      files.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
    }
  }
}
