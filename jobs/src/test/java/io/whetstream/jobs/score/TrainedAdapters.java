package io.whetstream.jobs.score;

import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.text.TextTokenizer;
import io.whetstream.model.train.PreparedPair;
import io.whetstream.model.train.Trainer;
import io.whetstream.model.train.TrainingConfig;
import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.DemoBase;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Successive adapters of one training run on the demo base. Batches are hard groups alone, because
 * nothing else teaches what belongs to what; that takes minutes, so what was trained is kept in the
 * build directory, under a name that says with what.
 */
final class TrainedAdapters {
  /** Pairs seen by each of them. */
  static final List<Integer> PAIRS = List.of(20_480, 30_720, 40_960);

  private static final int BATCH = 64;
  private static final SceneGenerator SCENES = new SceneGenerator(1001, SceneLook.STANDARD);

  private TrainedAdapters() {}

  private static TrainingConfig config() {
    TrainingConfig defaults = TrainingConfig.defaults();
    TrainingConfig.Optimizer optimizer = defaults.optimizer();
    return defaults
        .withObjective(
            new TrainingConfig.Objective(
                1, 0, 30, true, 100, 0, TrainingConfig.FalseNegatives.KEEP, 0.1))
        .withOptimizer(
            new TrainingConfig.Optimizer(
                5e-3,
                optimizer.beta1(),
                optimizer.beta2(),
                optimizer.epsilon(),
                optimizer.weightDecay(),
                optimizer.clipNorm(),
                optimizer.warmupSteps(),
                TrainingConfig.Schedule.COSINE,
                PAIRS.get(PAIRS.size() - 1) / BATCH))
        .withSeed(1);
  }

  /** The weights after each of {@link #PAIRS}. */
  static List<AdapterWeights> get() {
    try (Checkpoint base = Checkpoint.open(DemoBase.directory())) {
      String settings = base.digest() + config() + PAIRS;
      Path kept =
          Path.of(
              "target",
              "trained-adapters",
              Digests.sha256(settings.getBytes(StandardCharsets.UTF_8)).substring(0, 16));
      if (!Files.exists(at(kept, PAIRS.size() - 1))) {
        train(base, kept);
      }
      List<AdapterWeights> all = new ArrayList<>();
      for (int i = 0; i < PAIRS.size(); i++) {
        all.add(AdapterCodec.read(at(kept, i)).weights());
      }
      return all;
    }
  }

  private static Path at(Path kept, int number) {
    return kept.resolve(Integer.toString(PAIRS.get(number)));
  }

  private static void train(Checkpoint base, Path kept) {
    try (TextTokenizer tokenizer = TextTokenizer.open(DemoBase.directory());
        Lvlm model = Lvlm.open(base, new LvlmOptions(Precision.FP32, "cpu", 1));
        Trainer trainer = Trainer.create(model, tokenizer, config())) {
      int seen = 0;
      for (int i = 0; i < PAIRS.size(); i++) {
        while (seen < PAIRS.get(i)) {
          List<PreparedPair> pairs = new ArrayList<>();
          while (pairs.size() < BATCH) {
            for (Scene scene :
                SCENES.hardGroup((seen + pairs.size()) / SceneGenerator.HARD_GROUP)) {
              pairs.add(pair(tokenizer, scene, "pair-" + (seen + pairs.size())));
            }
          }
          trainer.step(pairs);
          seen += pairs.size();
        }
        AdapterWeights weights = trainer.weights();
        AdapterCodec.write(
            at(kept, i),
            new AdapterArtifact(
                weights,
                AdapterManifest.builder(weights, base.digest()).step(seen / BATCH).build()));
      }
    }
  }

  private static PreparedPair pair(TextTokenizer tokenizer, Scene scene, String id) {
    String caption = Captioner.shortCaption(scene);
    return new PreparedPair(
        id,
        SceneRenderer.processed(SceneRenderer.render(scene)),
        tokenizer.encode(caption),
        tokenizer.encode(Captioner.longCaption(scene)),
        id,
        caption);
  }
}
