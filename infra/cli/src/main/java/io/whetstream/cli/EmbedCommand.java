package io.whetstream.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.SafeTensorsWriter;
import io.whetstream.model.lvlm.Embedder;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.pairs.CaptionedImage;
import io.whetstream.model.pairs.PairsFile;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code whetstream embed}: embeddings of a pairs file, as a safetensors file. */
@Command(
    name = "embed",
    description = "Writes the embeddings of the images and captions of a pairs file.")
final class EmbedCommand implements Callable<Integer> {
  static final int CHUNK = 64;

  /** Engines that compute embeddings. */
  enum Engine {
    DJL
  }

  /** The result with {@code --json}. */
  record Result(
      String file,
      int pairs,
      int dimension,
      String engine,
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
      names = "--engine",
      paramLabel = "djl",
      defaultValue = "djl",
      description = "What computes (default: djl).")
  private Engine engine;

  @Option(
      names = "--pairs",
      required = true,
      paramLabel = "FILE",
      description = "Pairs: JSON lines with id, image, caption.")
  private Path pairs;

  @Option(
      names = "--out",
      required = true,
      paramLabel = "FILE",
      description =
          "The safetensors file to write: image [N, d] and text [N, d] in file order, ids in its"
              + " metadata.")
  private Path out;

  @Override
  public Integer call() throws JsonProcessingException {
    requireDirectoryOf(out);
    long start = System.nanoTime();
    PrintWriter err = result.err();
    List<PairEmbedder.Row<String>> rows = rows(pairs, badPairs, err);
    try (OfflineModel base = OfflineModel.open(model.directory())) {
      AdapterArtifact adapter =
          adapterDirectory == null ? null : base.adapter(adapterDirectory, prompts.templates());
      AdapterWeights weights = adapter == null ? null : adapter.weights();
      List<PairEmbedder.Embedded<String>> embedded;
      PairLoader loader;
      try (Lvlm lvlm = Lvlm.open(base.checkpoint(), compute.options())) {
        Embedder embedder = new Embedder(lvlm, base.tokenizer(), prompts.templates(), CHUNK);
        loader = new PairLoader(base, embedder.sequences(weights), err);
        embedded =
            new PairEmbedder(embedder, weights, loader, badPairs, err).embed(rows, "embedding");
      }
      requireSome(embedded, pairs);
      int n = embedded.size();
      int dimension = embedded.get(0).image().length;
      float[] images = new float[Math.multiplyExact(n, dimension)];
      float[] texts = new float[images.length];
      for (int i = 0; i < n; i++) {
        System.arraycopy(embedded.get(i).image(), 0, images, i * dimension, dimension);
        System.arraycopy(embedded.get(i).texts()[0], 0, texts, i * dimension, dimension);
      }
      String adapterDigest = weights == null ? null : adapter.digest();
      SafeTensorsWriter writer =
          new SafeTensorsWriter()
              .add("image", new long[] {n, dimension}, images)
              .add("text", new long[] {n, dimension}, texts)
              .metadata("base", base.checkpoint().digest())
              .metadata(
                  "ids",
                  new ObjectMapper()
                      .writeValueAsString(
                          embedded.stream().map(PairEmbedder.Embedded::key).toList()));
      if (adapterDigest != null) {
        writer.metadata("adapter", adapterDigest);
      }
      writer.write(out);
      double seconds = (System.nanoTime() - start) / 1e9;
      result.print(
          new Result(
              out.toString(),
              n,
              dimension,
              engine.name().toLowerCase(Locale.ROOT),
              base.checkpoint().digest(),
              adapterDigest,
              badPairs.count(),
              loader.truncated(),
              seconds),
          String.format(
              Locale.ROOT, "%d pairs, %d dimensions, in %s (%.1f s)", n, dimension, out, seconds));
    }
    return 0;
  }

  /** Fails before any work if the result could not be written in the end. */
  static void requireDirectoryOf(Path file) {
    Path directory = file.toAbsolutePath().getParent();
    if (directory == null || !Files.isDirectory(directory)) {
      throw new BadInputException(directory + ": no such directory to write " + file + " into");
    }
    if (Files.isDirectory(file)) {
      throw new BadInputException(file + " is a directory, not a file");
    }
  }

  static void requireSome(List<?> rows, Path file) {
    if (rows.isEmpty()) {
      throw new BadInputException(file + ": no pair that can be used");
    }
  }

  /** Every line with the caption that stands for it: the short one, else the long one. */
  static List<PairEmbedder.Row<String>> rows(Path file, BadPairs badPairs, PrintWriter err) {
    try (Stream<CaptionedImage> lines = PairsFile.read(file, bad -> badPairs.handle(bad, err))) {
      return lines
          .map(
              pair ->
                  new PairEmbedder.Row<>(
                      pair.id(),
                      pair.image(),
                      List.of(pair.caption() == null ? pair.captionLong() : pair.caption()),
                      file + ": line " + pair.line()))
          .toList();
    }
  }
}
