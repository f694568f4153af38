package io.whetstream.jobs.finetune;

import io.whetstream.jobs.config.BaseSettings;
import io.whetstream.jobs.config.ByteSize;
import io.whetstream.jobs.config.CheckpointSettings;
import io.whetstream.jobs.config.Checks;
import io.whetstream.jobs.config.ChunkSize;
import io.whetstream.jobs.config.ConfigLoader;
import io.whetstream.jobs.config.ImageSettings;
import io.whetstream.jobs.config.KafkaSettings;
import io.whetstream.jobs.config.RegistrySettings;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.PromptEncoding;
import io.whetstream.model.lvlm.PromptTemplates;
import io.whetstream.model.train.TrainingConfig;
import java.io.Serializable;
import java.time.Duration;
import java.util.List;

/**
 * Everything the fine-tune job can be told; each key has a default.
 *
 * @param name of the adapter stream: key of announcements and control records, part of transaction
 *     names; two jobs never share one
 * @param deterministic the adapter after a fault has the same bytes as without one: one partition,
 *     parallelism 1, images inside the records, watermarks per record, no flush by processing time
 * @param startFresh a start without state begins with initial weights although the stream has
 *     announced adapters; otherwise it goes on from the newest of them, or refuses
 * @param images images of pairs by URI
 */
public record FineTuneConfig(
    String name,
    boolean deterministic,
    boolean startFresh,
    KafkaSettings kafka,
    RegistrySettings registry,
    BaseSettings base,
    AdapterSettings adapter,
    ImageSettings images,
    Prepare prepare,
    MiningSettings mining,
    Training training,
    HeldOut heldOut,
    Publish publish,
    Gate gate,
    Drift drift,
    Resources resources,
    CheckpointSettings checkpoint)
    implements Serializable {

  /**
   * Shape of the adapter.
   *
   * @param rank of LoRA
   * @param alpha LoRA scale: alpha / rank, or alpha / sqrt(rank) with {@code rsLora}
   * @param rsLora rank-stabilised LoRA
   * @param dropout on the input of LoRA
   * @param targetModules suffixes of the decoder's linear modules, or one regular expression
   * @param imagePrompt template; words in brackets become soft vectors that start from them
   * @param textPrompt the same for captions
   * @param softImage number of soft vectors after the image
   * @param softText number of soft vectors after a caption
   * @param promptEncoding how the templates become token ids
   */
  public record AdapterSettings(
      int rank,
      double alpha,
      boolean rsLora,
      double dropout,
      List<String> targetModules,
      String imagePrompt,
      String textPrompt,
      int softImage,
      int softText,
      PromptEncoding promptEncoding)
      implements Serializable {
    public AdapterSettings {
      Checks.atLeast("adapter.rank", rank, 0);
      Checks.within("adapter.dropout", dropout, 0, 0.9);
      Checks.atLeast("adapter.softImage", softImage, 0);
      Checks.atLeast("adapter.softText", softText, 0);
      targetModules = List.copyOf(targetModules);
    }

    static AdapterSettings defaults() {
      AdapterConfig config = TrainingConfig.defaults().adapter();
      return new AdapterSettings(
          config.rank(),
          config.alpha(),
          config.rsLora(),
          config.dropout(),
          config.targetModules(),
          config.imageTemplate(),
          config.textTemplate(),
          config.softImage(),
          config.softText(),
          config.promptEncoding());
    }

    AdapterConfig toConfig() {
      return new AdapterConfig(
          rank,
          alpha,
          rsLora,
          dropout,
          targetModules,
          imagePrompt,
          textPrompt,
          softImage,
          softText,
          promptEncoding);
    }

    PromptTemplates prompts() {
      return new PromptTemplates(imagePrompt, textPrompt, promptEncoding);
    }
  }

  /**
   * From a record to a pair that can be trained on.
   *
   * @param parallelism of this stage and of the mining embedding
   * @param maxPixels of one image; more goes to dead letters
   * @param deduplicateFor a pair whose id was seen within this much event time is dropped
   * @param allowedLateness of event times behind the newest
   * @param idleness after which a silent partition no longer holds back event time
   */
  public record Prepare(
      int parallelism,
      long maxPixels,
      Duration deduplicateFor,
      Duration allowedLateness,
      Duration idleness)
      implements Serializable {
    public Prepare {
      Checks.atLeast("prepare.parallelism", parallelism, 1);
      Checks.atLeast("prepare.maxPixels", maxPixels, 1);
      Checks.positive("prepare.deduplicateFor", deduplicateFor);
    }

    static Prepare defaults() {
      return new Prepare(
          1, 40_000_000L, Duration.ofDays(7), Duration.ofSeconds(5), Duration.ofSeconds(30));
    }
  }

  /**
   * The optimizer step; METHOD.md has the formulas.
   *
   * @param globalBatch pairs of one optimizer step at most: as many whole groups as fit in
   * @param chunk rows per forward pass at most, same gradient; 0: the whole batch; {@code auto}: as
   *     many as fit in the memory that the device has free at the start (the whole batch with
   *     {@code deterministic}, whose bytes must not depend on it)
   * @param seed of everything that is drawn at random
   * @param contrastiveWeight of the contrastive loss on short captions
   * @param nextTokenWeight of the next-token loss on long captions; 0 leaves it out
   * @param logitScale initial 1/temperature
   * @param trainLogitScale whether the scale is learnt
   * @param maxLogitScale highest scale that is learnt
   * @param hardness LLaVE's alpha; 0 is off
   * @param falseNegatives {@code KEEP}, {@code ABSOLUTE} or {@code RELATIVE}
   * @param falseNegativeMargin above the positive, absolute or as a share of it
   * @param learningRate of AdamW
   * @param beta1 of AdamW
   * @param beta2 of AdamW
   * @param epsilon of AdamW
   * @param weightDecay of AdamW, decoupled
   * @param clipNorm largest norm of the gradient; more is scaled down
   * @param warmupSteps steps in which the rate rises from zero
   * @param schedule of the learning rate: {@code CONSTANT} or {@code COSINE}
   * @param totalSteps end of the cosine; ignored by {@code CONSTANT}
   * @param resetOptimizer go on from state written under other training settings, with the
   *     optimizer's moments cleared; otherwise such state is refused
   * @param whenBehind what to do when the stream is faster than the trainer
   * @param maxLag pairs that wait for a step at most, unless {@code WAIT}; more are shed
   */
  public record Training(
      int globalBatch,
      ChunkSize chunk,
      long seed,
      double contrastiveWeight,
      double nextTokenWeight,
      double logitScale,
      boolean trainLogitScale,
      double maxLogitScale,
      double hardness,
      TrainingConfig.FalseNegatives falseNegatives,
      double falseNegativeMargin,
      double learningRate,
      double beta1,
      double beta2,
      double epsilon,
      double weightDecay,
      double clipNorm,
      int warmupSteps,
      TrainingConfig.Schedule schedule,
      long totalSteps,
      boolean resetOptimizer,
      WhenBehind whenBehind,
      int maxLag)
      implements Serializable {
    public Training {
      Checks.that(
          whenBehind == WhenBehind.WAIT || maxLag >= globalBatch,
          "training.maxLag must be at least training.globalBatch (" + globalBatch + ")");
      Checks.within("training.globalBatch", globalBatch, 2, 1 << 20);
    }

    static Training defaults() {
      TrainingConfig config = TrainingConfig.defaults();
      TrainingConfig.Objective objective = config.objective();
      TrainingConfig.Optimizer optimizer = config.optimizer();
      return new Training(
          64,
          ChunkSize.AUTO,
          config.seed(),
          objective.contrastiveWeight(),
          objective.nextTokenWeight(),
          objective.logitScale(),
          objective.trainLogitScale(),
          objective.maxLogitScale(),
          objective.hardness(),
          objective.falseNegatives(),
          objective.falseNegativeMargin(),
          optimizer.learningRate(),
          optimizer.beta1(),
          optimizer.beta2(),
          optimizer.epsilon(),
          optimizer.weightDecay(),
          optimizer.clipNorm(),
          optimizer.warmupSteps(),
          optimizer.schedule(),
          optimizer.totalSteps(),
          false,
          WhenBehind.WAIT,
          4096);
    }
  }

  /** What becomes of pairs that come faster than they can be trained on. */
  public enum WhenBehind {
    /** They stay in Kafka: each is trained on, however late. */
    WAIT,
    /** Of groups drawn at random the easiest is shed. */
    SAMPLE,
    /** Of the older half of the groups the easiest is shed. */
    NEWEST
  }

  /**
   * Pairs that are never trained on.
   *
   * @param share of all pairs, by the picture's digest: a picture posted again has the same fate
   * @param size of the rolling set that the gate measures on: the newest so many. All are compared
   *     with all at each decision
   * @param history size of a uniform sample of all pairs ever held out, by which forgetting shows
   */
  public record HeldOut(double share, int size, int history) implements Serializable {
    public HeldOut {
      Checks.within("heldOut.share", share, 0, 0.5);
      Checks.within("heldOut.size", size, 2, 16_384);
      Checks.within("heldOut.history", history, 0, 16_384);
    }

    static HeldOut defaults() {
      return new HeldOut(0.05, 256, 256);
    }
  }

  /**
   * @param everySteps optimizer steps between two decisions of the gate
   * @param comparePublishedEvery steps between test-then-train figures of the published adapter; 0:
   *     none
   * @param compareBaseEvery the same of the base
   */
  public record Publish(int everySteps, int comparePublishedEvery, int compareBaseEvery)
      implements Serializable {
    public Publish {
      Checks.atLeast("publish.everySteps", everySteps, 1);
      Checks.atLeast("publish.comparePublishedEvery", comparePublishedEvery, 0);
      Checks.atLeast("publish.compareBaseEvery", compareBaseEvery, 0);
    }

    static Publish defaults() {
      return new Publish(20, 5, 20);
    }
  }

  /**
   * What a candidate must show on the held-out set. Recall is the mean of both directions' R@1.
   *
   * @param minRecall value threshold
   * @param minChange change threshold: candidate minus published at least this, beyond chance
   * @param error probability, at most, that a candidate is published whose change is not above the
   *     threshold, and that one is refused whose change is not below it
   * @param forgetting what becomes of a candidate that has lost some of the past
   * @param minSample held-out pairs below which there is no verdict
   * @param maxRefusals in a row, after which training returns to the published adapter
   * @param average share of the adapter in use in a second candidate, its average with the weights
   *     in training; the better of the two is judged, at half of {@code gate.error}. Of one adapter
   *     published after another this makes an exponential average. 0: no second one
   */
  public record Gate(
      double minRecall,
      double minChange,
      double error,
      Forgetting forgetting,
      int minSample,
      int maxRefusals,
      double average)
      implements Serializable {
    public Gate {
      Checks.within("gate.minRecall", minRecall, 0, 1);
      Checks.within("gate.minChange", minChange, -1, 1);
      Checks.within("gate.error", error, 1e-6, 0.5);
      Checks.atLeast("gate.minSample", minSample, 2);
      Checks.atLeast("gate.maxRefusals", maxRefusals, 1);
      Checks.within("gate.average", average, 0, 0.99);
    }

    static Gate defaults() {
      return new Gate(0, 0, 0.05, Forgetting.REPORT, 32, 5, 0);
    }
  }

  /**
   * What becomes of a candidate that answers the past worse than the adapter in use, beyond chance.
   */
  public enum Forgetting {
    /** Its manifest and the log say so. */
    REPORT,
    /** It is refused. */
    REFUSE
  }

  /** What follows a detected change of the distribution. */
  public enum Response {
    /** An event in log, metrics and manifests only. */
    REPORT,
    /** The learning rate is raised for a while, and fewer past pairs are replayed. */
    ADAPT
  }

  /**
   * Change detection (ADWIN, Bifet and Gavalda 2007).
   *
   * @param enabled whether the stream is watched
   * @param confidence ADWIN's delta: smaller gives fewer false alarms
   * @param response {@code REPORT}: events only; {@code ADAPT}: a raised learning rate and less
   *     replay for a while
   * @param rateFactor on the learning rate, {@link Response#ADAPT} only
   * @param replayFactor on the share of replayed pairs, {@link Response#ADAPT} only
   * @param steps that the response lasts
   */
  public record Drift(
      boolean enabled,
      double confidence,
      Response response,
      double rateFactor,
      double replayFactor,
      int steps)
      implements Serializable {
    public Drift {
      Checks.within("drift.confidence", confidence, 1e-12, 0.5);
      Checks.within("drift.rateFactor", rateFactor, 0.01, 100);
      Checks.within("drift.replayFactor", replayFactor, 0, 1);
      Checks.atLeast("drift.steps", steps, 1);
    }

    static Drift defaults() {
      return new Drift(true, 0.002, Response.REPORT, 2, 0.5, 50);
    }
  }

  /**
   * The trainer's slot, which it shares with nothing else. With a GPU the slot is asked for by its
   * size, and the cluster needs {@code cluster.fine-grained-resource-management.enabled: true}.
   *
   * @param gpus external resources named {@code gpu}; 0: an ordinary slot
   * @param cpuCores of the slot, with a GPU only
   * @param heap of the slot, with a GPU only
   */
  public record Resources(double gpus, double cpuCores, ByteSize heap) implements Serializable {
    public Resources {
      Checks.within("resources.gpus", gpus, 0, 64);
      Checks.within("resources.cpuCores", cpuCores, 0.1, 1024);
    }

    static Resources defaults() {
      return new Resources(0, 2, ByteSize.ofMega(4096));
    }
  }

  public FineTuneConfig {
    Checks.that(
        name.matches("[A-Za-z0-9._-]{1,100}"),
        "name must be of letters, digits, dot, dash and underscore, not '" + name + "'");
    if (deterministic) {
      Checks.that(
          training.whenBehind() == WhenBehind.WAIT,
          "training.whenBehind must be WAIT with deterministic: true, not "
              + training.whenBehind());
      Checks.that(
          !images.allowed(),
          "images.roots and images.hosts must be empty with deterministic: true: what lies at a URI"
              + " may change");
      Checks.that(
          prepare.parallelism() == 1,
          "prepare.parallelism must be 1 with deterministic: true, not " + prepare.parallelism());
      Checks.that(
          mining.parallelism() == 1,
          "mining.parallelism must be 1 with deterministic: true, not " + mining.parallelism());
    }
    Checks.that(
        heldOut.size() >= gate.minSample(),
        "gate.minSample must not exceed heldOut.size (" + heldOut.size() + ")");
    // The model library's own rules, here and not first on a TaskManager.
    try {
      adapter.toConfig();
      adapter.prompts();
    } catch (BadInputException e) {
      throw new BadInputException("adapter: " + e.getMessage(), e);
    }
    trainingConfig(adapter, training);
  }

  /** All defaults. */
  public static FineTuneConfig defaults() {
    return new FineTuneConfig(
        "default",
        false,
        false,
        KafkaSettings.defaults(),
        RegistrySettings.defaults(),
        BaseSettings.defaults(),
        AdapterSettings.defaults(),
        ImageSettings.defaults(),
        Prepare.defaults(),
        MiningSettings.defaults(),
        Training.defaults(),
        HeldOut.defaults(),
        Publish.defaults(),
        Gate.defaults(),
        Drift.defaults(),
        Resources.defaults(),
        CheckpointSettings.defaults());
  }

  /** Reads configurations of this job. */
  public static ConfigLoader<FineTuneConfig> loader() {
    return new ConfigLoader<>(defaults());
  }

  /** The trainer's part in the model library's terms. */
  TrainingConfig trainingConfig() {
    TrainingConfig config = trainingConfig(adapter, training);
    return deterministic && config.chunk() == TrainingConfig.AUTO ? config.withChunk(0) : config;
  }

  private static TrainingConfig trainingConfig(AdapterSettings adapter, Training training) {
    return new TrainingConfig(
        adapter.toConfig(),
        new TrainingConfig.Objective(
            training.contrastiveWeight(),
            training.nextTokenWeight(),
            training.logitScale(),
            training.trainLogitScale(),
            training.maxLogitScale(),
            training.hardness(),
            training.falseNegatives(),
            training.falseNegativeMargin()),
        new TrainingConfig.Optimizer(
            training.learningRate(),
            training.beta1(),
            training.beta2(),
            training.epsilon(),
            training.weightDecay(),
            training.clipNorm(),
            training.warmupSteps(),
            training.schedule(),
            training.totalSteps()),
        training.chunk().rows(),
        training.seed());
  }
}
