package io.whetstream.model.onnx;

import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.checkpoint.Architecture.Connector;
import io.whetstream.model.checkpoint.Architecture.Layer;
import io.whetstream.model.checkpoint.Architecture.Linear;
import io.whetstream.model.checkpoint.Architecture.Tower;
import io.whetstream.model.checkpoint.DynamicVision;
import io.whetstream.model.lvlm.PatchPlan;
import java.util.ArrayList;
import java.util.List;

/** The vision tower of pictures of any size, with its connectors, in a graph: Qwen-VL's. */
final class DynamicTowerGraph {
  /** Most different sizes of windows in one picture. */
  static final int WINDOW_SIZES = 4;

  private final GraphBuilder g;
  private final Operators o;
  private final Architecture architecture;
  private final Tower tower;
  private String cos;
  private String sin;
  private String places;
  private String count;

  DynamicTowerGraph(GraphBuilder builder, Operators operators, Architecture architecture) {
    g = builder;
    o = operators;
    this.architecture = architecture;
    tower = architecture.tower();
  }

  /**
   * The value {@code features}, and hidden states [N, P, v] as the result. Inputs: {@code patches
   * [N, P, 3*p*p]} in the order of a {@link PatchPlan}, {@code cos} and {@code sin [P, hd/2]},
   * {@code blocks [P/(m*m)]}; {@code windows [4, 3]} where there are any: of each size, in the
   * order of the patches, the first patch, how many windows and how many patches each, and after
   * all of them, for sizes that there are none of, something small that is overlooked; {@code taps
   * [P*4]} and {@code weights [P, 4]} where positions are learned.
   */
  String build() {
    DynamicVision dynamic = tower.dynamic();
    int half = tower.width() / tower.heads() / 2;
    long inputs = 3L * tower.patchSize() * tower.patchSize();
    String patches = g.input("patches", GraphBuilder.FLOAT, "N", "P", inputs);
    cos = g.input("cos", GraphBuilder.FLOAT, "P", half);
    sin = g.input("sin", GraphBuilder.FLOAT, "P", half);
    String blocks = g.input("blocks", GraphBuilder.INT64, "Q");
    String h = embedded(patches, inputs);
    String shape = g.node("Slice", g.node("Shape", patches), g.constant(0), g.constant(2));
    count = g.node("Gather", shape, g.constant(1));
    String range = g.node("Range", g.scalar(0), g.node("Gather", shape, g.scalar(1)), g.scalar(1));
    String row = g.node("Unsqueeze", range, g.constant(0));
    places = g.node("Expand", row, shape);
    List<Windows> windows =
        dynamic.windowSize() > 0 ? windows(g.node("Gather", shape, g.constant(0))) : null;
    ConnectorGraph connectors = new ConnectorGraph(g, o, architecture);
    Connector connector = architecture.connector();
    List<String> features = new ArrayList<>();
    for (int i = 0; i < tower.layers().size(); i++) {
      boolean whole = dynamic.fullAttentionLayers().contains(i);
      h = layer(h, tower.layers().get(i), whole ? null : windows);
      int stacked = dynamic.deepstackLayers().indexOf(i);
      if (stacked >= 0) {
        features.add(connectors.merged(h, connector.deepstack().get(stacked)));
      }
    }
    features.add(0, connectors.merged(h, connector));
    String all =
        features.size() == 1
            ? features.get(0)
            : g.node(
                "Concat",
                GraphBuilder.attributes().integer("axis", -1),
                features.toArray(String[]::new));
    String ordered = g.node("Gather", GraphBuilder.attributes().integer("axis", 1), all, blocks);
    g.nodeTo(
        "features",
        "Reshape",
        GraphBuilder.attributes(),
        ordered,
        g.constant(-1, architecture.featureWidth()));
    return h;
  }

  /** Patches, and learned positions where there are any. */
  private String embedded(String patches, long inputs) {
    Linear linear = tower.patches();
    long width = tower.width();
    String kernel =
        g.node("Reshape", o.weight(linear.weightName()), g.constant(width, 3, 2, inputs / 3));
    // A picture stands for two equal frames.
    String summed = sum(kernel, 2);
    String matrix =
        g.node(
            "Transpose",
            GraphBuilder.attributes().integers("perm", 1, 0),
            g.node("Reshape", summed, g.constant(width, inputs)));
    String h = o.values(o.multiply(Scaled.of(patches), matrix, inputs));
    h = linear.bias() ? g.node("Add", h, o.weight(linear.biasName())) : h;
    if (tower.positions() == null) {
      return h;
    }
    String taps = g.input("taps", GraphBuilder.INT64, "T");
    String weights = g.input("weights", GraphBuilder.FLOAT, "P", 4);
    String table = o.weight(tower.positions().name());
    String rows = g.node("Reshape", g.node("Gather", table, taps), g.constant(-1, 4, width));
    String weighted = g.node("Mul", rows, g.node("Unsqueeze", weights, g.constant(2)));
    return g.node("Add", h, sum(weighted, 1));
  }

  private String sum(String x, int axis) {
    return g.node(
        "ReduceSum", GraphBuilder.attributes().integer("keepdims", 0), x, g.constant(axis));
  }

  /**
   * Windows of one size.
   *
   * @param begin first patch, [1]
   * @param end behind the last, [1]
   * @param apart shape with each window as a sequence: [N * count, size, v]
   * @param together shape with one after another again: [N, count * size, v]
   */
  private record Windows(String begin, String end, String apart, String together) {}

  /** The windows of each size. ONNX Runtime's Attention takes no empty batch. */
  private List<Windows> windows(String pictures) {
    String sizes = g.input("windows", GraphBuilder.INT64, WINDOW_SIZES, 3);
    List<Windows> all = new ArrayList<>();
    for (int i = 0; i < WINDOW_SIZES; i++) {
      String own = g.node("Gather", sizes, g.scalar(i));
      String begin = g.node("Gather", own, g.constant(0));
      String count = g.node("Gather", own, g.constant(1));
      String size = g.node("Gather", own, g.constant(2));
      String patches = g.node("Mul", count, size);
      String end = g.node("Add", begin, patches);
      all.add(
          new Windows(
              begin, end, shape(g.node("Mul", pictures, count), size), shape(pictures, patches)));
    }
    return all;
  }

  private String shape(String first, String second) {
    return g.node(
        "Concat",
        GraphBuilder.attributes().integer("axis", 0),
        first,
        second,
        g.constant(tower.width()));
  }

  private String attended(String q, String k, String v) {
    return g.node(
        "Attention",
        GraphBuilder.attributes()
            .integer("q_num_heads", tower.heads())
            .integer("kv_num_heads", tower.heads())
            .real("scale", 1 / Math.sqrt((double) tower.width() / tower.heads())),
        q,
        k,
        v);
  }

  /** Attention of each window by itself; those of one size are computed side by side. */
  private String windowed(String q, String k, String v, List<Windows> windows) {
    List<String> parts = new ArrayList<>();
    for (Windows own : windows) {
      List<String> inputs = new ArrayList<>();
      for (String x : List.of(q, k, v)) {
        String sliced = g.node("Slice", x, own.begin(), own.end(), g.constant(1));
        inputs.add(g.node("Reshape", sliced, own.apart()));
      }
      String attended = attended(inputs.get(0), inputs.get(1), inputs.get(2));
      parts.add(g.node("Reshape", attended, own.together()));
    }
    String all =
        g.node(
            "Concat", GraphBuilder.attributes().integer("axis", 1), parts.toArray(String[]::new));
    return g.node("Slice", all, g.constant(0), count, g.constant(1));
  }

  private String layer(String h, Layer layer, List<Windows> windows) {
    String qkv = o.linear(o.norm(h, layer.attentionNorm()), layer.query());
    String q = turned(part(qkv, 0));
    String k = turned(part(qkv, 1));
    String v = part(qkv, 2);
    String attended = windows == null ? attended(q, k, v) : windowed(q, k, v, windows);
    String middle = g.node("Add", h, o.linear(attended, layer.output()));
    String y = o.norm(middle, layer.perceptronNorm());
    String inner = o.activation(layer.activation(), o.linear(y, layer.inner().get(0)));
    if (layer.inner().size() > 1) {
      inner = g.node("Mul", inner, o.linear(y, layer.inner().get(1)));
    }
    return g.node("Add", middle, o.linear(inner, layer.down()));
  }

  /** One of three equal parts of the last axis. */
  private String part(String x, long which) {
    long width = tower.width();
    return g.node(
        "Slice", x, g.constant(which * width), g.constant((which + 1) * width), g.constant(2));
  }

  private String turned(String x) {
    return g.node(
        "RotaryEmbedding",
        GraphBuilder.attributes().integer("num_heads", tower.heads()),
        x,
        cos,
        sin,
        places);
  }
}
