package io.whetstream.model.onnx;

import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.ModelConfig;
import java.nio.file.Path;
import java.util.Locale;
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
  public static final int VERSION = 9;

  static final String BASE_DIGEST = "whetstream.base_digest";
  static final String EXPORTER_VERSION = "whetstream.exporter_version";
  static final String SOFT_IMAGE = "soft_prompt.image";
  static final String SOFT_TEXT = "soft_prompt.text";

  /** What a graph computes. B rows, L positions, N images, M image tokens, d width. */
  public enum Graph {
    /**
     * {@code pixels [N,3,S,S]} to {@code features [N*T,d]} and {@code pooled [N,v]}; of pictures of
     * any size what {@link DynamicTowerGraph} says.
     */
    VISION,
    /**
     * {@code ids [B,L]}, {@code last [B]} (index of each row's last position), {@code features
     * [M,d]} in the order of the image tokens, {@code side [1]} (0: soft vectors of the image side,
     * 1: of the text side) to {@code embedding [B,d]}; {@code positions [3,B,L]} where they have
     * three axes.
     */
    DECODER,
    /** {@code pixels [N,3,S,S]}, {@code ids [B,L]}, {@code last [B]} to {@code embedding [B,d]}. */
    IMAGE,
    /** {@code ids [B,L]}, {@code last [B]} to {@code embedding [B,d]}. */
    TEXT
  }

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
    Architecture architecture = config.architecture();
    int width = architecture.decoder().width();
    GraphBuilder g = new GraphBuilder();
    Operators operators = new Operators(g, checkpoint, files, int8);
    if (graph == Graph.VISION) {
      pool(g, operators, vision(g, operators, architecture));
      g.output("features", GraphBuilder.FLOAT, "M", architecture.featureWidth());
      g.output("pooled", GraphBuilder.FLOAT, "N", architecture.tower().width());
    } else {
      String ids = g.input("ids", GraphBuilder.INT64, "B", "L");
      String last = g.input("last", GraphBuilder.INT64, "B");
      String features =
          switch (graph) {
            case DECODER ->
                g.input("features", GraphBuilder.FLOAT, "M", architecture.featureWidth());
            case IMAGE -> {
              vision(g, operators, architecture);
              yield "features";
            }
            default -> null;
          };
      String side =
          graph == Graph.DECODER
              ? g.input("side", GraphBuilder.INT64, 1)
              : g.constant(graph == Graph.TEXT ? 1 : 0);
      new DecoderGraph(g, operators, architecture, config.imageTokenId())
          .build(ids, last, features, side);
      g.output("embedding", GraphBuilder.FLOAT, "B", width);
    }
    TreeMap<String, String> metadata = new TreeMap<>();
    metadata.put(BASE_DIGEST, checkpoint.digest());
    metadata.put(EXPORTER_VERSION, Integer.toString(VERSION));
    return g.model(graph.name().toLowerCase(Locale.ROOT), metadata);
  }

  /** The tower and connector that the architecture names: the value features; hidden states. */
  private static String vision(GraphBuilder g, Operators operators, Architecture architecture) {
    String kind = architecture.tower().kind();
    return switch (kind) {
      case "square" -> {
        String selected = new SquareTowerGraph(g, operators, architecture.tower()).build();
        new ConnectorGraph(g, operators, architecture).build(selected, "features");
        yield selected;
      }
      case "dynamic" -> new DynamicTowerGraph(g, operators, architecture).build();
      default -> throw new IllegalStateException("no graph of a vision tower of kind " + kind);
    };
  }

  /** Mean of the selected hidden states, L2-normalised. */
  private static void pool(GraphBuilder g, Operators operators, String selected) {
    operators.unitLength(
        g.node(
            "ReduceMean",
            GraphBuilder.attributes().integer("keepdims", 0),
            selected,
            g.constant(1)),
        "pooled");
  }
}
