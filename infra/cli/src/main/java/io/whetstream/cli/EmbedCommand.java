package io.whetstream.cli;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.SafeTensorsWriter;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.Embedder;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.onnx.Scorer;
import io.whetstream.model.onnx.ScorerAdapter;
import io.whetstream.model.onnx.ScorerOptions;
import io.whetstream.model.pairs.CaptionedImage;
import io.whetstream.model.pairs.PairsFile;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.Function;
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
    /** DJL: the trainer's forward pass. */
    DJL,
    /** ONNX Runtime: the scoring engine. */
    ONNX,
    /** Both; the vectors written are DJL's. */
    BOTH
  }

  /** How far the engines may be apart. */
  static final double AGREEMENT = 1e-4;

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
      @JsonInclude(JsonInclude.Include.NON_NULL) Double maxAbsDifference,
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
      paramLabel = "djl|onnx|both",
      defaultValue = "djl",
      description =
          "What computes: the trainer's forward pass, the scoring engine, or both (then the"
              + " largest difference is reported; default: djl).")
  private Engine engine;

  @Option(
      names = "--check",
      description = "With --engine both: fail if the engines differ by more than 1e-4.")
  private boolean check;

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
    if (check && engine != Engine.BOTH) {
      throw new BadInputException("--check needs --engine both");
    }
    long start = System.nanoTime();
    PrintWriter err = result.err();
    List<PairEmbedder.Row<String>> rows = rows(pairs, badPairs, err);
    try (OfflineModel base = OfflineModel.open(model.directory())) {
      AdapterArtifact adapter =
          adapterDirectory == null ? null : base.adapter(adapterDirectory, prompts.templates());
      AdapterWeights weights = adapter == null ? null : adapter.weights();
      List<PairEmbedder.Embedded<String>> embedded;
      PairLoader loader;
      EngineDifference difference = new EngineDifference();
      try (Lvlm lvlm =
              engine == Engine.ONNX ? null : Lvlm.open(base.checkpoint(), compute.options());
          Scorer scorer =
              engine == Engine.DJL
                  ? null
                  : Scorer.open(
                      model.directory(),
                      ScorerOptions.defaults()
                          .withDevice(compute.options().device().replace("auto", "cpu"))
                          .withThreads(compute.options().threads())
                          .withPrompts(prompts.templates()));
          ScorerAdapter handle =
              scorer == null
                  ? null
                  : adapter == null ? scorer.base().retain() : scorer.load(adapter)) {
        Embedder embedder =
            lvlm == null ? null : new Embedder(lvlm, base.tokenizer(), prompts.templates(), CHUNK);
        loader = new PairLoader(base, base.sequences(weights, prompts.templates()), err);
        Function<List<ModelImage>, float[][]> images =
            processed ->
                difference.first(
                    embedder == null ? null : embedder.embedImages(weights, processed),
                    scorer == null ? null : scorer.embedImages(handle, processed));
        Function<List<long[]>, float[][]> texts =
            ids ->
                difference.first(
                    embedder == null ? null : embedder.embedTexts(weights, ids),
                    scorer == null ? null : scorer.embedCaptions(handle, ids));
        embedded = new PairEmbedder(images, texts, loader, badPairs, err).embed(rows, "embedding");
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
              engine == Engine.BOTH ? difference.largest() : null,
              seconds),
          String.format(
                  Locale.ROOT,
                  "%d pairs, %d dimensions, in %s (%.1f s)",
                  n,
                  dimension,
                  out,
                  seconds)
              + (engine == Engine.BOTH
                  ? String.format(
                      Locale.ROOT, "; largest difference of engines %.2e", difference.largest())
                  : ""));
      if (check && !(difference.largest() <= AGREEMENT)) {
        throw new BadInputException(
            String.format(
                Locale.ROOT,
                "the engines differ by %.2e, more than %.0e, on %s",
                difference.largest(),
                AGREEMENT,
                model.directory()));
      }
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
