package io.whetstream.model.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.Golden;
import io.whetstream.model.GoldenBatch;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.FloatTensor;
import io.whetstream.model.checkpoint.SafeTensors;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.AdapterLayout;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.lvlm.Row;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;

/**
 * Losses, gradients and AdamW trajectories of LoRA and soft prompts against Hugging Face PEFT and
 * PyTorch's optimizer, at every golden adapter directory.
 */
@Tag("golden")
class LoraGoldenTest {
  private static final double LEARNING_RATE = 1e-3;

  /** One golden directory, opened; closes what it opened. */
  private static final class Fixture implements AutoCloseable {
    final Checkpoint checkpoint;
    final Lvlm model;
    final SafeTensors inputs;
    final SafeTensors expected;
    final JsonNode losses;
    final AdapterWeights weights;
    final AdapterLayout layout;
    final Path directory;

    Fixture(Path directory, Precision precision) throws Exception {
      this.directory = directory;
      ObjectMapper json = new ObjectMapper();
      JsonNode config = json.readTree(directory.resolve("adapter/adapter_config.json").toFile());
      String base = config.get("base_model_name_or_path").asText();
      // PEFT records the base relative to where the adapter was written: golden siblings.
      checkpoint =
          Checkpoint.open(
              directory.endsWith("lora")
                  ? directory.getParent()
                  : directory.resolveSibling(Path.of(base).getFileName()));
      model = Lvlm.open(checkpoint, new LvlmOptions(precision, "cpu", 1));
      inputs = SafeTensors.open(directory.resolve("inputs.safetensors"));
      expected = SafeTensors.open(directory.resolve("expected.safetensors"));
      losses = json.readTree(directory.resolve("losses.json").toFile());
      TreeMap<String, FloatTensor> lora = new TreeMap<>();
      try (SafeTensors tensors =
          SafeTensors.open(directory.resolve("adapter/adapter_model.safetensors"))) {
        for (String name : tensors.tensors().keySet()) {
          lora.put(
              canonical(name),
              new FloatTensor(tensors.tensors().get(name).shape(), tensors.floats(name)));
        }
      }
      try (SafeTensors soft = SafeTensors.open(directory.resolve("soft_prompts.safetensors"))) {
        FloatTensor image = tensor(soft, "soft_prompt.image");
        FloatTensor text = tensor(soft, "soft_prompt.text");
        JsonNode targets = config.get("target_modules");
        List<String> modules = new ArrayList<>();
        if (targets.isTextual()) {
          modules.add(targets.asText());
        } else {
          targets.forEach(target -> modules.add(target.asText()));
        }
        weights =
            new AdapterWeights(
                new AdapterConfig(
                    config.get("r").asInt(),
                    config.get("lora_alpha").asDouble(),
                    config.path("use_rslora").asBoolean(),
                    0,
                    modules,
                    "<image>[p]",
                    "<text>[q]",
                    (int) image.shape()[0],
                    (int) text.shape()[0]),
                lora,
                image,
                text,
                soft.floats("logit_scale")[0]);
      }
      layout = new AdapterLayout(model.config(), weights.config());
    }

    private static FloatTensor tensor(SafeTensors file, String name) {
      return new FloatTensor(file.tensors().get(name).shape(), file.floats(name));
    }

    int pairs() {
      return (int) inputs.tensors().get("image.input_ids").shape()[0];
    }

    List<ModelImage> images() {
      if (losses.has("images") && losses.get("images").get(0).asText().startsWith("../..")) {
        ImageProcessor processor = ImageProcessor.open(directory.getParent());
        List<ModelImage> images = new ArrayList<>();
        losses
            .get("images")
            .forEach(
                file ->
                    images.add(
                        processor.process(GoldenBatch.picture(directory.resolve(file.asText())))));
        return images;
      }
      float[] all = inputs.floats("pixel_values");
      int size = all.length / pairs();
      int side = model.config().vision().imageSize();
      ImageGeometry picture = ImageGeometry.whole(side, side, model.config().imageTokens());
      return IntStream.range(0, pairs())
          .mapToObj(i -> Arrays.copyOfRange(all, i * size, (i + 1) * size))
          .map(values -> new ModelImage(picture, values))
          .toList();
    }

    /** The real tokens of one row. */
    long[] ids(String kind, int row) {
      long[] mask = inputs.longs(kind + ".attention_mask");
      long[] ids = inputs.longs(kind + ".input_ids");
      int length = (int) inputs.tensors().get(kind + ".input_ids").shape()[1];
      int real = (int) Arrays.stream(mask, row * length, (row + 1) * length).sum();
      return Arrays.copyOfRange(ids, row * length, row * length + real);
    }

    /** Image and text rows with soft vectors before the last token. */
    List<Row> contrastiveRows() {
      List<Row> rows = new ArrayList<>();
      for (int i = 0; i < pairs(); i++) {
        long[] ids = ids("image", i);
        rows.add(
            Row.embedding(insert(ids, ids.length - 1, weights.config().softImage()), false, i));
      }
      for (int i = 0; i < pairs(); i++) {
        long[] ids = ids("text", i);
        rows.add(Row.embedding(insert(ids, ids.length - 1, weights.config().softText()), true));
      }
      return rows;
    }

    /** Next-token rows: image, prompt, caption, with or without soft vectors. */
    List<Row> nextTokenRows(boolean soft) {
      int length = (int) inputs.tensors().get("ntp.input_ids").shape()[1];
      long[] labels = inputs.longs("ntp.labels");
      long[] prompts = inputs.longs("ntp.prompt_length");
      List<Row> rows = new ArrayList<>();
      for (int i = 0; i < pairs(); i++) {
        long[] ids = ids("ntp", i);
        long[] targets = new long[ids.length];
        Arrays.fill(targets, -1);
        for (int t = 0; t + 1 < ids.length; t++) {
          targets[t] = labels[i * length + t + 1];
        }
        if (soft) {
          int at = (int) prompts[i] - 1;
          int count = weights.config().softImage();
          long[] longer = new long[ids.length + count];
          Arrays.fill(longer, -1);
          System.arraycopy(targets, at, longer, at + count, targets.length - at);
          targets = longer;
          ids = insert(ids, at, count);
        }
        for (int t = 0; t < targets.length; t++) {
          targets[t] = targets[t] < 0 ? -1 : targets[t];
        }
        rows.add(new Row(ids, new int[] {i}, null, false, -1, targets, 0));
      }
      return rows;
    }

    private static long[] insert(long[] ids, int at, int soft) {
      long[] longer = new long[ids.length + soft];
      System.arraycopy(ids, 0, longer, 0, at);
      for (int k = 0; k < soft; k++) {
        longer[at + k] = -(k + 1);
      }
      System.arraycopy(ids, at, longer, at + soft, ids.length - at);
      return longer;
    }

    TrainingBatch batch(boolean contrastive, Boolean softNextToken) {
      List<Row> rows = new ArrayList<>();
      int pairs = pairs();
      if (contrastive) {
        rows.addAll(contrastiveRows());
      }
      if (softNextToken != null) {
        rows.addAll(nextTokenRows(softNextToken));
      }
      int[] image = contrastive ? IntStream.range(0, pairs).toArray() : new int[0];
      int[] text = contrastive ? IntStream.range(pairs, 2 * pairs).toArray() : new int[0];
      return new TrainingBatch(rows, images(), image, text, new boolean[pairs * pairs]);
    }

    TrainingConfig config(boolean trainScale, int chunk) {
      return new TrainingConfig(
          weights.config(),
          new TrainingConfig.Objective(
              1, 1, 14, trainScale, 100, 0, TrainingConfig.FalseNegatives.KEEP, 0),
          new TrainingConfig.Optimizer(
              LEARNING_RATE, 0.9, 0.999, 1e-8, 0.01, 0, 0, TrainingConfig.Schedule.CONSTANT, 0),
          chunk,
          0);
    }

    StepEngine engine(boolean trainScale, int chunk) {
      return new StepEngine(model, layout, config(trainScale, chunk), layout.flatten(weights));
    }

    @Override
    public void close() {
      model.close();
      checkpoint.close();
      inputs.close();
      expected.close();
    }
  }

  /** The canonical name of a tensor that PEFT wrote with any release of transformers. */
  private static String canonical(String name) {
    return name.replaceFirst(
        "^base_model\\.model\\.(model\\.(language_model|text_model)|language_model\\.model)\\.",
        "language_model.model.");
  }

  private interface Check {
    void run(Fixture fixture) throws Exception;
  }

  private static Stream<DynamicTest> each(Check check) {
    return each(Precision.FP32, check);
  }

  private static Stream<DynamicTest> each(Precision precision, Check check) {
    List<Path> found = new ArrayList<>(Golden.directories(Golden.holding("losses.json")));
    Golden.directories(Golden.holding("lora/losses.json"))
        .forEach(family -> found.add(family.resolve("lora")));
    assertFalse(found.isEmpty(), "no golden adapter under " + Golden.root());
    return found.stream()
        .map(
            directory ->
                dynamicTest(
                    Golden.root().relativize(directory).toString(),
                    () -> {
                      try (Fixture fixture = new Fixture(directory, precision)) {
                        check.run(fixture);
                      }
                    }));
  }

  @TestFactory
  Stream<DynamicTest> lossesAreThoseOfTheReference() {
    return each(
        f -> {
          JsonNode want = f.losses.get("losses");
          for (int chunk : new int[] {0, 3}) {
            try (StepEngine engine = f.engine(true, chunk)) {
              StepEngine.Outcome plain = engine.gradient(f.batch(true, false));
              assertEquals(want.get("loss_itc").asDouble(), plain.lossContrastive(), 1e-5);
              assertEquals(want.get("loss_ntp_plain").asDouble(), plain.lossNextToken(), 1e-5);
              StepEngine.Outcome soft = engine.gradient(f.batch(false, true));
              assertEquals(want.get("loss_ntp_soft").asDouble(), soft.lossNextToken(), 1e-5);
            }
          }
        });
  }

  @TestFactory
  Stream<DynamicTest> everyGradientIsThatOfTheReference() {
    return each(
        f -> {
          try (SafeTensors want = SafeTensors.open(f.directory.resolve("grads.safetensors"))) {
            for (int chunk : new int[] {0, 1, 3}) {
              try (StepEngine engine = f.engine(true, chunk)) {
                compareGradients(f, want, "loss_itc", engine.gradient(f.batch(true, null)));
                compareGradients(f, want, "loss_ntp_plain", engine.gradient(f.batch(false, false)));
                compareGradients(f, want, "loss_ntp_soft", engine.gradient(f.batch(false, true)));
              }
            }
          }
        });
  }

  private static void compareGradients(
      Fixture f, SafeTensors want, String loss, StepEngine.Outcome outcome) {
    float[] flat = new float[outcome.gradient().length];
    for (int i = 0; i < flat.length; i++) {
      flat[i] = (float) outcome.gradient()[i];
    }
    Map<String, float[]> got = named(f, flat);
    Map<String, String> keys = keys(want);
    int compared = 0;
    for (Map.Entry<String, float[]> entry : got.entrySet()) {
      String key = keys.get(loss + "/" + entry.getKey());
      boolean recorded = key != null;
      float[] expected = recorded ? want.floats(key) : new float[entry.getValue().length];
      double scale = recorded ? 0 : 1;
      for (float value : expected) {
        scale = Math.max(scale, Math.abs(value));
      }
      double largest = largest(expected, entry.getValue());
      assertTrue(
          largest <= 1e-4 * scale,
          loss + entry.getKey() + " differs by " + largest + " of " + scale);
      compared += recorded ? 1 : 0;
    }
    long recorded =
        want.tensors().keySet().stream().filter(key -> key.startsWith(loss + "/")).count();
    assertEquals(recorded, compared, loss);
  }

  /** The recorded names by those with canonical modules. */
  private static Map<String, String> keys(SafeTensors recorded) {
    Map<String, String> keys = new TreeMap<>();
    for (String name : recorded.tensors().keySet()) {
      int at = name.indexOf('/') + 1;
      keys.put(name.substring(0, at) + canonical(name.substring(at)), name);
    }
    return keys;
  }

  private static double largest(float[] a, float[] b) {
    assertEquals(a.length, b.length);
    double largest = 0;
    for (int i = 0; i < a.length; i++) {
      double difference = Math.abs(a[i] - b[i]);
      largest = difference > largest || Double.isNaN(difference) ? difference : largest;
    }
    return Double.isNaN(largest) ? Double.POSITIVE_INFINITY : largest;
  }

  private static Map<String, float[]> named(Fixture f, float[] flat) {
    AdapterWeights weights = f.layout.unflatten(flat);
    Map<String, float[]> named = new TreeMap<>();
    weights.lora().forEach((name, t) -> named.put(name, t.data()));
    named.put("soft_prompt.image", weights.softImage().data());
    named.put("soft_prompt.text", weights.softText().data());
    named.put("logit_scale", new float[] {weights.logitScale()});
    return named;
  }

  @TestFactory
  Stream<DynamicTest> fiveStepsOfAdamwLeadToTheSameParameters() {
    return each(
        f -> {
          trajectory(f, "A", true, false);
          trajectory(f, "B", false, true);
        });
  }

  private static void trajectory(Fixture f, String name, boolean trainScale, boolean soft) {
    Map<String, boolean[]> above = aboveNoise(f, soft ? "loss_ntp_soft" : "loss_ntp_plain");
    for (int chunk : new int[] {0, 3}) {
      try (StepEngine engine = f.engine(trainScale, chunk)) {
        JsonNode losses = f.losses.get("trajectory_" + name).get("losses_before_each_step");
        for (int step = 0; step < 5; step++) {
          StepEngine.Outcome outcome = engine.step(f.batch(true, soft), step);
          assertFalse(outcome.skipped());
          JsonNode want = losses.get(step);
          assertEquals(want.get("loss_itc").asDouble(), outcome.lossContrastive(), 1e-5);
          Path file = f.directory.resolve("params_" + name + "_step" + (step + 1) + ".safetensors");
          if (step == 4 || Files.exists(file)) {
            try (SafeTensors expected = SafeTensors.open(file)) {
              for (Map.Entry<String, float[]> entry : named(f, engine.flat()).entrySet()) {
                float[] values = expected.floats(keys(expected).get(entry.getKey()));
                compareParameters(
                    file + " " + entry.getKey(),
                    values,
                    entry.getValue(),
                    above.getOrDefault(entry.getKey(), new boolean[values.length]),
                    2 * LEARNING_RATE * (step + 1));
              }
            }
          }
        }
      }
    }
  }

  /** Of every kind of tower and decoder, images of several geometries in one batch. */
  @TestFactory
  Stream<DynamicTest> theGradientOfTheWholeLossEqualsFiniteDifferencesIn64Bits() {
    return each(
        Precision.FP64,
        f -> {
          float[] at = f.layout.flatten(f.weights);
          TrainingBatch batch = f.batch(true, true);
          double[] gradient;
          try (StepEngine engine = new StepEngine(f.model, f.layout, f.config(true, 2), at)) {
            gradient = engine.gradient(batch).gradient();
          }
          double largest = Arrays.stream(gradient).map(Math::abs).max().orElseThrow();
          Random random = new Random(41);
          List<Integer> places = new ArrayList<>(List.of(at.length - 1, at.length - 2));
          random.ints(4, 0, at.length).forEach(places::add);
          for (int place : places) {
            // A power of two: 32-bit weights hold it exactly.
            double h = Math.max(Math.ulp(at[place]) * 512, 0x1p-16);
            double above = loss(f, batch, at, place, (float) (at[place] + h));
            double below = loss(f, batch, at, place, (float) (at[place] - h));
            assertEquals(gradient[place], (above - below) / (2 * h), 2e-6 * largest, "at " + place);
          }
        });
  }

  private static double loss(
      Fixture f, TrainingBatch batch, float[] weights, int place, float value) {
    float[] moved = weights.clone();
    moved[place] = value;
    try (StepEngine engine = new StepEngine(f.model, f.layout, f.config(true, 0), moved)) {
      StepEngine.Outcome outcome = engine.gradient(batch);
      return outcome.lossContrastive() + outcome.lossNextToken();
    }
  }

  /**
   * Which elements the reference itself can step surely: where its gradient exceeds ten times the
   * difference between its 32 and its 64 bits. Below, the sign of the gradient is a coin's, and
   * Adam's first step is the learning rate times that sign.
   */
  private static Map<String, boolean[]> aboveNoise(Fixture f, String nextToken) {
    Map<String, boolean[]> above = new TreeMap<>();
    int sure = 0;
    int all = 0;
    try (SafeTensors gradients = SafeTensors.open(f.directory.resolve("grads.safetensors"))) {
      Map<String, String> keys = keys(gradients);
      double noise = 0;
      Map<String, double[]> sums = new TreeMap<>();
      for (String loss : List.of("loss_itc", nextToken)) {
        noise += f.losses.get("f32_vs_f64").get(loss).get("grad_max_abs_diff").asDouble();
        for (Map.Entry<String, String> key : keys.entrySet()) {
          if (key.getKey().startsWith(loss + "/")) {
            float[] values = gradients.floats(key.getValue());
            double[] sum =
                sums.computeIfAbsent(
                    key.getKey().substring(loss.length() + 1), name -> new double[values.length]);
            for (int i = 0; i < sum.length; i++) {
              sum[i] += values[i];
            }
          }
        }
      }
      for (Map.Entry<String, double[]> sum : sums.entrySet()) {
        boolean[] surely = new boolean[sum.getValue().length];
        for (int i = 0; i < surely.length; i++) {
          surely[i] = Math.abs(sum.getValue()[i]) > 10 * noise;
          sure += surely[i] ? 1 : 0;
        }
        all += surely.length;
        above.put(sum.getKey(), surely);
      }
    }
    assertTrue(sure > 0.8 * all, sure + " of " + all + " gradients are above the noise");
    return above;
  }

  /**
   * @param sure which elements must agree
   * @param apart how far two that step by coins may get
   */
  private static void compareParameters(
      String what, float[] want, float[] got, boolean[] sure, double apart) {
    assertEquals(want.length, got.length, what);
    for (int i = 0; i < want.length; i++) {
      double difference = Math.abs(want[i] - got[i]);
      double bound = sure[i] ? 2e-5 : apart;
      assertTrue(difference <= bound, what + " [" + i + "] differs by " + difference);
    }
  }

  /** The comparison must be able to fail: a doubled LoRA scaling moves every gradient. */
  @TestFactory
  Stream<DynamicTest> anotherScalingIsNoticed() {
    return each(
        f -> {
          AdapterConfig c = f.weights.config();
          AdapterConfig doubled =
              new AdapterConfig(
                  c.rank(),
                  2 * c.alpha(),
                  c.rsLora(),
                  0,
                  c.targetModules(),
                  c.imageTemplate(),
                  c.textTemplate(),
                  c.softImage(),
                  c.softText());
          AdapterLayout layout = new AdapterLayout(f.model.config(), doubled);
          TrainingConfig config = f.config(true, 0).withAdapter(doubled);
          try (StepEngine engine =
              new StepEngine(f.model, layout, config, f.layout.flatten(f.weights))) {
            double loss = engine.gradient(f.batch(true, null)).lossContrastive();
            double want = f.losses.get("losses").get("loss_itc").asDouble();
            assertTrue(Math.abs(loss - want) > 1e-3, "loss " + loss);
          }
        });
  }
}
