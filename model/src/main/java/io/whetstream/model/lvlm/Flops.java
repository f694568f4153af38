package io.whetstream.model.lvlm;

import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.checkpoint.TextConfig;
import io.whetstream.model.checkpoint.VisionConfig;
import io.whetstream.model.image.ImageGeometry;
import java.util.List;

/**
 * Useful floating-point operations (a multiply-add counts as two): what the mathematics asks for,
 * without padding, without recomputation, and without what the last layer would do after attention
 * at positions whose state nobody reads. Norms, activations and rotations are left out, as is
 * usual; they are under one percent.
 */
public final class Flops {
  private final ModelConfig config;

  /** Counts for models of this configuration. */
  public Flops(ModelConfig config) {
    this.config = config;
  }

  /** One image through patch embedding, the vision layers in use, and the projector. */
  public double image(ImageGeometry image) {
    VisionConfig v = config.vision();
    double width = v.hiddenSize();
    int side = v.imageSize() / v.patchSize();
    double patches = (double) side * side;
    double positions = patches + (v.type().equals("clip") ? 1 : 0);
    double layer = positions * (4 * width * width + 2 * width * v.intermediateSize());
    double attention = 2 * positions * positions * width;
    double embed = patches * 3 * v.patchSize() * v.patchSize() * width;
    double d = config.text().hiddenSize();
    double square = (double) config.shuffle() * config.shuffle();
    double project = config.imageTokens() * (square > 0 ? square * width * d : width * d + d * d);
    double tower = config.visionLayersUsed() * (layer + attention) + embed;
    return 2 * image.inputs() * (tower + project);
  }

  /** Weights of the decoder's linear layers, without embeddings and head. */
  public double decoderWeights() {
    TextConfig t = config.text();
    double d = t.hiddenSize();
    double queries = (double) t.heads() * t.headDim();
    double keys = (double) t.keyValueHeads() * t.headDim();
    return t.layers() * (2 * d * queries + 2 * d * keys + 3 * d * t.intermediateSize());
  }

  /** Weights of one layer that come after its attention. */
  private double weightsAfterAttention() {
    TextConfig t = config.text();
    double queries = (double) t.heads() * t.headDim();
    return t.hiddenSize() * (queries + 3.0 * t.intermediateSize());
  }

  /** Positions of a row whose last state is read: its read-out and those that predict a token. */
  private static double kept(Row row) {
    boolean apart =
        row.readout() >= 0 && (row.targets() == null || row.targets()[row.readout()] < 0);
    return row.targetCount() + (apart ? 1 : 0);
  }

  /** One forward pass of rows through the decoder, causal attention counted by half. */
  public double forward(List<Row> rows) {
    TextConfig t = config.text();
    double queries = (double) t.heads() * t.headDim();
    double flops = 0;
    for (Row row : rows) {
      double length = row.length();
      flops += 2 * (length * decoderWeights() - (length - kept(row)) * weightsAfterAttention());
      flops += 2 * t.layers() * length * length * queries;
      flops += 2.0 * row.targetCount() * t.vocabSize() * t.hiddenSize();
    }
    return flops;
  }

  /**
   * One training step on rows: the frozen decoder forward and backward towards its inputs, LoRA
   * forward, backward, and its own gradients; images once forward.
   *
   * @param layout what is trained
   */
  public double step(List<Row> rows, List<ImageGeometry> images, AdapterLayout layout) {
    double all = rows.stream().mapToDouble(Row::length).sum();
    double kept = rows.stream().mapToDouble(Flops::kept).sum();
    double lora = all * layout.loraSize() - (all - kept) * layout.loraSizeAfterLastAttention();
    double pictures = images.stream().mapToDouble(this::image).sum();
    return pictures + 2 * forward(rows) + 6 * lora;
  }
}
