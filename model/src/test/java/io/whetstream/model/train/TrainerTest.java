package io.whetstream.model.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.BadInputException;
import io.whetstream.model.Golden;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.Embedder;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.lvlm.PromptTemplates;
import io.whetstream.model.text.TextTokenizer;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the trainer promises its callers, shown on a small real model. */
class TrainerTest {
  private static Checkpoint checkpoint;
  private static Lvlm model;
  private static TextTokenizer tokenizer;

  @BeforeAll
  static void openModel() {
    Path directory =
        Golden.directories(Golden.holding("model.safetensors").and(Golden.holding("e2e.json")))
            .get(0);
    checkpoint = Checkpoint.open(directory);
    model = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP32, "cpu", 1));
    tokenizer = TextTokenizer.open(directory);
  }

  @AfterAll
  static void closeModel() {
    tokenizer.close();
    model.close();
    checkpoint.close();
  }

  private static TrainingConfig config() {
    AdapterConfig a = TrainingConfig.defaults().adapter();
    AdapterConfig adapter =
        new AdapterConfig(
            4,
            8,
            false,
            0.1,
            a.targetModules(),
            "<image>[one word for it:]",
            "<text>[one word for it:]",
            3,
            3);
    return TrainingConfig.defaults().withAdapter(adapter).withSeed(11);
  }

  private static List<PreparedPair> batch(int number, int pairs) {
    Random random = new Random(number);
    int edge = model.config().vision().imageSize();
    ImageGeometry picture = ImageGeometry.whole(edge, edge, model.config().imageTokens());
    List<PreparedPair> batch = new ArrayList<>();
    for (int i = 0; i < pairs; i++) {
      float[] pixels = new float[3 * edge * edge];
      for (int j = 0; j < pixels.length; j++) {
        pixels[j] = (float) random.nextGaussian();
      }
      long[] shortCaption = i % 4 == 3 ? null : ids(random, 3 + random.nextInt(5));
      long[] longCaption = i % 3 == 1 ? null : ids(random, 8 + random.nextInt(9));
      if (shortCaption == null && longCaption == null) {
        longCaption = ids(random, 5);
      }
      String id = "pair-" + number + "-" + i;
      batch.add(
          new PreparedPair(id, new ModelImage(picture, pixels), shortCaption, longCaption, id, id));
    }
    return batch;
  }

  private static long[] ids(Random random, int count) {
    return random.longs(count, 3, 200).toArray();
  }

  private static AdapterWeights train(int steps) {
    try (Trainer trainer = Trainer.create(model, tokenizer, config())) {
      for (int step = 0; step < steps; step++) {
        trainer.step(batch(step, 6));
      }
      return trainer.weights();
    }
  }

  @Test
  void sameSeedAndDataGiveTheSameDigest() {
    assertEquals(train(3).digest(), train(3).digest());
    assertNotEquals(train(3).digest(), train(4).digest());
  }

  @Test
  void stateWrittenAndReadInMidRunGivesTheDigestOfTheUnbrokenRun() throws IOException {
    String unbroken = train(5).digest();
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (Trainer trainer = Trainer.create(model, tokenizer, config())) {
      for (int step = 0; step < 2; step++) {
        trainer.step(batch(step, 6));
      }
      trainer.writeState(new DataOutputStream(bytes));
    }
    try (Trainer trainer = Trainer.create(model, tokenizer, config())) {
      trainer.readState(new DataInputStream(new ByteArrayInputStream(bytes.toByteArray())));
      assertEquals(2, trainer.stepNumber());
      for (int step = 2; step < 5; step++) {
        trainer.step(batch(step, 6));
      }
      assertEquals(unbroken, trainer.weights().digest());
    }
  }

  /** The test above must be able to fail: without moments the run goes elsewhere. */
  @Test
  void weightsAloneAreNotEnoughToGoOn() {
    String unbroken = train(5).digest();
    AdapterWeights afterTwo = train(2);
    try (Trainer trainer = Trainer.create(model, tokenizer, config())) {
      trainer.step(batch(0, 6));
      trainer.step(batch(1, 6));
      trainer.load(afterTwo, true);
      for (int step = 2; step < 5; step++) {
        trainer.step(batch(step, 6));
      }
      assertNotEquals(unbroken, trainer.weights().digest());
    }
  }

  @Test
  void stateOfAnotherConfigurationIsRefusedAndChangesNothing() throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (Trainer trainer = Trainer.create(model, tokenizer, config())) {
      trainer.step(batch(0, 6));
      trainer.writeState(new DataOutputStream(bytes));
    }
    AdapterConfig a = config().adapter();
    AdapterConfig other =
        new AdapterConfig(
            2,
            8,
            false,
            0.1,
            a.targetModules(),
            a.imageTemplate(),
            a.textTemplate(),
            a.softImage(),
            a.softText());
    try (Trainer trainer = Trainer.create(model, tokenizer, config().withAdapter(other))) {
      String before = trainer.weights().digest();
      BadInputException refusal =
          assertThrows(
              BadInputException.class,
              () ->
                  trainer.readState(
                      new DataInputStream(new ByteArrayInputStream(bytes.toByteArray()))));
      assertTrue(refusal.getMessage().contains("rank=4"), refusal.getMessage());
      assertEquals(before, trainer.weights().digest());
    }
  }

  @Test
  void aFreshAdapterWithoutTrainingEmbedsAsTheBaseWithItsHandPrompt() {
    List<PreparedPair> pairs = batch(3, 4);
    List<ModelImage> images = pairs.stream().map(PreparedPair::image).toList();
    AdapterConfig a = config().adapter();
    int words = tokenizer.encode("one word for it:").length;
    AdapterConfig asLong =
        new AdapterConfig(
            4, 8, false, 0, a.targetModules(), a.imageTemplate(), a.textTemplate(), words, words);
    try (Trainer trainer = Trainer.create(model, tokenizer, config().withAdapter(asLong))) {
      float[][] base = trainer.embedImages(null, images);
      float[][] fresh = trainer.embedImages(trainer.weights(), images);
      for (int i = 0; i < base.length; i++) {
        assertArrayEquals(base[i], fresh[i], 1e-6f);
      }
    }
  }

  @Test
  void pairsMayHaveEitherCaptionOrBoth() {
    try (Trainer trainer = Trainer.create(model, tokenizer, config())) {
      List<PreparedPair> all = batch(1, 12);
      List<PreparedPair> onlyShort =
          all.stream().filter(pair -> pair.longCaption() == null).toList();
      List<PreparedPair> onlyLong =
          all.stream().filter(pair -> pair.shortCaption() == null).toList();
      StepReport both = trainer.step(all);
      assertTrue(both.lossContrastive() > 0 && both.lossNextToken() > 0);
      StepReport contrastive = trainer.step(onlyShort);
      assertTrue(contrastive.lossContrastive() > 0 && Double.isNaN(contrastive.lossNextToken()));
      StepReport tokens = trainer.step(onlyLong);
      assertTrue(Double.isNaN(tokens.lossContrastive()) && tokens.lossNextToken() > 0);
      assertEquals(3, trainer.stepNumber());
    }
  }

  @Test
  void captionsThatSpellSpecialTokensAreTrainedOn() {
    String caption = "a <image> of </s> <pad>";
    try (Trainer trainer = Trainer.create(model, tokenizer, config())) {
      assertEquals(1, trainer.step(List.of(spelling(tokenizer.encode(caption)))).step());
      // Its counterpart: had the name become the token, the trainer would not take it.
      PreparedPair token = spelling(tokenizer.encodePrompt(caption));
      BadInputException e =
          assertThrows(BadInputException.class, () -> trainer.step(List.of(token)));
      assertTrue(e.getMessage().contains("stands for an image"), e.getMessage());
    }
  }

  private static PreparedPair spelling(long[] ids) {
    PreparedPair any = batch(0, 1).get(0);
    return new PreparedPair("spelling", any.image(), ids, ids, "image", "caption");
  }

  /** Without digests nobody knows whether two pictures are one, so each is its pair's own. */
  @Test
  void pairsWithoutImageDigestsAreTrainedOnTheirOwnPictures() {
    List<PreparedPair> pairs = batch(4, 2);
    List<PreparedPair> unknown =
        pairs.stream()
            .map(
                p ->
                    new PreparedPair(
                        p.id(), p.image(), p.shortCaption(), p.longCaption(), null, null))
            .toList();
    try (Trainer known = Trainer.create(model, tokenizer, config());
        Trainer trainer = Trainer.create(model, tokenizer, config())) {
      assertEquals(known.step(pairs).lossContrastive(), trainer.step(unknown).lossContrastive());
      assertEquals(known.weights().digest(), trainer.weights().digest());
    }
  }

  /**
   * Moments that begin anew are corrected as new ones, however many steps the trainer has taken.
   */
  @Test
  void theFirstStepAfterClearingMomentsIsAsLongAsAFirstStep() {
    AdapterConfig a = config().adapter();
    AdapterConfig undropped =
        new AdapterConfig(
            a.rank(),
            a.alpha(),
            a.rsLora(),
            0,
            a.targetModules(),
            a.imageTemplate(),
            a.textTemplate(),
            a.softImage(),
            a.softText());
    TrainingConfig.Optimizer o = config().optimizer();
    TrainingConfig steady =
        config()
            .withAdapter(undropped)
            .withOptimizer(
                new TrainingConfig.Optimizer(
                    o.learningRate(),
                    o.beta1(),
                    o.beta2(),
                    o.epsilon(),
                    o.weightDecay(),
                    o.clipNorm(),
                    0,
                    o.schedule(),
                    o.totalSteps()));
    try (Trainer fresh = Trainer.create(model, tokenizer, steady);
        Trainer returned = Trainer.create(model, tokenizer, steady)) {
      AdapterWeights start = fresh.weights();
      for (int step = 0; step < 5; step++) {
        returned.step(batch(step, 6));
      }
      returned.load(start, true);
      for (int step = 7; step < 9; step++) {
        fresh.step(batch(step, 6));
        returned.step(batch(step, 6));
        assertEquals(fresh.weights().digest(), returned.weights().digest());
      }
      assertEquals(7, returned.stepNumber());
    }
  }

  @Test
  void aSkippedStepIsReportedAndNotCounted() {
    try (Trainer trainer = Trainer.create(model, tokenizer, config())) {
      trainer.step(batch(0, 6));
      String before = trainer.weights().digest();
      List<PreparedPair> bad = batch(1, 6);
      bad.get(2).image().pixels()[0] = Float.POSITIVE_INFINITY;
      assertTrue(trainer.step(bad).skipped());
      assertEquals(1, trainer.stepNumber());
      assertEquals(before, trainer.weights().digest());
    }
  }

  @Test
  void repeatedStepsOnOneBatchLowerBothLosses() {
    try (Trainer trainer = Trainer.create(model, tokenizer, config())) {
      List<PreparedPair> batch = batch(2, 8);
      StepReport first = trainer.step(batch);
      StepReport last = first;
      for (int step = 0; step < 30; step++) {
        last = trainer.step(batch);
      }
      assertTrue(last.lossContrastive() < 0.5 * first.lossContrastive(), last.toString());
      assertTrue(last.lossNextToken() < first.lossNextToken(), last.toString());
    }
  }

  /** A directory of PEFT has LoRA and neither prompts nor soft vectors. */
  @Test
  void aBareAdapterIsEmbeddedAndTrainedWithThePromptsThatAreConfigured() {
    List<PreparedPair> pairs = batch(3, 4);
    List<long[]> captions =
        pairs.stream().map(PreparedPair::shortCaption).filter(Objects::nonNull).toList();
    List<ModelImage> images = pairs.stream().map(PreparedPair::image).toList();
    try (Trainer first = Trainer.create(model, tokenizer, config())) {
      first.step(pairs);
      AdapterConfig a = first.config().adapter();
      AdapterConfig withoutPrompts =
          new AdapterConfig(
              a.rank(), a.alpha(), a.rsLora(), 0, a.targetModules(), null, null, 0, 0);
      AdapterWeights bare =
          new AdapterWeights(withoutPrompts, first.weights().lora(), null, null, 0);

      Embedder embedder = new Embedder(model, tokenizer, PromptTemplates.defaults(), 2);
      assertEquals(captions.size(), embedder.embedTexts(bare, captions).length);
      assertNotEquals(
          embedder.embedImages(null, images)[0][0], embedder.embedImages(bare, images)[0][0]);

      try (Trainer second = Trainer.from(model, tokenizer, config(), bare)) {
        assertEquals("<text>[one word for it:]", second.config().adapter().textTemplate());
        assertEquals(0, second.config().adapter().softText());
        StepReport report = second.step(pairs);
        assertTrue(Double.isFinite(report.lossContrastive()));
        assertNotEquals(bare.digest(), second.weights().digest());
      }
    }
  }

  @Test
  void aBaseThatIsTrainedWithDropoutOfAttentionIsRefusedForTrainingAlone(@TempDir Path scratch)
      throws IOException {
    try (Stream<Path> files = Files.list(checkpoint.directory())) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        Files.copy(file, scratch.resolve(file.getFileName().toString()));
      }
    }
    ObjectMapper json = new ObjectMapper();
    ObjectNode config = (ObjectNode) json.readTree(scratch.resolve("config.json").toFile());
    ((ObjectNode) config.get("text_config")).put("attention_dropout", 0.1);
    json.writeValue(scratch.resolve("config.json").toFile(), config);
    try (Checkpoint dropping = Checkpoint.open(scratch);
        Lvlm base = Lvlm.open(dropping, new LvlmOptions(Precision.FP32, "cpu", 1))) {
      assertEquals(checkpoint.digest(), dropping.digest(), "it means nothing where nobody trains");
      BadInputException e =
          assertThrows(
              BadInputException.class, () -> Trainer.create(base, tokenizer, config()).close());
      assertTrue(e.getMessage().contains("attention_dropout of 0.1"), e.getMessage());
      assertTrue(e.getMessage().contains("set it to 0"), e.getMessage());
    }
  }
}
