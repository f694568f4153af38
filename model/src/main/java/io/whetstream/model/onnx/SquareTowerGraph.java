package io.whetstream.model.onnx;

import io.whetstream.model.checkpoint.Architecture.Layer;
import io.whetstream.model.checkpoint.Architecture.Linear;
import io.whetstream.model.checkpoint.Architecture.Norm;
import io.whetstream.model.checkpoint.Architecture.Positions;
import io.whetstream.model.checkpoint.Architecture.Tower;
import io.whetstream.model.lvlm.SquarePositions;
import java.util.Arrays;

/** The vision tower of square inputs, CLIP's and SigLIP's, in a graph. */
final class SquareTowerGraph {
  private final GraphBuilder g;
  private final Operators o;
  private final Tower tower;

  SquareTowerGraph(GraphBuilder builder, Operators operators, Tower tower) {
    g = builder;
    o = operators;
    this.tower = tower;
  }

  /** From the graph's input {@code pixels [N,3,S,S]} to selected hidden states [N, T, v]. */
  String build() {
    String pixels =
        g.input("pixels", GraphBuilder.FLOAT, "N", 3, tower.imageSize(), tower.imageSize());
    String h = patches(pixels);
    if (tower.classToken() != null) {
      String images = g.node("Slice", g.node("Shape", pixels), g.constant(0), g.constant(1));
      String shape =
          g.node(
              "Concat",
              GraphBuilder.attributes().integer("axis", 0),
              images,
              g.constant(1, tower.width()));
      String first = g.node("Expand", o.weight(tower.classToken().name()), shape);
      h = g.node("Concat", GraphBuilder.attributes().integer("axis", 1), first, h);
    }
    String positions = o.weight(tower.positions().name());
    if (tower.scheme() == Positions.LEARNT_BY_BUCKETS) {
      int[] rows = SquarePositions.of(tower.grid());
      positions =
          g.node("Gather", positions, g.constant(Arrays.stream(rows).asLongStream().toArray()));
    }
    h = g.node("Add", h, positions);
    if (tower.before() != null) {
      h =
          g.node(
              "Add", o.values(o.layerNorm(h, tower.before())), o.weight(tower.before().biasName()));
    }
    for (Layer layer : tower.layers()) {
      h = layer(h, layer);
    }
    if (tower.after() != null) {
      h =
          g.node(
              "Add", o.values(o.layerNorm(h, tower.after())), o.weight(tower.after().biasName()));
    }
    return tower.dropped() > 0
        ? g.node("Slice", h, g.constant(tower.dropped()), g.constant(Long.MAX_VALUE), g.constant(1))
        : h;
  }

  /**
   * Embedded patches [N, T, v]: a convolution whose windows do not overlap is a product. What is
   * left of the image at the right and below has no patch.
   */
  private String patches(String pixels) {
    Linear patches = tower.patches();
    long side = tower.patchSize();
    long grid = tower.grid();
    long inputs = patches.inputs();
    if (grid * side < tower.imageSize()) {
      pixels =
          g.node(
              "Slice",
              pixels,
              g.constant(0, 0),
              g.constant(grid * side, grid * side),
              g.constant(2, 3));
    }
    String windows =
        g.node(
            "Transpose",
            GraphBuilder.attributes().integers("perm", 0, 2, 4, 1, 3, 5),
            g.node("Reshape", pixels, g.constant(-1, 3, grid, side, grid, side)));
    String kernel =
        g.node(
            "Transpose",
            GraphBuilder.attributes().integers("perm", 1, 0),
            g.node("Reshape", o.weight(patches.weightName()), g.constant(tower.width(), inputs)));
    String rows = g.node("Reshape", windows, g.constant(-1, grid * grid, inputs));
    String h = o.values(o.multiply(Scaled.of(rows), kernel, inputs));
    return patches.bias() ? g.node("Add", h, o.weight(patches.biasName())) : h;
  }

  /**
   * Softmax does not change when all scores of a query move by the same amount, so no bias of keys
   * has an effect, be it their own or the normalisation's; and its weights sum to 1, so a bias of
   * values moves the result by just that bias, which the layer after it takes into its own.
   */
  private String layer(String h, Layer layer) {
    Norm norm = layer.attentionNorm();
    Scaled x = o.layerNorm(h, norm);
    String attended =
        g.node(
            "Attention",
            GraphBuilder.attributes()
                .integer("q_num_heads", tower.heads())
                .integer("kv_num_heads", tower.heads())
                .real("scale", 1 / Math.sqrt((double) tower.width() / tower.heads())),
            g.node("Add", o.values(o.product(x, layer.query())), o.shift(norm, layer.query())),
            o.values(o.product(x, layer.key())),
            o.values(o.product(x, layer.value())));
    String y =
        g.node(
            "Add",
            o.values(o.product(Scaled.of(attended), layer.output())),
            o.affine(o.shift(norm, layer.value()), layer.output()));
    String middle = g.node("Add", h, y);
    norm = layer.perceptronNorm();
    Linear up = layer.inner().get(0);
    Scaled z = o.layerNorm(middle, norm);
    y = o.perceptron(z, up, layer.down(), layer.activation(), o.shift(norm, up));
    return g.node("Add", middle, y);
  }
}
