package io.whetstream.jobs.score;

import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.adapter.Calibration;
import io.whetstream.model.adapter.PromptEncoding;
import io.whetstream.model.checkpoint.FloatTensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Stream;

/** A LLaVA with small random weights from the golden files, and random adapters for it. */
public final class TinyModel {
  private static final int WIDTH = 64;
  private static final int KEYS = 32;
  private static final int LAYERS = 3;

  private TinyModel() {}

  /** A copy of the model: exported graphs are written into it. */
  public static Path copy(Path to) {
    Path golden = Path.of("../model/src/test/resources/golden/llava-tiny");
    try {
      Files.createDirectories(to);
      try (Stream<Path> files = Files.list(golden)) {
        for (Path file : files.filter(Files::isRegularFile).toList()) {
          Files.copy(file, to.resolve(file.getFileName().toString()));
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return to;
  }

  public static AdapterArtifact adapter(
      long n, int rank, String baseDigest, Calibration calibration) {
    Random random = new Random(n);
    AdapterConfig config =
        new AdapterConfig(
            rank,
            rank,
            false,
            0,
            List.of("q_proj", "v_proj"),
            "<image>[short summary of the image :]",
            "<text>[short summary of the text :]",
            3,
            3,
            PromptEncoding.PIECES); // as the trainer settles these templates
    SortedMap<String, FloatTensor> lora = new TreeMap<>();
    for (int layer = 0; layer < LAYERS; layer++) {
      for (String module : List.of("q_proj", "v_proj")) {
        String name = "language_model.model.layers." + layer + ".self_attn." + module;
        lora.put(name + ".lora_A.weight", tensor(random, rank, WIDTH));
        lora.put(
            name + ".lora_B.weight", tensor(random, module.equals("q_proj") ? WIDTH : KEYS, rank));
      }
    }
    AdapterWeights weights =
        new AdapterWeights(config, lora, tensor(random, 3, WIDTH), tensor(random, 3, WIDTH), 3.5f);
    return new AdapterArtifact(
        weights,
        AdapterManifest.builder(weights, baseDigest).stream("default")
            .version(new AdapterManifest.Version(0, n))
            .step(n)
            .calibration(calibration)
            .build());
  }

  private static FloatTensor tensor(Random random, int rows, int columns) {
    float[] data = new float[rows * columns];
    for (int i = 0; i < data.length; i++) {
      data[i] = (float) random.nextGaussian() * 0.2f;
    }
    return new FloatTensor(new long[] {rows, columns}, data);
  }
}
