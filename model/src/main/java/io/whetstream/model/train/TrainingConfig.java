package io.whetstream.model.train;

import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.lvlm.PromptTemplates;
import io.whetstream.model.lvlm.ScriptPart;
import java.util.List;
import java.util.Map;

/**
 * Everything that determines a training run besides base model and data. Three words are kept
 * apart: the <i>global batch</i> is what one optimizer step sees; it is cut into <i>chunks</i> to
 * bound memory, with the same gradient; a <i>group</i> is a set of mutually hard pairs within it.
 *
 * @param adapter rank, scaling, dropout, target modules, prompts, numbers of soft vectors
 * @param chunk rows per forward pass at most; 0 is the whole batch at once; {@link #AUTO} for each
 *     batch as many as fit in what the device had free when the trainer was made
 * @param seed where initial values and dropout come from
 */
public record TrainingConfig(
    AdapterConfig adapter, Objective objective, Optimizer optimizer, int chunk, long seed) {
  /** A {@link #chunk} that follows from the memory that there is. */
  public static final int AUTO = -1;

  /** Which negatives are dropped as likely false, by their cosine against the positive's. */
  public enum FalseNegatives {
    /** None. */
    KEEP(0),
    /** Those above {@code positive + margin} (UniME, 2504.17432). */
    ABSOLUTE(1),
    /** Those above {@code positive - |positive| * margin}: keeps its sense for negative scores. */
    RELATIVE(2);

    private final int code;

    FalseNegatives(int code) {
      this.code = code;
    }

    /** How {@code objective.py} names it. */
    int code() {
      return code;
    }
  }

  /** How the learning rate goes on after warm-up. */
  public enum Schedule {
    CONSTANT,
    /** Half a cosine from the full rate down to 0 at {@code totalSteps}. */
    COSINE
  }

  /**
   * The loss: {@code contrastiveWeight} times symmetric InfoNCE on short captions plus {@code
   * nextTokenWeight} times mean next-token cross entropy on long captions (METHOD.md, Losses).
   *
   * @param logitScale initial multiplier of cosines, 1/temperature, in [1, maxLogitScale]
   * @param trainLogitScale whether it is learnt
   * @param hardness alpha of hardness weighting (LLaVE, 2503.04812); 0 is off
   */
  public record Objective(
      double contrastiveWeight,
      double nextTokenWeight,
      double logitScale,
      boolean trainLogitScale,
      double maxLogitScale,
      double hardness,
      FalseNegatives falseNegatives,
      double falseNegativeMargin) {
    public Objective {
      check(contrastiveWeight >= 0, "contrastiveWeight must not be negative");
      check(nextTokenWeight >= 0, "nextTokenWeight must not be negative");
      check(contrastiveWeight + nextTokenWeight > 0, "one of the two losses must have a weight");
      check(
          logitScale >= 1 && logitScale <= maxLogitScale,
          "logitScale must lie in [1, maxLogitScale]");
    }

    /**
     * The paper's sum of both losses at equal weights, with a scale of 50 (1/0.02, METHOD.md's
     * choice) and UniME's margin of 0.1. On the demo base none of the three can be told from its
     * neighbours (scales of 30, weights of 0 and 0.3, no masking: {@code model/RESULTS.md}), so
     * they stay where larger models have shown them to be good.
     */
    public static Objective defaults() {
      return new Objective(1, 1, 50, true, 100, 0, FalseNegatives.ABSOLUTE, 0.1);
    }

    /** The part that computes it; the weights of the two losses are each unit's. */
    ScriptPart script() {
      return ScriptPart.of(
          TrainingConfig.class,
          "objective",
          Map.of(
              "HARDNESS", Double.toString(hardness),
              "MARGIN", Double.toString(falseNegativeMargin),
              "MARGIN_KIND", Integer.toString(falseNegatives.code())));
    }

    public Objective withWeights(double contrastive, double nextToken) {
      return new Objective(
          contrastive,
          nextToken,
          logitScale,
          trainLogitScale,
          maxLogitScale,
          hardness,
          falseNegatives,
          falseNegativeMargin);
    }
  }

  /**
   * AdamW (Loshchilov, Hutter 2019).
   *
   * @param clipNorm global norm that gradients are clipped to; 0 is off
   * @param warmupSteps steps of linear rise from 0
   * @param totalSteps end of the cosine; ignored by {@link Schedule#CONSTANT}
   */
  public record Optimizer(
      double learningRate,
      double beta1,
      double beta2,
      double epsilon,
      double weightDecay,
      double clipNorm,
      int warmupSteps,
      Schedule schedule,
      long totalSteps) {
    public Optimizer {
      check(learningRate > 0, "learningRate must be positive");
      check(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1, "betas must lie in [0, 1)");
      check(schedule != Schedule.COSINE || totalSteps > 0, "a cosine schedule needs totalSteps");
    }

    /**
     * A constant rate of 1e-3: a stream has no end for a cosine to fall to. On the demo base, of
     * width 128, 5e-3 with a cosine leads it by little on one seed ({@code model/RESULTS.md});
     * wider bases want less, the paper takes 1e-4 at 4,096.
     */
    public static Optimizer defaults() {
      return new Optimizer(1e-3, 0.9, 0.98, 1e-8, 0.01, 2.0, 5, Schedule.CONSTANT, 0);
    }

    public Optimizer withLearningRate(double rate) {
      return new Optimizer(
          rate, beta1, beta2, epsilon, weightDecay, clipNorm, warmupSteps, schedule, totalSteps);
    }

    /** The part that computes it ({@code adamw} of {@code optimizer.py}), all elements alike. */
    public ScriptPart script() {
      return script(false, false, 0);
    }

    /**
     * The same where the last element is the logarithm of a scale.
     *
     * @param trained whether it changes
     * @param largest what it is held to
     */
    ScriptPart script(boolean trained, double largest) {
      return script(true, !trained, largest);
    }

    private ScriptPart script(boolean held, boolean frozen, double largest) {
      return ScriptPart.of(
          TrainingConfig.class,
          "optimizer",
          Map.of(
              "BETA1", Double.toString(beta1),
              "BETA2", Double.toString(beta2),
              "EPSILON", Double.toString(epsilon),
              "DECAY", Double.toString(weightDecay),
              "CLIP", Double.toString(clipNorm),
              "SCALE_HELD", ScriptPart.bool(held),
              "SCALE_FROZEN", ScriptPart.bool(frozen),
              "SCALE_MAX", Double.toString(largest)));
    }

    /** The rate of a step, counted from 0. */
    double rate(long step) {
      double warm = warmupSteps > 0 ? Math.min(1, (step + 1) / (double) warmupSteps) : 1;
      if (schedule == Schedule.CONSTANT || step < warmupSteps) {
        return learningRate * warm;
      }
      double span = Math.max(1, totalSteps - warmupSteps);
      double progress = Math.min(1, (step - warmupSteps) / span);
      return learningRate * 0.5 * (1 + Math.cos(Math.PI * progress));
    }
  }

  public TrainingConfig {
    check(chunk >= AUTO, "chunk must be auto, 0 (whole batch) or positive");
  }

  /** The paper's adapter on all seven linear modules, this project's defaults elsewhere. */
  public static TrainingConfig defaults() {
    PromptTemplates prompts = PromptTemplates.defaults();
    return new TrainingConfig(
        new AdapterConfig(
            16,
            16,
            false,
            0,
            List.of("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
            prompts.image(),
            prompts.text(),
            6,
            6),
        Objective.defaults(),
        Optimizer.defaults(),
        0,
        0);
  }

  public TrainingConfig withAdapter(AdapterConfig other) {
    return new TrainingConfig(other, objective, optimizer, chunk, seed);
  }

  public TrainingConfig withObjective(Objective other) {
    return new TrainingConfig(adapter, other, optimizer, chunk, seed);
  }

  public TrainingConfig withOptimizer(Optimizer other) {
    return new TrainingConfig(adapter, objective, other, chunk, seed);
  }

  public TrainingConfig withChunk(int other) {
    return new TrainingConfig(adapter, objective, optimizer, other, seed);
  }

  public TrainingConfig withSeed(long other) {
    return new TrainingConfig(adapter, objective, optimizer, chunk, other);
  }

  private static void check(boolean holds, String message) {
    if (!holds) {
      throw new BadInputException("training configuration: " + message);
    }
  }
}
