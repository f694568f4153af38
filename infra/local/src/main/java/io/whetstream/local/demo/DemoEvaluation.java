package io.whetstream.local.demo;

import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.eval.Compositional;
import io.whetstream.model.eval.Retrieval;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.Embedder;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.PromptTemplates;
import io.whetstream.model.text.TextTokenizer;
import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.CompositionalItem;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import io.whetstream.scenes.SceneSets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.IntStream;

/**
 * Measures adapters on held-out scenes: R@1 as the mean of both directions among 256 scenes, and
 * compositional accuracy by kind. Held-out scenes never stand in the stream, whatever the seed. Not
 * thread-safe.
 */
final class DemoEvaluation implements AutoCloseable {
  /** Scenes that compete in retrieval. */
  static final int SCENES = 256;

  private static final int PER_KIND = 192;
  private static final int CHUNK = 64;
  // Its own seed, so that runs with different seeds are measured on the same scenes.
  private static final long SEED = 7;

  /** Hand prompts to choose the base's best from. The first is where training starts. */
  static final List<PromptTemplates> HAND_PROMPTS =
      List.of(
          PromptTemplates.defaults(),
          new PromptTemplates(
              "<image>[short summary of the image in one word :]",
              "<text>[short summary of the text in one word :]"),
          new PromptTemplates("<image>[the image in one word :]", "<text>[the text in one word :]"),
          new PromptTemplates("<image>[in one word :]", "<text>[in one word :]"));

  /** The base under its best hand prompt. */
  record BestPrompt(PromptTemplates prompts, double recallAt1) {}

  /** One look's held-out scenes, prepared once. */
  private record Prepared(List<ModelImage> images, List<long[]> captions) {}

  private final Checkpoint checkpoint;
  private final Lvlm model;
  private final TextTokenizer tokenizer;
  private final ImageProcessor images;
  private final Map<String, Prepared> prepared = new HashMap<>();

  DemoEvaluation(Path modelDirectory, int threads) {
    checkpoint = Checkpoint.open(modelDirectory);
    LvlmOptions options = LvlmOptions.defaults();
    model = Lvlm.open(checkpoint, new LvlmOptions(options.precision(), "cpu", threads));
    tokenizer = TextTokenizer.open(modelDirectory);
    images = ImageProcessor.open(modelDirectory);
  }

  /** R@1 of an adapter, mean of both directions. */
  double recallAt1(AdapterWeights adapter, SceneLook look) {
    return recallAt1(adapter, PromptTemplates.defaults(), look);
  }

  /** R@1 of the base with the hand prompt that training starts from. */
  double startRecallAt1(SceneLook look) {
    return recallAt1(null, PromptTemplates.defaults(), look);
  }

  /** R@1 of the base with whichever hand prompt serves it best on these very scenes. */
  BestPrompt bestPrompt(SceneLook look) {
    BestPrompt best = null;
    for (PromptTemplates prompts : HAND_PROMPTS) {
      double recall = recallAt1(null, prompts, look);
      if (best == null || recall > best.recallAt1()) {
        best = new BestPrompt(prompts, recall);
      }
    }
    return best;
  }

  /**
   * Compositional accuracy by kind, of the base with its starting prompt if {@code adapter} null.
   */
  SortedMap<String, Double> compositional(AdapterWeights adapter, SceneLook look) {
    List<CompositionalItem> items = SceneSets.compositional(SEED, look, PER_KIND);
    Embedder embedder = embedder(PromptTemplates.defaults());
    float[][] images =
        embedder.embedImages(adapter, items.stream().map(i -> image(i.scene())).toList());
    float[][] positives =
        embedder.embedTexts(
            adapter, items.stream().map(i -> tokenizer.encode(i.positive().text())).toList());
    float[][] negatives =
        embedder.embedTexts(
            adapter, items.stream().map(i -> tokenizer.encode(i.negative().text())).toList());
    List<Compositional.Item> scored = new ArrayList<>();
    for (int i = 0; i < items.size(); i++) {
      scored.add(
          new Compositional.Item(
              items.get(i).edit().kind().word(), images[i], positives[i], List.of(negatives[i])));
    }
    SortedMap<String, Double> accuracy = new TreeMap<>();
    Compositional.byKind(scored).forEach((kind, score) -> accuracy.put(kind, score.accuracy()));
    return accuracy;
  }

  @Override
  public void close() {
    model.close();
    tokenizer.close();
    checkpoint.close();
  }

  private double recallAt1(AdapterWeights adapter, PromptTemplates prompts, SceneLook look) {
    Prepared set = prepared.computeIfAbsent(look.name(), name -> prepare(look));
    Embedder embedder = embedder(prompts);
    float[][] images = embedder.embedImages(adapter, set.images());
    float[][] texts = embedder.embedTexts(adapter, set.captions());
    int[] each = IntStream.range(0, images.length).toArray();
    return (Retrieval.recall(texts, images, each, each).r1()
            + Retrieval.recall(images, texts, each, each).r1())
        / 2;
  }

  private Prepared prepare(SceneLook look) {
    List<Scene> scenes = SceneSets.retrieval(SEED, look, SCENES);
    return new Prepared(
        scenes.stream().map(this::image).toList(),
        scenes.stream().map(s -> tokenizer.encode(Captioner.shortCaption(s))).toList());
  }

  private Embedder embedder(PromptTemplates prompts) {
    return new Embedder(model, tokenizer, prompts, CHUNK);
  }

  private ModelImage image(Scene scene) {
    return images.process(SceneRenderer.render(scene));
  }
}
