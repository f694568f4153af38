package io.whetstream.cli;

import io.whetstream.jobs.config.ChunkSize;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.lvlm.PromptTemplates;
import io.whetstream.model.train.TrainingConfig;
import io.whetstream.model.train.TrainingConfig.FalseNegatives;
import io.whetstream.model.train.TrainingConfig.Objective;
import io.whetstream.model.train.TrainingConfig.Optimizer;
import io.whetstream.model.train.TrainingConfig.Schedule;
import java.util.List;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * All of a training configuration. Use: {@code @Mixin private TrainingOptions training;}. What is
 * not given is the library's default.
 */
final class TrainingOptions {
  /** As configurations write it. */
  static final class ChunkConverter implements ITypeConverter<ChunkSize> {
    @Override
    public ChunkSize convert(String text) {
      return ChunkSize.parse(text);
    }
  }

  @Option(
      names = "--batch",
      paramLabel = "B",
      defaultValue = "32",
      description = "Pairs in the global batch of one step (default: 32).")
  private int batch;

  @Option(
      names = "--chunk",
      paramLabel = "C",
      defaultValue = "auto",
      converter = ChunkConverter.class,
      description =
          "Rows computed at once, 0 for all: bounds memory, with the same gradient to rounding"
              + " (default: auto, as many as fit in the memory that is free).")
  private ChunkSize chunk;

  @Option(
      names = "--rank",
      paramLabel = "R",
      description = "LoRA rank; 0 trains soft prompts only (default: 16).")
  private Integer rank;

  @Option(names = "--alpha", paramLabel = "X", description = "LoRA alpha (default: 16).")
  private Double alpha;

  @Option(names = "--rs-lora", description = "Scale by alpha / sqrt(rank) instead of alpha / rank.")
  private boolean rsLora;

  @Option(
      names = "--target-modules",
      split = ",",
      paramLabel = "NAME",
      description = "Modules that get LoRA, or one expression (default: all seven linear ones).")
  private List<String> targetModules;

  @Option(
      names = "--soft-prompts",
      paramLabel = "K",
      description = "Soft vectors on each side; 0 leaves the words (default: 6).")
  private Integer softPrompts;

  @Mixin private PromptOptions prompts;

  @Option(names = "--dropout", paramLabel = "P", description = "LoRA dropout (default: 0).")
  private Double dropout;

  @Option(
      names = "--lr",
      paramLabel = "X",
      description =
          "Learning rate (default: 1e-3, for a base about as wide as the demo's, 128; the paper takes"
              + " 1e-4 at 4,096).")
  private Double learningRate;

  @Option(names = "--weight-decay", paramLabel = "X", description = "Decoupled (default: 0.01).")
  private Double weightDecay;

  @Option(
      names = "--clip",
      paramLabel = "X",
      description = "Global norm gradients are clipped to; 0: none (default: 2).")
  private Double clip;

  @Option(
      names = "--warmup",
      paramLabel = "N",
      description = "Steps of linear warm-up (default: 5).")
  private Integer warmup;

  @Option(
      names = "--schedule",
      paramLabel = "constant|cosine",
      description = "How the rate goes on after warm-up (default: constant).")
  private Schedule schedule;

  @Option(
      names = "--contrastive-weight",
      paramLabel = "X",
      description = "Weight of InfoNCE on short captions; 0 is off (default: 1).")
  private Double contrastiveWeight;

  @Option(
      names = "--next-token-weight",
      paramLabel = "X",
      description = "Weight of the next-token loss on long captions; 0 is off (default: 1).")
  private Double nextTokenWeight;

  @Option(
      names = "--logit-scale",
      paramLabel = "X",
      description = "Multiplier of cosines at the start (default: 50).")
  private Double logitScale;

  @Option(names = "--fixed-logit-scale", description = "Do not learn the multiplier.")
  private boolean fixedLogitScale;

  @Option(
      names = "--hardness",
      paramLabel = "X",
      description = "Alpha of hardness weighting; 0 is off (default: 0).")
  private Double hardness;

  @Option(
      names = "--false-negatives",
      paramLabel = "keep|absolute|relative",
      description = "How likely false negatives are told and dropped (default: absolute).")
  private FalseNegatives falseNegatives;

  @Option(
      names = "--false-negative-margin",
      paramLabel = "X",
      description = "Margin over the positive's cosine (default: 0.1).")
  private Double falseNegativeMargin;

  @Option(
      names = "--seed",
      paramLabel = "S",
      defaultValue = "0",
      description = "Decides initial values, order and dropout (default: 0).")
  private long seed;

  int batch() {
    if (batch < 1) {
      throw new BadInputException("--batch must be at least 1, not " + batch);
    }
    return batch;
  }

  ChunkSize chunk() {
    return chunk;
  }

  PromptOptions prompts() {
    return prompts;
  }

  /** Refuses options that an adapter to go on from decides. */
  void requireNothingAboutTheAdapter() {
    boolean given =
        rank != null
            || alpha != null
            || rsLora
            || targetModules != null
            || softPrompts != null
            || prompts.given();
    if (given) {
      throw new BadInputException(
          "with --init-adapter, rank, alpha, modules and prompts are that adapter's: leave out"
              + " --rank, --alpha, --rs-lora, --target-modules, --soft-prompts and the prompts");
    }
  }

  TrainingConfig config(long totalSteps) {
    TrainingConfig d = TrainingConfig.defaults();
    AdapterConfig a = d.adapter();
    PromptTemplates templates = prompts.templates();
    AdapterConfig adapter =
        new AdapterConfig(
            or(rank, a.rank()),
            or(alpha, a.alpha()),
            rsLora,
            or(dropout, a.dropout()),
            or(targetModules, a.targetModules()),
            templates.image(),
            templates.text(),
            or(softPrompts, a.softImage()),
            or(softPrompts, a.softText()));
    Objective o = d.objective();
    Objective objective =
        new Objective(
            or(contrastiveWeight, o.contrastiveWeight()),
            or(nextTokenWeight, o.nextTokenWeight()),
            or(logitScale, o.logitScale()),
            !fixedLogitScale,
            o.maxLogitScale(),
            or(hardness, o.hardness()),
            or(falseNegatives, o.falseNegatives()),
            or(falseNegativeMargin, o.falseNegativeMargin()));
    Optimizer p = d.optimizer();
    Optimizer optimizer =
        new Optimizer(
            or(learningRate, p.learningRate()),
            p.beta1(),
            p.beta2(),
            p.epsilon(),
            or(weightDecay, p.weightDecay()),
            or(clip, p.clipNorm()),
            or(warmup, p.warmupSteps()),
            or(schedule, p.schedule()),
            totalSteps);
    return new TrainingConfig(adapter, objective, optimizer, chunk.rows(), seed);
  }

  private static <T> T or(T given, T otherwise) {
    return given == null ? otherwise : given;
  }
}
