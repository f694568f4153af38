package io.whetstream.bench;

import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.eval.Compositional;
import io.whetstream.model.eval.Retrieval;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.Embedder;
import io.whetstream.model.text.TextTokenizer;
import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.CompositionalItem;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import io.whetstream.scenes.SceneSets;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;
import java.util.stream.IntStream;

/** Held-out drawn scenes of one look, prepared once, to measure adapters on. */
public final class HeldOutScenes {
  // Its own seed, so that runs with different seeds are measured on the same scenes.
  private static final long SEED = 7;

  private final Embedder embedder;
  private final List<ModelImage> images = new ArrayList<>();
  private final List<long[]> captions = new ArrayList<>();
  private final List<CompositionalItem> items;
  private final List<ModelImage> itemImages = new ArrayList<>();
  private final List<long[]> itemCaptions = new ArrayList<>();

  /**
   * @param scenes that compete in retrieval
   * @param perKind compositional items of a kind
   */
  public HeldOutScenes(
      Embedder embedder, TextTokenizer tokenizer, SceneLook look, int scenes, int perKind) {
    this.embedder = embedder;
    for (Scene scene : SceneSets.retrieval(SEED, look, scenes)) {
      images.add(image(scene));
      captions.add(tokenizer.encode(Captioner.shortCaption(scene)));
    }
    items = SceneSets.compositional(SEED, look, perKind);
    for (CompositionalItem item : items) {
      itemImages.add(image(item.scene()));
      itemCaptions.add(tokenizer.encode(item.positive().text()));
      itemCaptions.add(tokenizer.encode(item.negative().text()));
    }
  }

  /**
   * R@1, text to image and image to text.
   *
   * @param weights an adapter, or null for the base
   */
  public double[] recall(AdapterWeights weights) {
    float[][] pictures = embedder.embedImages(weights, images);
    float[][] texts = embedder.embedTexts(weights, captions);
    int[] groups = IntStream.range(0, pictures.length).toArray();
    return new double[] {
      Retrieval.recall(texts, pictures, groups, groups).r1(),
      Retrieval.recall(pictures, texts, groups, groups).r1()
    };
  }

  /** Accuracy by kind; chance is one half. */
  public SortedMap<String, Compositional.Score> compositional(AdapterWeights weights) {
    float[][] pictures = embedder.embedImages(weights, itemImages);
    float[][] texts = embedder.embedTexts(weights, itemCaptions);
    List<Compositional.Item> scored = new ArrayList<>();
    for (int i = 0; i < pictures.length; i++) {
      scored.add(
          new Compositional.Item(
              items.get(i).edit().kind().word(),
              pictures[i],
              texts[2 * i],
              List.of(texts[2 * i + 1])));
    }
    return Compositional.byKind(scored);
  }

  static ModelImage image(Scene scene) {
    return SceneRenderer.processed(SceneRenderer.render(scene));
  }
}
