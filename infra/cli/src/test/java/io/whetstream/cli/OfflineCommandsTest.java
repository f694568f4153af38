package io.whetstream.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.checkpoint.SafeTensors;
import io.whetstream.model.lvlm.Row;
import io.whetstream.model.onnx.Scorer;
import io.whetstream.model.onnx.ScorerOptions;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * {@code train}, {@code embed}, {@code eval} and {@code plan} on golden models and drawn scenes.
 */
@Tag("golden")
class OfflineCommandsTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Path GOLDEN =
      System.getProperty("golden.dir", "").isEmpty()
          ? Path.of("../../model/src/test/resources/golden")
          : Path.of(System.getProperty("golden.dir"));

  @TempDir static Path scenes;
  private static Path model;
  private static Path otherModel;

  @TempDir Path scratch;

  record Ran(int code, String out, String err) {
    JsonNode json() throws IOException {
      assertEquals(0, code, err);
      return JSON.readTree(out.strip());
    }

    /** Exit code 2, nothing on standard output, one message that holds all words. */
    void refused(String... words) {
      assertEquals(Main.BAD_INPUT, code, err);
      assertEquals("", out);
      assertFalse(err.contains("\tat "), err);
      for (String word : words) {
        assertTrue(err.contains(word), err);
      }
    }
  }

  private static Ran run(Object... args) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    String[] texts = Arrays.stream(args).map(String::valueOf).toArray(String[]::new);
    int code = Main.run(texts, new PrintWriter(out, true), new PrintWriter(err, true));
    return new Ran(code, out.toString(), err.toString());
  }

  @BeforeAll
  static void drawScenes() throws IOException {
    List<Path> models;
    try (Stream<Path> all = Files.list(GOLDEN)) {
      models =
          all.filter(d -> Files.exists(d.resolve("tokenizer.json")))
              .filter(d -> Files.exists(d.resolve("preprocessor_config.json")))
              .sorted()
              .toList();
    }
    assertTrue(models.size() >= 2, "two golden models with tokenizers under " + GOLDEN);
    // Copies: the scoring engine keeps its exported graphs beside the model.
    model = copy(models.get(models.size() - 1), scenes.resolve("models/model"));
    otherModel = copy(models.get(0), scenes.resolve("models/other"));
    assertEquals(0, run("scenes", "--out", scenes, "--count", 16, "--compositional", 3).code());
  }

  private static Path copy(Path from, Path to) throws IOException {
    Files.createDirectories(to);
    for (Path file : inside(from)) {
      if (Files.isRegularFile(file) && !file.toString().contains("expected")) {
        Files.copy(file, to.resolve(file.getFileName()));
      }
    }
    return to;
  }

  private static Path pairs() {
    return scenes.resolve("pairs.jsonl");
  }

  private Ran train(Path out, Object... more) {
    return train(pairs(), out, more);
  }

  /** Options and values in {@code more} replace the usual ones. */
  private Ran train(Path pairs, Path out, Object... more) {
    Map<Object, Object> options = new LinkedHashMap<>();
    Object[] usual = {
      "--model",
      model,
      "--pairs",
      pairs,
      "--out",
      out,
      "--steps",
      3,
      "--batch",
      8,
      "--rank",
      4,
      "--soft-prompts",
      3,
      "--threads",
      1,
      "--device",
      "cpu"
    };
    for (Object[] given : new Object[][] {usual, more}) {
      for (int i = 0; i < given.length; i += 2) {
        options.put(given[i], given[i + 1]);
      }
    }
    List<Object> args = new ArrayList<>(List.of("train", "--json"));
    options.forEach((option, value) -> args.addAll(List.of(option, value)));
    return run(args.toArray());
  }

  private static List<Path> inside(Path directory) throws IOException {
    try (Stream<Path> all = Files.list(directory)) {
      return all.toList();
    }
  }

  /** A copy of the pairs file, images named absolutely, with one line replaced. */
  private Path pairsWith(int line, String key, JsonNode value) throws IOException {
    List<String> lines = new ArrayList<>();
    for (String text : Files.readAllLines(pairs())) {
      ObjectNode pair = (ObjectNode) JSON.readTree(text);
      pair.put("image", scenes.resolve(pair.get("image").asText()).toString());
      lines.add(pair.toString());
    }
    ObjectNode changed = (ObjectNode) JSON.readTree(lines.get(line - 1));
    changed.set(key, value);
    lines.set(line - 1, changed.toString());
    return Files.write(scratch.resolve("pairs.jsonl"), lines);
  }

  private static JsonNode text(String value) {
    return JSON.getNodeFactory().textNode(value);
  }

  @Test
  void trainingReportsWhatItDidAndWritesWhatItReports() throws IOException {
    Path out = scratch.resolve("adapter");
    JsonNode result = train(out).json();
    assertEquals(3, result.get("steps").asInt());
    assertEquals(24, result.get("pairs").asInt());
    for (String key :
        List.of(
            "pairsPerSecond",
            "lossContrastive",
            "lossNextToken",
            "flopsPerStep",
            "gflopsPerSecond",
            "rooflineGflopsPerSecond",
            "utilisation",
            "peakRssBytes")) {
      assertTrue(result.get(key).isNumber() && result.get(key).asDouble() > 0, key);
    }
    assertTrue(
        result.at("/stepSeconds/p50").asDouble() <= result.at("/stepSeconds/p95").asDouble());
    AdapterArtifact artifact = AdapterCodec.read(out);
    assertEquals(artifact.digest(), result.get("adapterDigest").asText());
    assertEquals(artifact.manifest().baseDigest(), result.get("baseDigest").asText());
    assertEquals(16, artifact.manifest().pairs());
    assertEquals(4, artifact.weights().config().rank());
    assertEquals(3, artifact.weights().config().softText());
    assertEquals(List.of(out), inside(scratch));
  }

  @Test
  void writesTheOlderKeyNamesOnlyIfAskedTo() throws IOException {
    for (boolean older : new boolean[] {false, true}) {
      Path out = scratch.resolve("older-" + older);
      List<Object> args =
          new ArrayList<>(List.of("train", "--model", otherModel, "--pairs", pairs()));
      args.addAll(List.of("--out", out, "--steps", 1, "--batch", 8, "--json"));
      if (older) {
        args.add("--older-key-names");
      }
      String digest = run(args.toArray()).json().get("adapterDigest").asText();
      try (SafeTensors lora = SafeTensors.open(out.resolve("lora/adapter_model.safetensors"))) {
        String root = older ? "base_model.model.language_model.model." : "base_model.model.model.";
        assertTrue(lora.tensors().keySet().stream().allMatch(name -> name.startsWith(root)), root);
      }
      assertEquals(digest, AdapterCodec.read(out).digest());
    }
  }

  @Test
  void theSameSeedMakesTheSameAdapterAndAnotherSeedAnother() throws IOException {
    String one = train(scratch.resolve("one")).json().get("adapterDigest").asText();
    assertEquals(one, train(scratch.resolve("two")).json().get("adapterDigest").asText());
    assertNotEquals(
        one, train(scratch.resolve("three"), "--seed", 1).json().get("adapterDigest").asText());
  }

  @Test
  void trainingGoesOnFromAnAdapterOfThisBaseOnly() throws IOException {
    Path first = scratch.resolve("first");
    JsonNode parent = train(first, "--rank", 2, "--soft-prompts", 0).json();
    List<Object> onward =
        new ArrayList<>(
            List.of(
                "train",
                "--pairs",
                pairs(),
                "--steps",
                2,
                "--batch",
                8,
                "--json",
                "--init-adapter",
                first));
    List<Object> same = new ArrayList<>(onward);
    same.addAll(List.of("--model", model, "--out", scratch.resolve("second")));
    run(same.toArray()).json();
    AdapterArtifact second = AdapterCodec.read(scratch.resolve("second"));
    assertEquals(parent.get("adapterDigest").asText(), second.manifest().parent());
    assertEquals(5, second.manifest().step());
    assertEquals(2, second.weights().config().rank());

    List<Object> other = new ArrayList<>(onward);
    other.addAll(List.of("--model", otherModel, "--out", scratch.resolve("third")));
    run(other.toArray()).refused("another base model");
    assertFalse(Files.exists(scratch.resolve("third")));
    same.addAll(List.of("--rank", 8));
    run(same.toArray()).refused("--init-adapter", "--rank");
  }

  @Test
  void embedsInFileOrderTheSameWithBothEngines() throws IOException {
    Path adapter = scratch.resolve("adapter");
    train(adapter).json();
    for (String engine : List.of("djl", "onnx")) {
      JsonNode result =
          run(
                  "embed",
                  "--model",
                  model,
                  "--adapter",
                  adapter,
                  "--engine",
                  engine,
                  "--pairs",
                  pairs(),
                  "--out",
                  scratch.resolve(engine),
                  "--threads",
                  1,
                  "--json")
              .json();
      assertEquals(16, result.get("pairs").asInt());
    }
    try (SafeTensors djl = SafeTensors.open(scratch.resolve("djl"));
        SafeTensors onnx = SafeTensors.open(scratch.resolve("onnx"))) {
      for (String side : List.of("image", "text")) {
        assertEquals(16, djl.info(side).shape()[0]);
        assertArrayEquals(djl.floats(side), onnx.floats(side), 1e-4f, side);
      }
      List<String> ids = new ArrayList<>();
      for (String line : Files.readAllLines(pairs())) {
        ids.add(JSON.readTree(line).get("id").asText());
      }
      assertEquals(ids, JSON.convertValue(JSON.readTree(djl.metadata().get("ids")), List.class));
    }
  }

  @Test
  void saysHowFarTheEnginesAreApart() throws IOException {
    List<Object> embed =
        new ArrayList<>(
            List.of("embed", "--model", model, "--pairs", pairs(), "--threads", 1, "--json"));
    embed.addAll(List.of("--out", scratch.resolve("both"), "--check"));
    embed.addAll(List.of("--engine", "both"));
    JsonNode result = run(embed.toArray()).json();
    double difference = result.get("maxAbsDifference").asDouble();
    assertTrue(difference > 0 && difference <= 1e-4, "differ by " + difference);
    embed.set(embed.size() - 1, "onnx");
    run(embed.toArray()).refused("--check", "--engine both");
  }

  /** The exported graphs in a bare session, as somebody else would run them. */
  @Test
  void exportsGraphsThatOnnxRuntimeRunsByThemselves() throws Exception {
    Path image = scratch.resolve("model.onnx");
    JsonNode result = run("export-onnx", "--model", model, "--out", image, "--json").json();
    assertEquals(image.toString(), result.get("image").asText());
    Path text = Path.of(result.get("text").asText());
    long[] row = {1, 5, 6, 7};
    OrtEnvironment environment =
        OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR, "whetstream");
    float[] embedding;
    try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
      options.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR);
      options.addConfigEntry(
          "session.model_external_initializers_file_folder_path",
          result.get("weightsFolder").asText());
      try (OrtSession images = environment.createSession(image.toString(), options);
          OrtSession texts = environment.createSession(text.toString(), options);
          OnnxTensor ids = OnnxTensor.createTensor(environment, new long[][] {row});
          OnnxTensor last = OnnxTensor.createTensor(environment, new long[] {row.length - 1});
          OrtSession.Result output = texts.run(Map.of("ids", ids, "last", last))) {
        assertTrue(images.getInputNames().containsAll(Set.of("pixels", "ids", "last")));
        embedding = ((float[][]) output.get("embedding").orElseThrow().getValue())[0];
      }
    }
    try (Scorer scorer = Scorer.open(model, ScorerOptions.defaults().withThreads(1))) {
      assertEquals(scorer.baseDigest(), result.get("baseDigest").asText());
      float[] expected =
          scorer.embedRows(scorer.base(), List.of(Row.embedding(row, true)), List.of())[0];
      assertArrayEquals(expected, embedding, 1e-6f);
    }
  }

  @Test
  void evaluatesRetrievalAndComposition() throws IOException {
    JsonNode result =
        run(
                "eval",
                "--model",
                model,
                "--pairs",
                pairs(),
                "--compositional",
                scenes.resolve("compositional.jsonl"),
                "--json")
            .json();
    assertEquals(16, result.get("pairs").asInt());
    for (String side : List.of("t2i", "i2t")) {
      double r1 = result.get(side).get("r1").asDouble();
      double r10 = result.get(side).get("r10").asDouble();
      assertTrue(0 <= r1 && r1 <= result.get(side).get("r5").asDouble() && r10 <= 1);
    }
    for (String kind : List.of("swap", "relation", "replace", "add")) {
      assertEquals(3, result.at("/compositional/" + kind + "/items").asInt(), kind);
    }
  }

  @Test
  void rowsOfOneGroupAreTheSameThing() throws IOException {
    List<String> lines = new ArrayList<>();
    for (String text : Files.readAllLines(pairs())) {
      ObjectNode pair = (ObjectNode) JSON.readTree(text);
      pair.put("image", scenes.resolve(pair.get("image").asText()).toString()).put("group", 1);
      lines.add(pair.toString());
    }
    Path all = Files.write(scratch.resolve("pairs.jsonl"), lines);
    JsonNode result = run("eval", "--model", model, "--pairs", all, "--json").json();
    assertEquals(1.0, result.at("/t2i/r1").asDouble());
    assertEquals(1.0, result.at("/i2t/r1").asDouble());
  }

  @Test
  void badPairsStopOrAreCounted() throws IOException {
    Path noImage = scratch.resolve("none.png");
    Path damaged = Files.writeString(scratch.resolve("damaged.png"), "<html>");
    for (Object[] bad :
        new Object[][] {
          {"image", text(noImage.toString()), "none.png"},
          {"image", text(damaged.toString()), "damaged.png"},
          {"caption", text(""), "\"caption\" is empty"},
          {"id", JSON.createArrayNode(), "\"id\""},
        }) {
      Path file = pairsWith(5, (String) bad[0], (JsonNode) bad[1]);
      Path out = scratch.resolve("out");
      train(file, out).refused(file + ": line 5", (String) bad[2]);
      run("embed", "--model", model, "--pairs", file, "--out", out)
          .refused(file + ": line 5", (String) bad[2]);
      run("eval", "--model", model, "--pairs", file).refused(file + ": line 5", (String) bad[2]);
      assertFalse(Files.exists(out));
    }
    Path file = pairsWith(5, "image", text(damaged.toString()));
    JsonNode trained =
        train(file, scratch.resolve("skipping"), "--on-bad-pair", "skip", "--steps", 4).json();
    assertEquals(1, trained.get("skippedPairs").asInt());
    JsonNode embedded =
        run(
                "embed",
                "--model",
                model,
                "--pairs",
                file,
                "--out",
                scratch.resolve("v"),
                "--on-bad-pair",
                "skip",
                "--json")
            .json();
    assertEquals(15, embedded.get("pairs").asInt());
    assertEquals(1, embedded.get("skippedPairs").asInt());
    JsonNode evaluated =
        run("eval", "--model", model, "--pairs", file, "--on-bad-pair", "skip", "--json").json();
    assertEquals(15, evaluated.get("pairs").asInt());
    assertEquals(1, evaluated.get("skippedPairs").asInt());
  }

  /** A picture of one by thirty million pixels: 60 kilobytes as a file, 2 GB when blown up. */
  private static byte[] thin() throws IOException {
    ByteArrayOutputStream png = new ByteArrayOutputStream();
    ImageIO.write(new BufferedImage(1, 30_000_000, BufferedImage.TYPE_BYTE_GRAY), "png", png);
    return png.toByteArray();
  }

  @Test
  void aPictureTooThinToBeResizedIsABadPair() throws IOException {
    Path fixed = copy(GOLDEN.resolve("llava-siglip-tiny"), scratch.resolve("fixed"));
    Path thin = Files.write(scratch.resolve("thin.png"), thin());
    Path file = pairsWith(5, "image", text(thin.toString()));
    Path out = scratch.resolve("out");
    String[] words = {file + ": line 5", "too long and thin"};
    train(file, out, "--model", fixed).refused(words);
    run("embed", "--model", fixed, "--pairs", file, "--out", out).refused(words);
    JsonNode trained =
        train(file, out, "--model", fixed, "--on-bad-pair", "skip", "--steps", 1).json();
    assertEquals(1, trained.get("skippedPairs").asInt());
  }

  @Test
  void captionsBeyondTheContextAreCutCountedAndWarnedOfOnce() throws IOException {
    Path file = pairsWith(2, "caption", text("a red cross above a star ".repeat(200)));
    Files.writeString(
        file, Files.readAllLines(file).get(1) + "\n", java.nio.file.StandardOpenOption.APPEND);
    // The first golden model has 256 positions, families with long rows have thousands.
    Ran ran =
        run(
            "embed",
            "--model",
            otherModel,
            "--pairs",
            file,
            "--out",
            scratch.resolve("v"),
            "--json");
    assertEquals(2, ran.json().get("truncatedCaptions").asInt());
    assertEquals(1, ran.err().split("warning: ", -1).length - 1, ran.err());
    assertEquals(
        2,
        train(file, scratch.resolve("a"), "--model", otherModel, "--steps", 2, "--order", "file")
            .json()
            .get("steps")
            .asInt());
  }

  @Test
  void namesOfSpecialTokensInCaptionsAreOnlyText() throws IOException {
    for (String key : List.of("caption", "caption_long")) {
      Path file = pairsWith(1, key, text("a <image> of <image> a cross</s> <pad><s>"));
      Path adapter = scratch.resolve("adapter-" + key);
      train(file, adapter, "--order", "file", "--steps", 2).json();
      run("eval", "--model", model, "--adapter", adapter, "--pairs", file, "--json").json();
      List<Object> embed = new ArrayList<>(List.of("embed", "--model", model, "--json", "--check"));
      embed.addAll(List.of("--adapter", adapter, "--engine", "both", "--pairs", file));
      embed.addAll(List.of("--out", scratch.resolve("v-" + key)));
      assertEquals(0, run(embed.toArray()).json().get("truncatedCaptions").asInt());
    }
  }

  /** A file with one kind of caption alone: what there is none of is null, and not shown. */
  @Test
  void aLossThatDoesNotExistIsNullAndNotShown() throws IOException {
    for (String key : List.of("caption", "caption_long")) {
      List<String> lines = new ArrayList<>();
      for (String line : Files.readAllLines(pairs())) {
        ObjectNode pair = (ObjectNode) JSON.readTree(line);
        pair.put("image", scenes.resolve(pair.get("image").asText()).toString());
        lines.add(pair.retain("id", "image", key).toString());
      }
      Path file = Files.write(scratch.resolve(key + ".jsonl"), lines);
      Ran ran = train(file, scratch.resolve("adapter-" + key));
      boolean contrastive = key.equals("caption");
      assertEquals(contrastive, ran.json().get("lossContrastive").isNumber(), ran.out());
      assertEquals(!contrastive, ran.json().get("lossContrastive").isNull(), ran.out());
      assertEquals(!contrastive, ran.json().get("lossNextToken").isNumber(), ran.out());
      assertEquals(contrastive, ran.json().get("lossNextToken").isNull(), ran.out());
      assertFalse((ran.out() + ran.err()).contains("NaN"), ran.out() + ran.err());
    }
    assertEquals(
        "{\"a\":null,\"b\":null,\"c\":0.5}",
        ResultOptions.json(
            new java.util.TreeMap<>(
                Map.of("a", Double.NaN, "b", Double.NEGATIVE_INFINITY, "c", 0.5))));
    assertEquals("loss 1.500 + 0.250", TrainCommand.losses(1.5, 0.25));
    assertEquals("loss 1.500", TrainCommand.losses(1.5, Double.NaN));
    assertEquals("loss 0.250", TrainCommand.losses(Double.NaN, 0.25));
    assertEquals("no finite loss", TrainCommand.losses(Double.NaN, Double.NaN));
  }

  @Test
  void refusesWhatCannotWorkBeforeAnyWork() throws IOException {
    Path taken = Files.createDirectories(scratch.resolve("taken/inside")).getParent();
    train(taken).refused("taken is there already");
    train(scratch.resolve("a"), "--steps", 0).refused("--steps");
    train(scratch.resolve("a"), "--batch", 17).refused("16 pairs", "--batch");
    train(scratch.resolve("a"), "--batch", 0).refused("--batch");
    train(scratch.resolve("a"), "--lr", -1).refused("learningRate");
    train(scratch.resolve("a"), "--device", "tpu").refused("device 'tpu'");
    train(scratch.resolve("a"), "--device", "gpu:99").refused("gpu:99");
    train(scratch.resolve("a"), "--precision", "fp8").refused("--precision");
    train(scratch.resolve("none.jsonl"), scratch.resolve("a")).refused("none.jsonl");
    run("train", "--model", scratch.resolve("no"), "--pairs", pairs(), "--out", "x", "--steps", 1)
        .refused("does not exist");
    run("embed", "--model", model, "--pairs", pairs(), "--out", scratch.resolve("no/where"))
        .refused("no such directory");
    run("embed", "--model", model, "--adapter", taken, "--pairs", pairs(), "--out", taken + "/v")
        .refused(taken.toString());
    run("eval", "--model", model).refused("--pairs or --compositional");
    assertEquals(List.of(taken), inside(scratch));
  }

  @Test
  void refusesADamagedModelByFileAndTensor() throws IOException {
    Path copy = copy(model, scratch.resolve("model"));
    byte[] weights = Files.readAllBytes(copy.resolve("model.safetensors"));
    Files.write(copy.resolve("model.safetensors"), Arrays.copyOf(weights, weights.length - 9));
    run("eval", "--model", copy, "--pairs", pairs()).refused("model.safetensors", "tensor ");
    Files.write(copy.resolve("model.safetensors"), weights);
    Files.delete(copy.resolve("tokenizer.json"));
    run("eval", "--model", copy, "--pairs", pairs()).refused("tokenizer.json");
  }

  @Test
  void plansWhatTrainingThenCounts() throws IOException {
    JsonNode plan =
        run("plan", "--model", model, "--batch", 8, "--rank", 4, "--soft-prompts", 3, "--json")
            .json();
    Path out = scratch.resolve("adapter");
    train(out).json();
    AdapterArtifact artifact = AdapterCodec.read(out);
    long values =
        artifact.weights().lora().values().stream().mapToLong(t -> t.data().length).sum()
            + artifact.weights().softImage().data().length
            + artifact.weights().softText().data().length
            + 1;
    assertEquals(values, plan.get("trainable").asLong());
    // A family with one size of pictures: any costs the same.
    JsonNode large =
        run("plan", "--model", model, "--batch", 8, "--image-size", "1024x768", "--json").json();
    assertEquals(plan.get("imageTokens"), large.get("imageTokens"));
    assertEquals(plan.get("mostImageTokens"), large.get("imageTokens"));
    run("plan", "--model", model, "--image-size", "1024").refused("--image-size", "1024x768");
    assertEquals(12 * values, plan.get("checkpointBytes").asLong());
    assertTrue(plan.get("flopsPerStep").asDouble() > 0);
    JsonNode memory = plan.get("memoryBytes");
    assertTrue(memory.get("total").asLong() > memory.get("weights").asLong());
    JsonNode chunked = run("plan", "--model", model, "--batch", 8, "--chunk", 2, "--json").json();
    JsonNode whole = run("plan", "--model", model, "--batch", 8, "--json").json();
    assertTrue(
        chunked.at("/memoryBytes/activations").asLong()
            < whole.at("/memoryBytes/activations").asLong());
    assertEquals(whole.get("flopsPerStep").asDouble(), chunked.get("flopsPerStep").asDouble());
  }

  /** A plan reads no weight of its own accord. */
  @Test
  void verifyReadsAllWeightsWhereACommandWouldNot() throws IOException {
    Path copy = copy(model, scratch.resolve("damaged"));
    run("plan", "--model", copy, "--verify", "--json").json();
    byte[] weights = Files.readAllBytes(copy.resolve("model.safetensors"));
    long header = ByteBuffer.wrap(weights).order(ByteOrder.LITTLE_ENDIAN).getLong();
    Arrays.fill(weights, (int) (Long.BYTES + header), weights.length, (byte) 0xff); // NaN
    Files.write(copy.resolve("model.safetensors"), weights);
    run("plan", "--model", copy, "--json").json();
    run("plan", "--model", copy, "--verify", "--json").refused("model.safetensors", "not finite");
  }

  @Test
  void progressIsABarOnATerminalAndRareLinesElsewhere() {
    StringWriter bar = new StringWriter();
    Progress terminal = new Progress(new PrintWriter(bar), "training", 4, true);
    terminal.at(4, "loss 1");
    terminal.done();
    assertTrue(bar.toString().startsWith("\rtraining [####"), bar.toString());
    assertTrue(bar.toString().contains("4/4 loss 1"), bar.toString());
    StringWriter log = new StringWriter();
    Progress file = new Progress(new PrintWriter(log), "training", 4, false);
    for (int i = 1; i <= 4; i++) {
      file.at(i, "loss 1");
    }
    file.done();
    assertEquals("", log.toString());
  }
}
