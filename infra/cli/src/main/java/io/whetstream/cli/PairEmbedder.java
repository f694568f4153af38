package io.whetstream.cli;

import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.Embedder;
import io.whetstream.model.pairs.LineImage;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.stream.IntStream;

/** Embeds the images and texts of many rows of a file, a window at a time. */
final class PairEmbedder {
  private static final int WINDOW = 256;

  /**
   * A row to embed.
   *
   * @param where what names it in an error: file and line
   * @param key what the caller knows it by
   */
  record Row<K>(K key, LineImage image, List<String> texts, String where) {}

  /** A row that could be used: one image vector and one vector per text, all of unit length. */
  @SuppressWarnings("ArrayRecordComponent") // Never compared.
  record Embedded<K>(K key, String imageDigest, float[] image, float[][] texts) {}

  private record Loaded<K>(Row<K> row, PairLoader.Image image, List<long[]> texts) {}

  private final PairLoader loader;
  private final BadPairs badPairs;
  private final PrintWriter err;
  private final Function<List<ModelImage>, float[][]> images;
  private final Function<List<long[]>, float[][]> texts;

  PairEmbedder(
      Embedder embedder,
      AdapterWeights adapter,
      PairLoader loader,
      BadPairs badPairs,
      PrintWriter err) {
    this(
        processed -> embedder.embedImages(adapter, processed),
        ids -> embedder.embedTexts(adapter, ids),
        loader,
        badPairs,
        err);
  }

  /**
   * @param images vectors of processed images
   * @param texts vectors of captions' token ids
   */
  PairEmbedder(
      Function<List<ModelImage>, float[][]> images,
      Function<List<long[]>, float[][]> texts,
      PairLoader loader,
      BadPairs badPairs,
      PrintWriter err) {
    this.loader = loader;
    this.badPairs = badPairs;
    this.err = err;
    this.images = images;
    this.texts = texts;
  }

  /** Embeds rows in order; those that cannot be used are handed to the policy. */
  <K> List<Embedded<K>> embed(List<Row<K>> rows, String what) {
    List<Embedded<K>> embedded = new ArrayList<>();
    Progress progress = new Progress(err, what, rows.size());
    for (int begin = 0; begin < rows.size(); begin += WINDOW) {
      int end = Math.min(begin + WINDOW, rows.size());
      List<Row<K>> window = rows.subList(begin, end);
      embedWindow(load(window), embedded);
      progress.at(end, embedded.size() + " embedded");
    }
    progress.done();
    return embedded;
  }

  /** Decoding is spread over cores; what failed is told in order. */
  private <K> List<Loaded<K>> load(List<Row<K>> window) {
    List<Object> results =
        IntStream.range(0, window.size())
            .parallel()
            .mapToObj(
                i -> {
                  Row<K> row = window.get(i);
                  try {
                    List<long[]> ids =
                        row.texts().stream()
                            .map(text -> loader.shortCaption(text, row.where()))
                            .toList();
                    return (Object) new Loaded<>(row, loader.image(row.image(), row.where()), ids);
                  } catch (BadInputException e) {
                    return e;
                  }
                })
            .toList();
    List<Loaded<K>> loaded = new ArrayList<>();
    for (Object result : results) {
      if (result instanceof BadInputException bad) {
        badPairs.handle(bad, err);
      } else {
        @SuppressWarnings("unchecked")
        Loaded<K> good = (Loaded<K>) result;
        loaded.add(good);
      }
    }
    return loaded;
  }

  private <K> void embedWindow(List<Loaded<K>> loaded, List<Embedded<K>> embedded) {
    List<ModelImage> processed = new ArrayList<>();
    List<long[]> ids = new ArrayList<>();
    for (Loaded<K> row : loaded) {
      processed.add(row.image().processed());
      ids.addAll(row.texts());
    }
    float[][] imageVectors = processed.isEmpty() ? new float[0][] : images.apply(processed);
    float[][] textVectors = ids.isEmpty() ? new float[0][] : texts.apply(ids);
    int text = 0;
    for (int i = 0; i < loaded.size(); i++) {
      Loaded<K> row = loaded.get(i);
      float[][] own = new float[row.texts().size()][];
      for (int t = 0; t < own.length; t++) {
        own[t] = textVectors[text++];
      }
      embedded.add(new Embedded<>(row.row().key(), row.image().digest(), imageVectors[i], own));
    }
  }
}
