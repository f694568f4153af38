package io.whetstream.model.adapter;

import io.whetstream.model.checkpoint.FloatTensor;
import java.util.List;
import java.util.Random;
import java.util.SortedMap;
import java.util.TreeMap;

/** Small adapters with random tensors. */
final class Adapters {
  private Adapters() {}

  static AdapterWeights random(long seed, int rank, int softImage, int softText) {
    Random random = new Random(seed);
    AdapterConfig config =
        new AdapterConfig(
            rank,
            16,
            false,
            0.1,
            List.of("q_proj", "down_proj"),
            "<image>[a prompt]",
            "<text>[a prompt]",
            softImage,
            softText);
    SortedMap<String, FloatTensor> lora = new TreeMap<>();
    for (int layer = 0; layer < 2 && rank > 0; layer++) {
      for (String module : List.of("self_attn.q_proj", "mlp.down_proj")) {
        String name = "language_model.model.layers." + layer + "." + module;
        lora.put(name + ".lora_A.weight", tensor(random, rank, 8));
        lora.put(name + ".lora_B.weight", tensor(random, 8, rank));
      }
    }
    return new AdapterWeights(
        config,
        lora,
        softImage == 0 ? null : tensor(random, softImage, 8),
        softText == 0 ? null : tensor(random, softText, 8),
        3.5f);
  }

  static FloatTensor tensor(Random random, int rows, int columns) {
    float[] data = new float[rows * columns];
    for (int i = 0; i < data.length; i++) {
      data[i] = (float) random.nextGaussian();
    }
    return new FloatTensor(new long[] {rows, columns}, data);
  }

  static AdapterArtifact artifact(AdapterWeights weights, long step) {
    TreeMap<String, Long> offsets = new TreeMap<>();
    offsets.put("pairs-0", 17L * step);
    TreeMap<String, Double> metrics = new TreeMap<>();
    metrics.put("recallT2i", 0.625);
    TreeMap<String, Object> training = new TreeMap<>();
    training.put("learningRate", 1e-4);
    TreeMap<String, Calibration.Curve> curves = new TreeMap<>();
    curves.put("text-image", new Calibration.Curve(100, List.of(0.01, 0.1), List.of(0.7, 0.4)));
    return new AdapterArtifact(
        weights,
        AdapterManifest.builder(weights, "ab".repeat(32)).stream("default")
            .version(new AdapterManifest.Version(1, step))
            .step(step)
            .pairs(64 * step)
            .offsets(offsets)
            .metrics(metrics)
            .training(training)
            .calibration(new Calibration(curves))
            .driftEvents(
                List.of(
                    new AdapterManifest.DriftEvent(step, 64, "recallT2i", 0.9, 0.5, "recorded")))
            .build());
  }
}
