package io.whetstream.model.onnx;

import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.FloatTensor;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.checkpoint.TextConfig;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ModelImage;
import java.util.List;
import java.util.Random;
import java.util.SortedMap;
import java.util.TreeMap;

/** Adapters with random tensors for any model. */
final class RandomAdapters {
  private RandomAdapters() {}

  static AdapterWeights weights(
      ModelConfig model, long seed, int rank, List<String> modules, int softImage, int softText) {
    Random random = new Random(seed);
    TextConfig text = model.text();
    AdapterConfig config =
        new AdapterConfig(
            rank,
            16,
            seed % 2 == 1,
            0,
            modules,
            "<image>[short summary of it :]",
            "<text>[short summary of it :]",
            softImage,
            softText);
    // What LoRA adds to a weight is as large as the golden models' weights are (sd 0.08).
    float scaleB = (float) (0.08 / (0.2 * Math.sqrt(Math.max(rank, 1)) * config.scaling()));
    SortedMap<String, FloatTensor> lora = new TreeMap<>();
    for (int layer = 0; layer < text.layers() && rank > 0; layer++) {
      for (String module : modules) {
        String name = "language_model.model.layers." + layer + "." + module;
        lora.put(name + ".lora_A.weight", tensor(random, rank, in(text, module), 0.2f));
        lora.put(name + ".lora_B.weight", tensor(random, out(text, module), rank, scaleB));
      }
    }
    return new AdapterWeights(
        config,
        lora,
        tensor(random, softImage, text.hiddenSize(), 0.3f),
        tensor(random, softText, text.hiddenSize(), 0.3f),
        3f);
  }

  static AdapterArtifact artifact(AdapterWeights weights, String baseDigest) {
    return new AdapterArtifact(weights, AdapterManifest.builder(weights, baseDigest).build());
  }

  static int in(TextConfig text, String module) {
    return switch (module) {
      case "self_attn.o_proj" -> text.heads() * text.headDim();
      case "mlp.down_proj" -> text.intermediateSize();
      default -> text.hiddenSize();
    };
  }

  static int out(TextConfig text, String module) {
    return switch (module) {
      case "self_attn.q_proj" -> text.heads() * text.headDim();
      case "self_attn.k_proj", "self_attn.v_proj" -> text.keyValueHeads() * text.headDim();
      case "mlp.gate_proj", "mlp.up_proj" -> text.intermediateSize();
      default -> text.hiddenSize();
    };
  }

  static FloatTensor tensor(Random random, int rows, int columns, float scale) {
    float[] data = new float[rows * columns];
    for (int i = 0; i < data.length; i++) {
      data[i] = (float) random.nextGaussian() * scale;
    }
    return new FloatTensor(new long[] {rows, columns}, data);
  }

  static ModelImage image(ModelConfig model, long seed) {
    int side = model.vision().imageSize();
    return new ModelImage(
        ImageGeometry.whole(side, side, model.imageTokens()),
        tensor(new Random(seed), 3, side * side, 1).data());
  }
}
