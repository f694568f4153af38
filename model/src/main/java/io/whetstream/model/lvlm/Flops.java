package io.whetstream.model.lvlm;

import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.checkpoint.Architecture.Connector;
import io.whetstream.model.checkpoint.Architecture.Decoder;
import io.whetstream.model.checkpoint.Architecture.Layer;
import io.whetstream.model.checkpoint.Architecture.Linear;
import io.whetstream.model.checkpoint.Architecture.Tower;
import io.whetstream.model.image.ImageGeometry;
import java.util.List;

/**
 * Useful floating-point operations (a multiply-add counts as two): what the mathematics asks for,
 * without padding, without recomputation, and without what the last layer would do after attention
 * at positions whose state nobody reads. Norms, activations and rotations are left out, as is
 * usual; they are under one percent.
 */
public final class Flops {
  private final Architecture architecture;

  /** Counts for models of this architecture. */
  public Flops(Architecture architecture) {
    this.architecture = architecture;
  }

  /** One image through patch embedding, the vision layers in use, and the connector. */
  public double image(ImageGeometry image) {
    Tower tower = architecture.tower();
    double places = tower.places();
    double patches = (double) tower.grid() * tower.grid();
    double layers = 0;
    for (Layer layer : tower.layers()) {
      layers += places * weights(layer.linears()) + 2 * places * places * tower.width();
    }
    double embed = patches * tower.patches().size();
    Connector connector = architecture.connector();
    double connect = connector.tokens() * weights(connector.layers());
    return 2 * image.inputs() * (layers + embed + connect);
  }

  private static double weights(List<Linear> linears) {
    return linears.stream().mapToDouble(Linear::size).sum();
  }

  /** Weights of the decoder's linear layers, without embeddings and head. */
  public double decoderWeights() {
    return architecture.decoder().layers().stream()
        .mapToDouble(layer -> weights(layer.linears()))
        .sum();
  }

  /** Weights of the last layer that come after its attention. */
  private double weightsAfterAttention() {
    List<Layer> layers = architecture.decoder().layers();
    Layer last = layers.get(layers.size() - 1);
    return weights(last.linears()) - weights(last.projections());
  }

  /** Positions of a row whose last state is read: its read-out and those that predict a token. */
  private static double kept(Row row) {
    boolean apart =
        row.readout() >= 0 && (row.targets() == null || row.targets()[row.readout()] < 0);
    return row.targetCount() + (apart ? 1 : 0);
  }

  /** One forward pass of rows through the decoder, causal attention counted by half. */
  public double forward(List<Row> rows) {
    Decoder decoder = architecture.decoder();
    double weights = decoderWeights();
    double after = weightsAfterAttention();
    double attention = 2.0 * decoder.layers().size() * decoder.queries();
    double head = 2.0 * decoder.vocabulary() * decoder.width();
    double flops = 0;
    for (Row row : rows) {
      double length = row.length();
      flops += 2 * (length * weights - (length - kept(row)) * after);
      flops += attention * length * length;
      flops += head * row.targetCount();
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
