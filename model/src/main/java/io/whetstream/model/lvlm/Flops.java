package io.whetstream.model.lvlm;

import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.checkpoint.Architecture.Connector;
import io.whetstream.model.checkpoint.Architecture.Decoder;
import io.whetstream.model.checkpoint.Architecture.Layer;
import io.whetstream.model.checkpoint.Architecture.Linear;
import io.whetstream.model.checkpoint.Architecture.Tower;
import io.whetstream.model.checkpoint.DynamicVision;
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
    double places = tower.places(image.height(), image.width());
    double patches = places - (tower.classToken() == null ? 0 : 1);
    double layers = 0;
    for (int i = 0; i < tower.layers().size(); i++) {
      double seen = Math.min(places, window(i));
      layers += places * weights(tower.layers().get(i).linears());
      layers += 2 * places * seen * tower.width();
    }
    // A picture stands for two equal frames: the kernels of both are summed beforehand.
    double embed = patches * tower.patches().size() / (tower.dynamic() == null ? 1 : 2);
    Connector connector = architecture.connector();
    double tokens = tower.dynamic() == null ? connector.tokens() : image.tokens();
    double connect = tokens * weights(connector.layers());
    for (Connector deepstack : connector.deepstack()) {
      connect += tokens * weights(deepstack.layers());
    }
    return 2 * image.inputs() * (layers + embed + connect);
  }

  /** How many patches a patch attends to at most in a layer of the tower. */
  private double window(int layer) {
    DynamicVision dynamic = architecture.tower().dynamic();
    if (dynamic == null
        || dynamic.windowSize() == 0
        || dynamic.fullAttentionLayers().contains(layer)) {
      return Double.POSITIVE_INFINITY;
    }
    double side = (double) dynamic.windowSize() / architecture.tower().patchSize();
    return side * side;
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
