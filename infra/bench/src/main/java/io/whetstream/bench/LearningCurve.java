package io.whetstream.bench;

import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.eval.Compositional;
import io.whetstream.model.lvlm.Embedder;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.lvlm.PromptTemplates;
import io.whetstream.model.text.TextTokenizer;
import io.whetstream.model.train.PreparedPair;
import io.whetstream.model.train.StepReport;
import io.whetstream.model.train.Trainer;
import io.whetstream.model.train.TrainingConfig;
import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.DemoBase;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SortedMap;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * What fine-tuning on drawn scenes learns over pairs seen: R@1 among 256 held-out scenes and
 * accuracy by compositional kind, as rows of a Markdown table. This is how {@code model/RESULTS.md}
 * was made.
 */
@Command(
    name = "learning-curve",
    mixinStandardHelpOptions = true,
    description = "Fine-tunes on drawn scenes and prints held-out figures over pairs seen.")
public final class LearningCurve implements Callable<Integer> {
  /** Which pairs share a batch. */
  enum Negatives {
    /** Hard groups of eight, filled up by {@code --hard-share} with random scenes. */
    HARD,
    /** Random scenes alone. */
    RANDOM
  }

  @Option(names = "--model", description = "Base model directory; default: the demo base.")
  Path base;

  @Option(names = "--seeds", split = ",", defaultValue = "1,2,3")
  List<Long> seeds;

  @Option(names = "--negatives", split = ",", defaultValue = "HARD")
  List<Negatives> negatives;

  @Option(
      names = "--at",
      split = ",",
      defaultValue = "0,512,1024,2048,5120,10240,20480",
      description = "Pairs seen at which to evaluate.")
  List<Integer> at;

  @Option(
      names = "--hard-share",
      defaultValue = "1",
      description = "Share of a HARD batch that is hard groups; the rest is random scenes.")
  double hardShare;

  @Option(names = "--batch", defaultValue = "64")
  int batch;

  @Option(names = "--rank", defaultValue = "16")
  int rank;

  @Option(names = "--soft-prompts", defaultValue = "6")
  int soft;

  @Option(names = "--next-token", defaultValue = "0.3", description = "Weight of that loss.")
  double nextToken;

  @Option(names = "--lr", defaultValue = "5e-3")
  double learningRate;

  @Option(names = "--logit-scale", defaultValue = "30")
  double logitScale;

  @Option(names = "--hardness", defaultValue = "0")
  double hardness;

  @Option(names = "--false-negatives", defaultValue = "KEEP")
  TrainingConfig.FalseNegatives falseNegatives;

  @Option(
      names = "--schedule",
      defaultValue = "COSINE",
      description = "COSINE ends at the last evaluation.")
  TrainingConfig.Schedule schedule;

  @Option(names = "--image-prompt", defaultValue = "<image>[short summary of the image :]")
  String imagePrompt;

  @Option(names = "--text-prompt", defaultValue = "<text>[short summary of the text :]")
  String textPrompt;

  @Option(names = "--items", defaultValue = "384", description = "Compositional items a kind.")
  int items;

  @Option(names = "--threads", defaultValue = "1")
  int threads;

  @Option(names = "--precision", defaultValue = "FP32")
  Precision precision;

  public static void main(String[] args) {
    System.exit(
        new CommandLine(new LearningCurve())
            .setCaseInsensitiveEnumValuesAllowed(true)
            .execute(args));
  }

  @Override
  public Integer call() {
    Path directory = base == null ? DemoBase.directory() : base;
    try (Checkpoint checkpoint = Checkpoint.open(directory);
        TextTokenizer tokenizer = TextTokenizer.open(directory);
        Lvlm model = Lvlm.open(checkpoint, new LvlmOptions(precision, "cpu", threads))) {
      PromptTemplates prompts = new PromptTemplates(imagePrompt, textPrompt);
      HeldOutScenes heldOut =
          new HeldOutScenes(
              new Embedder(model, tokenizer, prompts, 128),
              tokenizer,
              SceneLook.STANDARD,
              256,
              items);
      System.out.println(
          "| run | seed | pairs | T2I R@1 | I2T R@1 | swap | relation | replace | add | in batch |"
              + " ntp acc | pairs/s |\n|---|---|---|---|---|---|---|---|---|---|---|---|");
      for (Negatives kind : negatives) {
        for (long seed : seeds) {
          run(model, tokenizer, heldOut, kind, seed);
        }
      }
    }
    return 0;
  }

  private void run(
      Lvlm model, TextTokenizer tokenizer, HeldOutScenes heldOut, Negatives kind, long seed) {
    int last = at.get(at.size() - 1);
    TrainingConfig.Objective objective =
        new TrainingConfig.Objective(
            1, nextToken, logitScale, true, 100, hardness, falseNegatives, 0.1);
    TrainingConfig.Optimizer optimizer =
        new TrainingConfig.Optimizer(
            learningRate, 0.9, 0.98, 1e-8, 0.01, 2, 5, schedule, last / batch);
    TrainingConfig defaults = TrainingConfig.defaults();
    AdapterConfig a = defaults.adapter();
    AdapterConfig adapter =
        new AdapterConfig(
            rank, 16, a.rsLora(), 0, a.targetModules(), imagePrompt, textPrompt, soft, soft);
    TrainingConfig config = new TrainingConfig(adapter, objective, optimizer, 0, seed);
    SceneGenerator generator = new SceneGenerator(1000 + seed, SceneLook.STANDARD);
    String name =
        kind.name().toLowerCase(Locale.ROOT) + " r" + rank + " soft" + soft + " ntp" + nextToken;
    try (Trainer trainer = Trainer.create(model, tokenizer, config)) {
      long single = 0;
      long group = 0;
      int seen = 0;
      double seconds = 0;
      double accuracy = Double.NaN;
      for (int point : at) {
        double hits = 0;
        int steps = 0;
        while (seen < point) {
          List<Scene> scenes = new ArrayList<>();
          if (kind == Negatives.HARD) {
            while (scenes.size() < batch * hardShare) {
              scenes.addAll(generator.hardGroup(1_000_000_000L + group++));
            }
          }
          while (scenes.size() < batch) {
            scenes.add(generator.scene(single++));
          }
          List<PreparedPair> pairs = new ArrayList<>();
          for (int i = 0; i < scenes.size(); i++) {
            pairs.add(pair(tokenizer, scenes.get(i), "pair-" + (seen + i)));
          }
          StepReport report = trainer.step(pairs);
          if (report.skipped()) {
            throw new IllegalStateException("step skipped: " + report);
          }
          seconds += report.seconds();
          hits += report.recallT2i() + report.recallI2t();
          steps++;
          accuracy = report.nextTokenAccuracy();
          seen += pairs.size();
        }
        // Before any step the weights are the starting hand prompt, so that line is zero-shot.
        AdapterWeights weights = trainer.weights();
        double[] recall = heldOut.recall(weights);
        SortedMap<String, Compositional.Score> kinds = heldOut.compositional(weights);
        System.out.printf(
            Locale.ROOT,
            "| %s | %d | %d | %.3f | %.3f | %s | %.3f | %.3f | %.1f |%n",
            name,
            seed,
            seen,
            recall[0],
            recall[1],
            row(kinds),
            hits / (2 * steps),
            accuracy,
            seen / Math.max(seconds, 1e-9));
        System.out.flush();
      }
    }
  }

  private static String row(Map<String, Compositional.Score> kinds) {
    return String.join(
        " | ",
        List.of("swap", "relation", "replace", "add").stream()
            .map(kind -> String.format(Locale.ROOT, "%.3f", kinds.get(kind).accuracy()))
            .toList());
  }

  private static PreparedPair pair(TextTokenizer tokenizer, Scene scene, String id) {
    String caption = Captioner.shortCaption(scene);
    return new PreparedPair(
        id,
        HeldOutScenes.image(scene),
        tokenizer.encode(caption),
        tokenizer.encode(Captioner.longCaption(scene)),
        id,
        caption);
  }
}
