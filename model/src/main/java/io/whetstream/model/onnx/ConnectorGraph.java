package io.whetstream.model.onnx;

import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.checkpoint.Architecture.Connector;
import io.whetstream.model.checkpoint.Architecture.Linear;
import io.whetstream.model.checkpoint.Architecture.Tower;
import java.util.List;

/**
 * The connectors in a graph: two layers, LLaVA's, squares of patches through one, Idefics3's, or
 * normalised squares through two, Qwen-VL's.
 */
final class ConnectorGraph {
  private final GraphBuilder g;
  private final Operators o;
  private final Tower tower;
  private final Connector connector;

  ConnectorGraph(GraphBuilder builder, Operators operators, Architecture architecture) {
    g = builder;
    o = operators;
    tower = architecture.tower();
    connector = architecture.connector();
  }

  /** From selected hidden states to image features [N*T, d], as a named value. */
  String build(String selected, String output) {
    String features =
        switch (connector.kind()) {
          case "perceptron" -> perceptron(selected);
          case "shuffle" ->
              o.values(o.product(Scaled.of(shuffled(selected)), connector.layers().get(0)));
          default ->
              throw new IllegalStateException(
                  "no graph of a connector of kind " + connector.kind());
        };
    Linear last = connector.layers().get(connector.layers().size() - 1);
    g.nodeTo(
        output, "Reshape", GraphBuilder.attributes(), features, g.constant(-1, last.outputs()));
    return output;
  }

  /**
   * Squares of patches, which lie side by side, as features: [N, P/(m*m), d].
   *
   * @param merger this connector, or one of its deepstack
   */
  String merged(String h, Connector merger) {
    List<Linear> layers = merger.layers();
    long square = layers.get(0).inputs();
    String shape = g.constant(0, -1, square);
    String y =
        merger.norm().width() == square
            ? o.norm(g.node("Reshape", h, shape), merger.norm())
            : g.node("Reshape", o.norm(h, merger.norm()), shape);
    return o.linear(o.activation(merger.activation(), o.linear(y, layers.get(0))), layers.get(1));
  }

  private String perceptron(String selected) {
    Linear first = connector.layers().get(0);
    return o.perceptron(
        Scaled.of(selected),
        first,
        connector.layers().get(1),
        connector.activation(),
        first.bias() ? o.weight(first.biasName()) : null);
  }

  /** Squares of patches become one feature each. */
  private String shuffled(String x) {
    long square = connector.square();
    long side = tower.grid() / square;
    long width = tower.width();
    String blocks =
        g.node(
            "Transpose",
            GraphBuilder.attributes().integers("perm", 0, 1, 3, 2, 4, 5),
            g.node("Reshape", x, g.constant(-1, side, square, side, square, width)));
    return g.node("Reshape", blocks, g.constant(-1, side * side, square * square * width));
  }
}
