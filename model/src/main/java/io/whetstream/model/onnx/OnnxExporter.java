package io.whetstream.model.onnx;

import io.whetstream.model.BadInputException;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.DType;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.checkpoint.TensorInfo;
import io.whetstream.model.checkpoint.TextConfig;
import io.whetstream.model.checkpoint.VisionConfig;
import io.whetstream.model.lvlm.RotaryTable;
import io.whetstream.model.lvlm.SquarePositions;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;

/**
 * Writes a checkpoint's forward passes as ONNX graphs (opset 23, IR 11). Weights stay in the
 * checkpoint's safetensors files and are referred to, relative to {@link #weightsFolder}; casts,
 * transpositions and quantisation of them are operators that ONNX Runtime folds when it loads the
 * graph. LoRA tensors and soft vectors are empty initializers that a run may override:
 *
 * <ul>
 *   <li>{@code <module>.lora_A} [in, r] and {@code <module>.lora_B} [r, out], the latter with the
 *       scaling folded in; modules by canonical name. In 8 bit the former is signed bytes, and the
 *       scale of each of its columns is folded into the latter too
 *   <li>{@code soft_prompt.image} [K, d] and {@code soft_prompt.text} [K, d]
 * </ul>
 */
public final class OnnxExporter {
  /** Changes whenever a graph changes for the same checkpoint. */
  public static final int VERSION = 7;

  static final String BASE_DIGEST = "whetstream.base_digest";
  static final String EXPORTER_VERSION = "whetstream.exporter_version";
  static final String SOFT_IMAGE = "soft_prompt.image";
  static final String SOFT_TEXT = "soft_prompt.text";

  /** What a graph computes. B rows, L positions, N images, M image tokens, d width. */
  public enum Graph {
    /** {@code pixels [N,3,S,S]} to {@code features [N*T,d]} and {@code pooled [N,v]}. */
    VISION,
    /**
     * {@code ids [B,L]}, {@code last [B]} (index of each row's last position), {@code features
     * [M,d]} in the order of the image tokens, {@code side [1]} (0: soft vectors of the image side,
     * 1: of the text side) to {@code embedding [B,d]}.
     */
    DECODER,
    /** {@code pixels [N,3,S,S]}, {@code ids [B,L]}, {@code last [B]} to {@code embedding [B,d]}. */
    IMAGE,
    /** {@code ids [B,L]}, {@code last [B]} to {@code embedding [B,d]}. */
    TEXT
  }

  private static final String QUICK_GELU = "quick_gelu";
  private static final float QUICK_GELU_SLOPE = 1.702f;

  /** Activations are unsigned bytes around it: signed times signed has no fast kernel. */
  private static final int ZERO_POINT = 128;

  private final Checkpoint checkpoint;
  private final ModelConfig config;
  private final WeightFiles files;
  private final boolean int8;

  /**
   * @param int8 whether linear layers multiply in 8-bit integers: weights symmetric per output
   *     channel, activations symmetric per token, so that a row's result does not depend on its
   *     neighbours. LoRA's A is like such a layer; its B, attention and norms stay in 32 bit. Such
   *     a graph uses an operator that only ONNX Runtime has, and only on the CPU
   */
  public OnnxExporter(Checkpoint checkpoint, boolean int8) {
    this.checkpoint = checkpoint;
    this.config = checkpoint.config();
    this.files = new WeightFiles(checkpoint);
    this.int8 = int8;
  }

  /** The folder that the graphs' references to weights are relative to. */
  public Path weightsFolder() {
    return files.folder();
  }

  String layoutDigest() {
    return files.layoutDigest();
  }

  /** One graph as the bytes of an {@code .onnx} file. */
  public byte[] export(Graph graph) {
    return new Builder().build(graph);
  }

  /**
   * A matrix whose rows are still to be multiplied by a factor each, [.., 1], unless that is null.
   * In 8 bit each product leaves one, and each normalisation; where they are passed on the matrix
   * is written once less. Without 8 bit there are none.
   */
  private record Scaled(String unscaled, String factor) {}

  /** A matrix as unsigned bytes around {@link #ZERO_POINT}, and its rows' scales, [.., 1]. */
  private record Quantised(String bytes, String scale) {}

  private final class Builder {
    private final GraphBuilder g = new GraphBuilder();
    private final RotaryTable rotary = RotaryTable.of(config.text());
    private final Map<String, Quantised> quantised = new HashMap<>();
    private String rowsByTokens;

    byte[] build(Graph graph) {
      if (graph == Graph.VISION) {
        String selected = vision();
        project(selected, "features");
        pool(selected);
        g.output("features", GraphBuilder.FLOAT, "M", config.text().hiddenSize());
        g.output("pooled", GraphBuilder.FLOAT, "N", config.vision().hiddenSize());
      } else {
        String ids = g.input("ids", GraphBuilder.INT64, "B", "L");
        String last = g.input("last", GraphBuilder.INT64, "B");
        String features =
            switch (graph) {
              case DECODER ->
                  g.input("features", GraphBuilder.FLOAT, "M", config.text().hiddenSize());
              case IMAGE -> project(vision(), "features");
              default -> null;
            };
        String side =
            graph == Graph.DECODER
                ? g.input("side", GraphBuilder.INT64, 1)
                : g.constant(graph == Graph.TEXT ? 1 : 0);
        decoder(ids, last, features, side);
        g.output("embedding", GraphBuilder.FLOAT, "B", config.text().hiddenSize());
      }
      TreeMap<String, String> metadata = new TreeMap<>();
      metadata.put(BASE_DIGEST, checkpoint.digest());
      metadata.put(EXPORTER_VERSION, Integer.toString(VERSION));
      return g.model(graph.name().toLowerCase(java.util.Locale.ROOT), metadata);
    }

    // Weights

    private String raw(String name) {
      TensorInfo info = checkpoint.info(name);
      return g.external(
          name,
          info.dtype(),
          info.shape(),
          files.location(name),
          info.begin(),
          info.end() - info.begin());
    }

    private String weight(String name) {
      String raw = raw(name);
      return checkpoint.info(name).dtype() == DType.F32 ? raw : toFloat(raw);
    }

    private String toFloat(String value) {
      return cast(value, GraphBuilder.FLOAT);
    }

    private String cast(String value, int type) {
      return g.node("Cast", GraphBuilder.attributes().integer("to", type), value);
    }

    /** Of a linear layer, [in, out]. */
    private String transposed(String name) {
      return g.node(
          "Transpose", GraphBuilder.attributes().integers("perm", 1, 0), weight(name + ".weight"));
    }

    private Scaled linear(Scaled x, String name) {
      return multiply(x, transposed(name), inputs(name));
    }

    private long inputs(String linear) {
      return checkpoint.info(linear + ".weight").shape()[1];
    }

    private Scaled multiply(Scaled x, String weight, long inputs) {
      return int8
          ? multiplyInt8(x, weight, inputs)
          : new Scaled(g.node("MatMul", values(x), weight), null);
    }

    private String values(Scaled x) {
      return x.factor == null ? x.unscaled : g.node("Mul", x.unscaled, x.factor);
    }

    /**
     * The operators on the weight alone are folded when the graph is loaded. What rows are scaled
     * by does not change their bytes: it only scales the result.
     */
    private Scaled multiplyInt8(Scaled scaled, String weight, long inputs) {
      String x = scaled.unscaled;
      String columnScale =
          g.node("Div", g.node("Max", largest(weight, 0), g.scalar(1e-12f)), g.scalar(127f));
      String columns = cast(g.node("Round", g.node("Div", weight, columnScale)), GraphBuilder.INT8);
      Quantised rows = quantised(x, inputs);
      String product = multiply(rows, columns, g.node("Squeeze", columnScale, g.constant(0)));
      return new Scaled(
          product, scaled.factor == null ? rows.scale : g.node("Mul", rows.scale, scaled.factor));
    }

    /** Rows in 8 bit, each with a scale of its own; made once for each matrix. */
    private Quantised quantised(String x, long inputs) {
      return quantised.computeIfAbsent(
          x,
          key -> {
            // A row of zeros has scale 0: whatever its bytes are then, its products are 0.
            String scale = g.node("Div", largest(x, -1), g.scalar(127f));
            String zeros =
                g.node(
                    "Expand", g.scalarByte(GraphBuilder.UINT8, ZERO_POINT), g.node("Shape", scale));
            String bytes =
                g.node(
                    "QuantizeLinear",
                    GraphBuilder.attributes().integer("axis", -1).integer("block_size", inputs),
                    x,
                    scale,
                    zeros);
            return new Quantised(bytes, scale);
          });
    }

    /** The product without the rows' scales. */
    private String multiply(Quantised rows, String columns, String columnScales) {
      return g.contributed(
          "MatMulIntegerToFloat",
          rows.bytes,
          columns,
          g.scalar(1f),
          columnScales,
          g.scalarByte(GraphBuilder.UINT8, ZERO_POINT));
    }

    /**
     * Largest magnitude along an axis, which is kept with length 1. Both ends are looked for,
     * because that writes no second tensor as magnitudes would be.
     */
    private String largest(String value, int axis) {
      return g.node(
          "Max", reduce("ReduceMax", value, axis), g.node("Neg", reduce("ReduceMin", value, axis)));
    }

    /** Over one axis, which is kept with length 1. */
    private String reduce(String operator, String value, int axis) {
      return g.node(
          operator, GraphBuilder.attributes().integer("keepdims", 1), value, g.constant(axis));
    }

    private String activation(String name, String x) {
      return switch (name) {
        case QUICK_GELU ->
            g.node("Mul", x, g.node("Sigmoid", g.node("Mul", x, g.scalar(QUICK_GELU_SLOPE))));
        case "gelu" -> g.node("Gelu", x);
        case "gelu_pytorch_tanh", "gelu_new", "gelu_fast" ->
            g.node("Gelu", GraphBuilder.attributes().string("approximate", "tanh"), x);
        case "silu", "swish" -> g.node("Mul", x, g.node("Sigmoid", x));
        case "relu" -> g.node("Relu", x);
        default ->
            throw new BadInputException(
                checkpoint.directory()
                    + ": activation '"
                    + name
                    + "' is not supported; supported: quick_gelu, gelu, gelu_pytorch_tanh, silu,"
                    + " relu");
      };
    }

    /**
     * Two linear layers with an activation between. {@code x sigmoid(a x)} is {@code silu(a x) /
     * a}, and ONNX Runtime has a faster kernel for silu; the weights take the factors.
     *
     * @param shift bias of the first layer; null if neither has one
     */
    private String perceptron(Scaled x, String first, String second, String name, String shift) {
      boolean quick = name.equals(QUICK_GELU);
      String slope = g.scalar(QUICK_GELU_SLOPE);
      String up = quick ? g.node("Mul", transposed(first), slope) : transposed(first);
      String down = quick ? g.node("Div", transposed(second), slope) : transposed(second);
      String y = values(multiply(x, up, inputs(first)));
      if (shift != null) {
        y = g.node("Add", y, quick ? g.node("Mul", shift, slope) : shift);
      }
      y = activation(quick ? "silu" : name, y);
      y = values(multiply(new Scaled(y, null), down, inputs(second)));
      return shift == null ? y : g.node("Add", y, weight(second + ".bias"));
    }

    // Vision tower and projector

    /** Selected hidden states [N, T, v]. */
    private String vision() {
      VisionConfig vision = config.vision();
      String root = "vision_tower.vision_model.";
      String pixels =
          g.input("pixels", GraphBuilder.FLOAT, "N", 3, vision.imageSize(), vision.imageSize());
      String h = patches(pixels, root + "embeddings.patch_embedding");
      boolean clip = vision.type().equals("clip");
      if (clip) {
        String images = g.node("Slice", g.node("Shape", pixels), g.constant(0), g.constant(1));
        String shape =
            g.node(
                "Concat",
                GraphBuilder.attributes().integer("axis", 0),
                images,
                g.constant(1, vision.hiddenSize()));
        String first = g.node("Expand", weight(root + "embeddings.class_embedding"), shape);
        h = g.node("Concat", GraphBuilder.attributes().integer("axis", 1), first, h);
      }
      String positions = weight(root + "embeddings.position_embedding.weight");
      if (config.shuffle() > 0) {
        int[] rows = SquarePositions.of(vision.imageSize() / vision.patchSize());
        positions =
            g.node("Gather", positions, g.constant(Arrays.stream(rows).asLongStream().toArray()));
      }
      h = g.node("Add", h, positions);
      if (clip) {
        String norm = root + "pre_layrnorm";
        h = g.node("Add", values(layerNorm(h, norm)), weight(norm + ".bias"));
      }
      for (int layer = 0; layer < config.visionLayersUsed(); layer++) {
        h = visionLayer(h, root + "encoder.layers." + layer + ".");
      }
      if (config.shuffle() > 0) {
        String norm = root + "post_layernorm";
        return g.node("Add", values(layerNorm(h, norm)), weight(norm + ".bias"));
      }
      return config.visionFeatureSelectStrategy().equals("default")
          ? g.node("Slice", h, g.constant(1), g.constant(Long.MAX_VALUE), g.constant(1))
          : h;
    }

    /**
     * Embedded patches [N, T, v]: a convolution whose windows do not overlap is a product. What is
     * left of the image at the right and below has no patch.
     */
    private String patches(String pixels, String name) {
      VisionConfig vision = config.vision();
      long side = vision.patchSize();
      long grid = vision.imageSize() / side;
      long inputs = 3 * side * side;
      if (grid * side < vision.imageSize()) {
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
              g.node("Reshape", weight(name + ".weight"), g.constant(vision.hiddenSize(), inputs)));
      String rows = g.node("Reshape", windows, g.constant(-1, grid * grid, inputs));
      String h = values(multiply(new Scaled(rows, null), kernel, inputs));
      return checkpoint.has(name + ".bias") ? g.node("Add", h, weight(name + ".bias")) : h;
    }

    /**
     * Layer normalisation without its bias, as RMS normalisation of what is centred: the same by
     * definition. The layers after it take the bias into theirs.
     */
    private Scaled layerNorm(String x, String name) {
      String centred = g.node("Sub", x, reduce("ReduceMean", x, -1));
      return scaledRmsNorm(centred, name + ".weight", config.vision().layerNormEps());
    }

    /** The bias of a linear layer that also does for the bias of the normalisation before it. */
    private String shift(String norm, String linear) {
      return affine(weight(norm + ".bias"), linear);
    }

    /** A linear layer of a constant vector. */
    private String affine(String vector, String name) {
      return g.node("Add", g.node("MatMul", vector, transposed(name)), weight(name + ".bias"));
    }

    /**
     * Softmax does not change when all scores of a query move by the same amount, so no bias of
     * keys has an effect, be it their own or the normalisation's; and its weights sum to 1, so a
     * bias of values moves the result by just that bias, which the layer after it takes into its
     * own.
     */
    private String visionLayer(String h, String name) {
      int heads = config.vision().heads();
      String norm = name + "layer_norm1";
      Scaled x = layerNorm(h, norm);
      String attention = name + "self_attn.";
      String attended =
          g.node(
              "Attention",
              GraphBuilder.attributes()
                  .integer("q_num_heads", heads)
                  .integer("kv_num_heads", heads)
                  .real("scale", 1 / Math.sqrt((double) config.vision().hiddenSize() / heads)),
              g.node(
                  "Add",
                  values(linear(x, attention + "q_proj")),
                  shift(norm, attention + "q_proj")),
              values(linear(x, attention + "k_proj")),
              values(linear(x, attention + "v_proj")));
      String output = attention + "out_proj";
      String y =
          g.node(
              "Add",
              values(linear(new Scaled(attended, null), output)),
              affine(shift(norm, attention + "v_proj"), output));
      String middle = g.node("Add", h, y);
      norm = name + "layer_norm2";
      y =
          perceptron(
              layerNorm(middle, norm),
              name + "mlp.fc1",
              name + "mlp.fc2",
              config.vision().activation(),
              shift(norm, name + "mlp.fc1"));
      return g.node("Add", middle, y);
    }

    /** Image features [N*T, d]. */
    private String project(String selected, String output) {
      String root = "multi_modal_projector.linear_";
      String features =
          config.shuffle() > 0
              ? values(
                  linear(
                      new Scaled(shuffled(selected), null), "connector.modality_projection.proj"))
              : perceptron(
                  new Scaled(selected, null),
                  root + 1,
                  root + 2,
                  config.projectorActivation(),
                  config.projectorBias() ? weight(root + 1 + ".bias") : null);
      g.nodeTo(
          output,
          "Reshape",
          GraphBuilder.attributes(),
          features,
          g.constant(-1, config.text().hiddenSize()));
      return output;
    }

    /** Idefics3: squares of patches become one feature each. */
    private String shuffled(String x) {
      long square = config.shuffle();
      long side = config.vision().imageSize() / config.vision().patchSize() / square;
      long width = config.vision().hiddenSize();
      String blocks =
          g.node(
              "Transpose",
              GraphBuilder.attributes().integers("perm", 0, 1, 3, 2, 4, 5),
              g.node("Reshape", x, g.constant(-1, side, square, side, square, width)));
      return g.node("Reshape", blocks, g.constant(-1, side * side, square * square * width));
    }

    /** Mean of the selected hidden states, L2-normalised. */
    private void pool(String selected) {
      normalise(
          g.node(
              "ReduceMean",
              GraphBuilder.attributes().integer("keepdims", 0),
              selected,
              g.constant(1)),
          "pooled");
    }

    private void normalise(String x, String output) {
      String norm = reduce("ReduceL2", x, -1);
      g.nodeTo(output, "Div", GraphBuilder.attributes(), x, g.node("Max", norm, g.scalar(1e-12f)));
    }

    // Decoder

    private void decoder(String ids, String last, String features, String side) {
      TextConfig text = config.text();
      String shape = g.node("Shape", ids);
      rowsByTokens =
          g.node("Concat", GraphBuilder.attributes().integer("axis", 0), shape, g.constant(-1));
      String h = flat(embed(ids, features, side), text.hiddenSize());
      String length = g.node("Gather", shape, g.scalar(1));
      String row =
          g.node("Unsqueeze", g.node("Range", g.scalar(0), length, g.scalar(1)), g.constant(0));
      String positions = g.node("Expand", row, shape);
      String lastColumn = g.node("Unsqueeze", last, g.constant(1));
      for (int layer = 0; layer < text.layers(); layer++) {
        boolean readout = layer == text.layers() - 1;
        h = decoderLayer(h, layer, positions, readout ? lastColumn : null);
      }
      String normed = rmsNorm(h, "language_model.model.norm.weight", text.rmsNormEps());
      normalise(normed, "embedding");
    }

    /** Token embeddings with image features and soft vectors in their places: [B, L, d]. */
    private String embed(String ids, String features, String side) {
      int width = config.text().hiddenSize();
      String image = g.node("Equal", ids, g.scalar(config.imageTokenId()));
      String soft = g.node("Less", ids, g.scalar(0));
      String words = g.node("Where", g.node("Or", image, soft), g.scalar(0), ids);
      String name = "language_model.model.embed_tokens.weight";
      String h = g.node("Gather", raw(name), words);
      h = checkpoint.info(name).dtype() == DType.F32 ? h : toFloat(h);
      if (features != null) {
        h = g.node("ScatterND", h, places(image), features);
      }
      String imageVectors = g.overridable(SOFT_IMAGE, GraphBuilder.FLOAT, "Ki", width);
      String textVectors = g.overridable(SOFT_TEXT, GraphBuilder.FLOAT, "Kt", width);
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

    private String rmsNorm(String x, String name, double epsilon) {
      return values(scaledRmsNorm(x, name, epsilon));
    }

    /** Of operators that ONNX Runtime vectorises on the CPU: its own works number by number. */
    private Scaled scaledRmsNorm(String x, String name, double epsilon) {
      String meanSquare = reduce("ReduceMean", g.node("Mul", x, x), -1);
      String root = g.node("Sqrt", g.node("Add", meanSquare, g.scalar((float) epsilon)));
      String inverse = g.node("Reciprocal", root);
      return int8
          ? new Scaled(g.node("Mul", x, weight(name)), inverse)
          : new Scaled(g.node("Mul", g.node("Mul", x, inverse), weight(name)), null);
    }

    /**
     * One layer. Tokens lie in two dimensions, [B*L, d], so that LoRA can be added by the product
     * that computes it; only rotation and attention see rows.
     *
     * @param last null, or the column [B, 1] of the only positions that are needed: then the result
     *     is [B, d]
     */
    private String decoderLayer(String h, int layer, String positions, String last) {
      TextConfig text = config.text();
      String root = "language_model.model.layers." + layer + ".";
      Scaled x = scaledRmsNorm(h, root + "input_layernorm.weight", text.rmsNormEps());
      String residual = last == null ? h : at(h, last);
      int kv = text.keyValueHeads();
      String q =
          last == null
              ? rows(adapted(x, root + "self_attn.q_proj"))
              : g.node("Unsqueeze", adapted(at(x, last), root + "self_attn.q_proj"), g.constant(1));
      q = rotate(q, text.heads(), last == null ? positions : last);
      String k = rotate(rows(adapted(x, root + "self_attn.k_proj")), kv, positions);
      String v = rows(adapted(x, root + "self_attn.v_proj"));
      GraphBuilder.Attributes attributes =
          GraphBuilder.attributes()
              .integer("q_num_heads", text.heads())
              .integer("kv_num_heads", kv)
              .real("scale", 1 / Math.sqrt(text.headDim()));
      String attended;
      if (last == null) {
        attended = g.node("Attention", attributes.integer("is_causal", 1), q, k, v);
      } else {
        String mask = g.node("LessOrEqual", positions, last);
        attended =
            g.node("Attention", attributes, q, k, v, g.node("Unsqueeze", mask, g.constant(1, 2)));
      }
      attended = flat(attended, (long) text.heads() * text.headDim());
      String output = adapted(new Scaled(attended, null), root + "self_attn.o_proj");
      String middle = g.node("Add", residual, output);
      Scaled y = scaledRmsNorm(middle, root + "post_attention_layernorm.weight", text.rmsNormEps());
      String gate = activation(text.activation(), adapted(y, root + "mlp.gate_proj"));
      Scaled up = scaledAdapted(y, root + "mlp.up_proj");
      Scaled inner = new Scaled(g.node("Mul", gate, up.unscaled), up.factor);
      return g.node("Add", middle, adapted(inner, root + "mlp.down_proj"));
    }

    private Scaled at(Scaled x, String column) {
      return new Scaled(at(x.unscaled, column), x.factor == null ? null : at(x.factor, column));
    }

    /** Row by row, the position that a column of indices names: [B*L, d] to [B, d]. */
    private String at(String x, String column) {
      return g.node(
          "GatherND", GraphBuilder.attributes().integer("batch_dims", 1), rows(x), column);
    }

    /** [B*L, d] to [B, L, d]. */
    private String rows(String x) {
      return g.node("Reshape", x, rowsByTokens);
    }

    /** [B, L, d] to [B*L, d]. */
    private String flat(String x, long width) {
      return g.node("Reshape", x, g.constant(-1, width));
    }

    private String rotate(String x, int heads, String positions) {
      TextConfig text = config.text();
      long[] shape = {text.maxPositions(), text.headDim() / 2};
      return g.node(
          "RotaryEmbedding",
          GraphBuilder.attributes().integer("num_heads", heads),
          x,
          g.table("rotary.cos", shape, rotary.cos()),
          g.table("rotary.sin", shape, rotary.sin()),
          positions);
    }

    private String adapted(Scaled x, String module) {
      return values(scaledAdapted(x, module));
    }

    /** A linear layer with its LoRA: {@code x W + (x A) B}. */
    private Scaled scaledAdapted(Scaled x, String module) {
      TensorInfo info = checkpoint.info(module + ".weight");
      // A name of its own for each rank: ONNX Runtime plans memory by the names, and modules that
      // an adapter leaves out keep rank 0.
      String rank = "r." + module;
      int type = int8 ? GraphBuilder.INT8 : GraphBuilder.FLOAT;
      String a = g.overridable(module + ".lora_A", type, info.shape()[1], rank);
      String b = g.overridable(module + ".lora_B", GraphBuilder.FLOAT, rank, info.shape()[0]);
      Scaled base = linear(x, module);
      // In 8 bit both products leave the same factor, as they multiply the same bytes.
      String low =
          int8
              ? multiply(quantised(x.unscaled, info.shape()[1]), a, g.scalar(1f))
              : g.node("MatMul", x.unscaled, a);
      Scaled sum = new Scaled(g.node("Gemm", low, b, base.unscaled), base.factor);
      return checkpoint.has(module + ".bias")
          ? new Scaled(g.node("Add", values(sum), weight(module + ".bias")), null)
          : sum;
    }
  }
}
