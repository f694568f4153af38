package io.whetstream.cli;

import com.fasterxml.jackson.annotation.JsonInclude;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.eval.Compositional;
import io.whetstream.model.eval.Recall;
import io.whetstream.model.eval.Retrieval;
import io.whetstream.model.lvlm.Embedder;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.pairs.CaptionedImage;
import io.whetstream.model.pairs.CompositionalQuestion;
import io.whetstream.model.pairs.PairsFile;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code whetstream eval}: recall on a pairs file, accuracy on compositional items. */
@Command(
    name = "eval",
    description = "Measures retrieval on a pairs file, and compositional accuracy.")
final class EvalCommand implements Callable<Integer> {

  /** Accuracy of one kind of compositional item. */
  record Kind(int items, double accuracy) {}

  /**
   * The result with {@code --json}.
   *
   * @param t2i each caption looks for its image
   * @param i2t each image looks for one of its captions
   * @param pairs images, each with all its captions
   */
  @JsonInclude(JsonInclude.Include.NON_NULL)
  record Result(
      Recall t2i,
      Recall i2t,
      Integer pairs,
      Integer captions,
      SortedMap<String, Kind> compositional,
      String baseDigest,
      String adapterDigest,
      int skippedPairs,
      int truncatedCaptions,
      double seconds) {}

  @Mixin private ModelOptions model;
  @Mixin private ComputeOptions compute;
  @Mixin private PromptOptions prompts;
  @Mixin private BadPairs badPairs;
  @Mixin private ResultOptions result;

  @Option(
      names = "--adapter",
      paramLabel = "DIR",
      description = "Adapter directory (default: the base model with its hand prompt).")
  private Path adapterDirectory;

  @Option(
      names = "--pairs",
      paramLabel = "FILE",
      description =
          "Pairs: JSON lines with id, image, caption or captions; rows of one \"group\", and rows"
              + " of one image file's content, count as the same thing.")
  private Path pairs;

  @Option(
      names = "--compositional",
      paramLabel = "FILE",
      description = "Items: JSON lines with image, positive, negatives, kind.")
  private Path items;

  @Override
  public Integer call() {
    if (pairs == null && items == null) {
      throw new BadInputException("eval needs --pairs or --compositional, or both");
    }
    Path directory = model.directory();
    long start = System.nanoTime();
    PrintWriter err = result.err();
    List<PairEmbedder.Row<CaptionedImage>> pairRows = pairs == null ? List.of() : pairRows();
    List<PairEmbedder.Row<CompositionalQuestion>> itemRows = items == null ? List.of() : itemRows();
    try (OfflineModel base = OfflineModel.open(directory)) {
      AdapterArtifact adapter =
          adapterDirectory == null ? null : base.adapter(adapterDirectory, prompts.templates());
      AdapterWeights weights = adapter == null ? null : adapter.weights();
      try (Lvlm lvlm = Lvlm.open(base.checkpoint(), compute.options())) {
        Embedder embedder =
            new Embedder(lvlm, base.tokenizer(), prompts.templates(), EmbedCommand.CHUNK);
        PairLoader loader = new PairLoader(base, embedder.sequences(weights), err);
        PairEmbedder runner = new PairEmbedder(embedder, weights, loader, badPairs, err);
        Result measured =
            measure(
                runner.embed(pairRows, "pairs"),
                runner.embed(itemRows, "items"),
                base.checkpoint().digest(),
                adapter == null ? null : adapter.digest(),
                loader,
                (System.nanoTime() - start) / 1e9);
        result.print(measured, text(measured));
      }
    }
    return 0;
  }

  private List<PairEmbedder.Row<CaptionedImage>> pairRows() {
    PrintWriter err = result.err();
    try (Stream<CaptionedImage> lines = PairsFile.read(pairs, bad -> badPairs.handle(bad, err))) {
      return lines
          .map(
              pair ->
                  new PairEmbedder.Row<>(
                      pair,
                      pair.image(),
                      pair.captions().isEmpty() ? List.of(pair.captionLong()) : pair.captions(),
                      pairs + ": line " + pair.line()))
          .toList();
    }
  }

  private List<PairEmbedder.Row<CompositionalQuestion>> itemRows() {
    PrintWriter err = result.err();
    try (Stream<CompositionalQuestion> lines =
        PairsFile.readCompositional(items, bad -> badPairs.handle(bad, err))) {
      return lines
          .map(
              item -> {
                List<String> texts = new ArrayList<>(item.negatives());
                texts.add(0, item.positive());
                return new PairEmbedder.Row<>(
                    item, item.image(), texts, items + ": line " + item.line());
              })
          .toList();
    }
  }

  private Result measure(
      List<PairEmbedder.Embedded<CaptionedImage>> embeddedPairs,
      List<PairEmbedder.Embedded<CompositionalQuestion>> embeddedItems,
      String baseDigest,
      String adapterDigest,
      PairLoader loader,
      double seconds) {
    Recall t2i = null;
    Recall i2t = null;
    int captions = 0;
    if (pairs != null) {
      EmbedCommand.requireSome(embeddedPairs, pairs);
      Groups groups = new Groups();
      int[] imageGroup = new int[embeddedPairs.size()];
      List<float[]> images = new ArrayList<>();
      List<float[]> texts = new ArrayList<>();
      List<Integer> owners = new ArrayList<>();
      for (PairEmbedder.Embedded<CaptionedImage> row : embeddedPairs) {
        int owner = groups.of(row.key().group(), row.imageDigest());
        imageGroup[images.size()] = owner;
        images.add(row.image());
        for (float[] text : row.texts()) {
          texts.add(text);
          owners.add(owner);
        }
      }
      for (int i = 0; i < imageGroup.length; i++) {
        imageGroup[i] = groups.root(imageGroup[i]);
      }
      int[] textGroup = owners.stream().mapToInt(groups::root).toArray();
      captions = textGroup.length;
      float[][] imageVectors = images.toArray(float[][]::new);
      float[][] textVectors = texts.toArray(float[][]::new);
      t2i = Retrieval.recall(textVectors, imageVectors, textGroup, imageGroup);
      i2t = Retrieval.recall(imageVectors, textVectors, imageGroup, textGroup);
    }
    SortedMap<String, Kind> kinds = null;
    if (items != null) {
      EmbedCommand.requireSome(embeddedItems, items);
      kinds = new TreeMap<>();
      List<Compositional.Item> scored =
          embeddedItems.stream()
              .map(
                  row ->
                      new Compositional.Item(
                          row.key().kind(),
                          row.image(),
                          row.texts()[0],
                          Arrays.asList(row.texts()).subList(1, row.texts().length)))
              .toList();
      for (Map.Entry<String, Compositional.Score> kind : Compositional.byKind(scored).entrySet()) {
        kinds.put(kind.getKey(), new Kind(kind.getValue().items(), kind.getValue().accuracy()));
      }
    }
    return new Result(
        t2i,
        i2t,
        pairs == null ? null : embeddedPairs.size(),
        pairs == null ? null : captions,
        kinds,
        baseDigest,
        adapterDigest,
        badPairs.count(),
        loader.truncated(),
        seconds);
  }

  /** Rows that show the same thing: by their file's group, and by the content of their image. */
  private static final class Groups {
    private final Map<String, Integer> byName = new HashMap<>();
    private final List<Integer> parent = new ArrayList<>();

    int of(String group, String imageDigest) {
      int own = node("image " + imageDigest);
      if (group != null) {
        parent.set(root(own), root(node("group " + group)));
      }
      return own;
    }

    private int node(String name) {
      return byName.computeIfAbsent(
          name,
          unused -> {
            parent.add(parent.size());
            return parent.size() - 1;
          });
    }

    int root(int node) {
      int at = node;
      while (parent.get(at) != at) {
        at = parent.get(at);
      }
      return at;
    }
  }

  private static String text(Result r) {
    StringBuilder text = new StringBuilder();
    if (r.t2i() != null) {
      text.append(String.format(Locale.ROOT, "%d images, %d captions%n", r.pairs(), r.captions()));
      text.append(row("text to image", r.t2i())).append(row("image to text", r.i2t()));
    }
    if (r.compositional() != null) {
      r.compositional()
          .forEach(
              (kind, score) ->
                  text.append(
                      String.format(
                          Locale.ROOT,
                          "%-14s %5.1f %% of %d%n",
                          kind,
                          100 * score.accuracy(),
                          score.items())));
    }
    return text.toString().stripTrailing();
  }

  private static String row(String name, Recall recall) {
    return String.format(
        Locale.ROOT,
        "%-14s R@1 %5.1f %%   R@5 %5.1f %%   R@10 %5.1f %%%n",
        name,
        100 * recall.r1(),
        100 * recall.r5(),
        100 * recall.r10());
  }
}
