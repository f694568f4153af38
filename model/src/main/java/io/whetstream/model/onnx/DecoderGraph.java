package io.whetstream.model.onnx;

import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.checkpoint.Architecture.Decoder;
import io.whetstream.model.checkpoint.Architecture.Layer;
import io.whetstream.model.checkpoint.Architecture.Norm;
import io.whetstream.model.checkpoint.Architecture.Positions;
import io.whetstream.model.checkpoint.Architecture.Rotary;
import io.whetstream.model.lvlm.RotaryTable;

/** The decoder in a graph: from ids and image features to the embedding. */
final class DecoderGraph {
  private final GraphBuilder g;
  private final Operators o;
  private final Decoder decoder;
  private final int deepstack;
  private final int imageToken;
  private final RotaryTable rotary;
  private String rowsByTokens;
  private Turns turns;
  private Turns lastTurns;

  /** Cosines and sines [B, L, hd/2] of each token. */
  private record Turns(String cos, String sin) {}

  DecoderGraph(
      GraphBuilder builder, Operators operators, Architecture architecture, int imageToken) {
    g = builder;
    o = operators;
    decoder = architecture.decoder();
    deepstack = architecture.connector().deepstack().size();
    this.imageToken = imageToken;
    rotary = RotaryTable.of(decoder.rotary());
  }

  /**
   * The output {@code embedding [B,d]}.
   *
   * @param features null where rows hold no image
   * @param side 0 where soft vectors are those of the image side, 1 of the text side
   */
  void build(String ids, String last, String features, String side) {
    String shape = g.node("Shape", ids);
    rowsByTokens =
        g.node("Concat", GraphBuilder.attributes().integer("axis", 0), shape, g.constant(-1));
    String h = flat(embed(ids, features, side), decoder.width());
    String length = g.node("Gather", shape, g.scalar(1));
    String row =
        g.node("Unsqueeze", g.node("Range", g.scalar(0), length, g.scalar(1)), g.constant(0));
    String positions = g.node("Expand", row, shape);
    String lastColumn = g.node("Unsqueeze", last, g.constant(1));
    if (decoder.scheme() == Positions.ROTARY_AXES) {
      angles(lastColumn);
    }
    String pictures =
        features == null || deepstack == 0
            ? null
            : places(g.node("Equal", ids, g.scalar(imageToken)));
    for (int i = 0; i < decoder.layers().size(); i++) {
      boolean readout = i == decoder.layers().size() - 1;
      h = layer(h, decoder.layers().get(i), positions, readout ? lastColumn : null);
      if (pictures != null && i < deepstack) {
        h = stacked(h, i, pictures, features);
      }
    }
    o.unitLength(o.values(o.rmsNorm(h, decoder.norm())), "embedding");
  }

  /** Deepstack: a tower's layer added to what this one made of the image's positions. */
  private String stacked(String h, int layer, String places, String features) {
    String added =
        g.node(
            "ScatterND",
            GraphBuilder.attributes().string("reduction", "add"),
            rows(h),
            places,
            columns(features, layer + 1));
    return flat(added, decoder.width());
  }

  /** One of the widths that stand side by side in the features. */
  private String columns(String features, int which) {
    long width = decoder.width();
    return g.node(
        "Slice",
        features,
        g.constant(which * width),
        g.constant((which + 1) * width),
        g.constant(1));
  }

  /** What turns tokens at positions of several axes, and those of the last column. */
  private void angles(String lastColumn) {
    int pairs = decoder.rotary().axes().size();
    String positions = g.input("positions", GraphBuilder.INT64, Rotary.AXES, "B", "L");
    String axis =
        g.table("rotary.axes", new long[] {Rotary.AXES, 1, 1, pairs}, decoder.rotary().chosen());
    turns = new Turns(angle(cosines(), positions, axis), angle(sines(), positions, axis));
    lastTurns = new Turns(atLast(turns.cos, lastColumn), atLast(turns.sin, lastColumn));
  }

  private String angle(String table, String positions, String axis) {
    return g.node(
        "ReduceSum",
        GraphBuilder.attributes().integer("keepdims", 0),
        g.node("Mul", g.node("Gather", table, positions), axis),
        g.constant(0));
  }

  private String atLast(String angles, String column) {
    return g.node(
        "Unsqueeze",
        g.node("GatherND", GraphBuilder.attributes().integer("batch_dims", 1), angles, column),
        g.constant(1));
  }

  private String cosines() {
    return g.table("rotary.cos", shape(), rotary.cos());
  }

  private String sines() {
    return g.table("rotary.sin", shape(), rotary.sin());
  }

  private long[] shape() {
    return new long[] {decoder.rotary().places(), decoder.headDim() / 2};
  }

  /** Token embeddings with image features and soft vectors in their places: [B, L, d]. */
  private String embed(String ids, String features, String side) {
    int width = decoder.width();
    String image = g.node("Equal", ids, g.scalar(imageToken));
    String soft = g.node("Less", ids, g.scalar(0));
    String words = g.node("Where", g.node("Or", image, soft), g.scalar(0), ids);
    String name = decoder.embeddings().name();
    String h = g.node("Gather", o.raw(name), words);
    h = o.isFloat(name) ? h : o.cast(h, GraphBuilder.FLOAT);
    if (features != null) {
      h = g.node("ScatterND", h, places(image), deepstack > 0 ? columns(features, 0) : features);
    }
    String imageVectors = g.overridable(OnnxExporter.SOFT_IMAGE, GraphBuilder.FLOAT, "Ki", width);
    String textVectors = g.overridable(OnnxExporter.SOFT_TEXT, GraphBuilder.FLOAT, "Kt", width);
    String vectors =
        g.node("Concat", GraphBuilder.attributes().integer("axis", 0), imageVectors, textVectors);
    String imageCount =
        g.node("Slice", g.node("Shape", imageVectors), g.constant(0), g.constant(1));
    String softPlaces = places(soft);
    String index =
        g.node(
            "Add",
            g.node("Sub", g.node("Neg", g.node("GatherND", ids, softPlaces)), g.scalar(1)),
            g.node("Mul", side, imageCount));
    return g.node("ScatterND", h, softPlaces, g.node("Gather", vectors, index));
  }

  private String places(String mask) {
    return g.node(
        "Transpose", GraphBuilder.attributes().integers("perm", 1, 0), g.node("NonZero", mask));
  }

  /**
   * One layer. Tokens lie in two dimensions, [B*L, d], so that LoRA can be added by the product
   * that computes it; only rotation and attention see rows.
   *
   * @param last null, or the column [B, 1] of the only positions that are needed: then the result
   *     is [B, d]
   */
  private String layer(String h, Layer layer, String positions, String last) {
    Scaled x = o.rmsNorm(h, layer.attentionNorm());
    String residual = last == null ? h : at(h, last);
    int kv = decoder.keyValueHeads();
    String q =
        last == null
            ? rows(o.values(o.adapted(x, layer.query())))
            : g.node("Unsqueeze", o.values(o.adapted(at(x, last), layer.query())), g.constant(1));
    q = headNorm(q, layer.queryNorm());
    q =
        rotate(
            q, decoder.heads(), last == null ? positions : last, last == null ? turns : lastTurns);
    String k = headNorm(rows(o.values(o.adapted(x, layer.key()))), layer.keyNorm());
    k = rotate(k, kv, positions, turns);
    String v = rows(o.values(o.adapted(x, layer.value())));
    GraphBuilder.Attributes attributes =
        GraphBuilder.attributes()
            .integer("q_num_heads", decoder.heads())
            .integer("kv_num_heads", kv)
            .real("scale", 1 / Math.sqrt(decoder.headDim()));
    String attended;
    if (last == null) {
      attended = g.node("Attention", attributes.integer("is_causal", 1), q, k, v);
    } else {
      String mask = g.node("LessOrEqual", positions, last);
      attended =
          g.node("Attention", attributes, q, k, v, g.node("Unsqueeze", mask, g.constant(1, 2)));
    }
    attended = flat(attended, decoder.queries());
    String middle =
        g.node("Add", residual, o.values(o.adapted(Scaled.of(attended), layer.output())));
    Scaled y = o.rmsNorm(middle, layer.perceptronNorm());
    String gate = o.activation(layer.activation(), o.values(o.adapted(y, layer.inner().get(0))));
    Scaled up = o.adapted(y, layer.inner().get(1));
    Scaled inner = new Scaled(g.node("Mul", gate, up.unscaled()), up.factor());
    return g.node("Add", middle, o.values(o.adapted(inner, layer.down())));
  }

  private Scaled at(Scaled x, String column) {
    return new Scaled(at(x.unscaled(), column), x.factor() == null ? null : at(x.factor(), column));
  }

  /** Row by row, the position that a column of indices names: [B*L, d] to [B, d]. */
  private String at(String x, String column) {
    return g.node("GatherND", GraphBuilder.attributes().integer("batch_dims", 1), rows(x), column);
  }

  /** [B*L, d] to [B, L, d]. */
  private String rows(String x) {
    return g.node("Reshape", x, rowsByTokens);
  }

  /** [B, L, d] to [B*L, d]. */
  private String flat(String x, long width) {
    return g.node("Reshape", x, g.constant(-1, width));
  }

  /** Each head normalised, where the model does that. */
  private String headNorm(String x, Norm norm) {
    if (norm == null) {
      return x;
    }
    String heads = g.node("Reshape", x, g.constant(-1, norm.width()));
    return g.node("Reshape", o.norm(heads, norm), g.node("Shape", x));
  }

  private String rotate(String x, int heads, String positions, Turns turns) {
    if (turns != null) {
      return g.node(
          "RotaryEmbedding",
          GraphBuilder.attributes().integer("num_heads", heads),
          x,
          turns.cos,
          turns.sin);
    }
    return g.node(
        "RotaryEmbedding",
        GraphBuilder.attributes().integer("num_heads", heads),
        x,
        cosines(),
        sines(),
        positions);
  }
}
