package io.whetstream.model.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.adapter.PromptEncoding;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.SafeTensors;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.lvlm.Embedder;
import io.whetstream.model.lvlm.Lvlm;
import io.whetstream.model.lvlm.LvlmOptions;
import io.whetstream.model.lvlm.Precision;
import io.whetstream.model.lvlm.PromptTemplates;
import io.whetstream.model.text.TextTokenizer;
import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * An adapter and a trainer's state written by the first release, whose prompts ("USER:
 * &lt;image&gt;\n[…]") it encoded in pieces, without the line break.
 */
class FirstReleaseTest {
  private static final Path FROZEN = Path.of("src", "test", "resources", "frozen", "adapter-v1");
  private static final Path MODEL = Path.of("src", "test", "resources", "golden", "llava-tiny");
  private static final List<String> CAPTIONS =
      List.of("a brown dog", "two cats.", " a [blank] first");

  private Checkpoint checkpoint;
  private TextTokenizer tokenizer;
  private Lvlm model;

  @BeforeEach
  void open() {
    checkpoint = Checkpoint.open(MODEL);
    tokenizer = TextTokenizer.open(MODEL);
    model = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP32, "cpu", 1));
  }

  @AfterEach
  void close() {
    model.close();
    tokenizer.close();
    checkpoint.close();
  }

  @Test
  void itsAdapterKeepsDigestPromptsAndVectors() {
    AdapterArtifact artifact = AdapterCodec.read(FROZEN.resolve("adapter"));
    assertEquals(
        "749b4b02f7ce8b717d36b6c91bed40c528715872ed463790edba5457d1e566b8", artifact.digest());
    AdapterWeights weights = artifact.weights();
    assertEquals(PromptEncoding.PIECES, weights.config().promptEncoding());
    Embedder embedder = new Embedder(model, tokenizer, PromptTemplates.defaults(), 8);
    float[][] vectors =
        embedder.embedTexts(weights, CAPTIONS.stream().map(tokenizer::encode).toList());
    float[] flat = new float[vectors.length * vectors[0].length];
    for (int i = 0; i < vectors.length; i++) {
      System.arraycopy(vectors[i], 0, flat, i * vectors[i].length, vectors[i].length);
    }
    try (SafeTensors expected = SafeTensors.open(FROZEN.resolve("expected.safetensors"))) {
      assertArrayEquals(expected.floats("text"), flat, 1e-6f);
    }
    long[] row = embedder.sequences(weights).imageRow(ImageGeometry.whole(64, 64, 16), false);
    assertArrayEquals(
        Stream.of("USER: ", "Summary above image in one word:", " ASSISTANT:")
            .flatMapToLong(piece -> Arrays.stream(tokenizer.encodePrompt(piece)))
            .toArray(),
        Arrays.stream(row).filter(id -> id != 1 && id != 318).toArray());
  }

  @Test
  void itsManifestIsWrittenAsItWas() throws IOException {
    assertArrayEquals(
        Files.readAllBytes(FROZEN.resolve("adapter").resolve("manifest.json")),
        AdapterCodec.read(FROZEN.resolve("adapter")).manifest().toBytes());
  }

  @Test
  void itsTrainingGoesOnIfToldToAndIsRefusedWithTheRemedyElse() throws IOException {
    AdapterConfig config = AdapterCodec.read(FROZEN.resolve("adapter")).weights().config();
    byte[] state = Files.readAllBytes(FROZEN.resolve("trainer-state"));
    try (Trainer trainer = trainer(config)) {
      trainer.readState(new DataInputStream(new ByteArrayInputStream(state)));
      assertEquals(5, trainer.stepNumber());
      assertEquals(
          AdapterCodec.read(FROZEN.resolve("adapter")).digest(), trainer.weights().digest());
    }
    try (Trainer trainer = trainer(config.withPromptEncoding(PromptEncoding.WHOLE))) {
      BadInputException e =
          assertThrows(
              BadInputException.class,
              () -> trainer.readState(new DataInputStream(new ByteArrayInputStream(state))));
      assertTrue(e.getMessage().contains("adapter.promptEncoding: PIECES"), e.getMessage());
    }
  }

  private Trainer trainer(AdapterConfig config) {
    return Trainer.create(model, tokenizer, TrainingConfig.defaults().withAdapter(config));
  }
}
