package io.whetstream.model.checkpoint;

import io.whetstream.model.checkpoint.Architecture.Layer;
import io.whetstream.model.checkpoint.Architecture.Linear;
import io.whetstream.model.checkpoint.Architecture.Norm;
import io.whetstream.model.checkpoint.Architecture.NormKind;
import io.whetstream.model.checkpoint.Architecture.Positions;
import io.whetstream.model.checkpoint.Architecture.Role;
import io.whetstream.model.checkpoint.Architecture.Table;
import io.whetstream.model.checkpoint.Architecture.Tower;
import java.util.ArrayList;
import java.util.List;

/** The modules of CLIP's and SigLIP's vision towers. */
final class SquareTowerModules {
  private static final String ROOT = "vision_tower.vision_model.";

  private SquareTowerModules() {}

  /**
   * @param used how many layers are run
   * @param dropped how many features at the beginning do not reach the connector
   */
  static Tower of(VisionConfig v, int used, int dropped) {
    return of(v, used, Positions.LEARNT, null, dropped);
  }

  /** Idefics3's: all layers, a norm behind them, positions by buckets. */
  static Tower idefics3(VisionConfig v) {
    Norm after = norm(v, ROOT + "post_layernorm");
    return of(v, v.layers(), Positions.LEARNT_BY_BUCKETS, after, 0);
  }

  private static Tower of(VisionConfig v, int used, Positions scheme, Norm after, int dropped) {
    int width = v.hiddenSize();
    int patch = v.patchSize();
    boolean clip = v.type().equals("clip");
    String embeddings = ROOT + "embeddings.";
    List<Layer> layers = new ArrayList<>();
    for (int i = 0; i < used; i++) {
      layers.add(layer(v, ROOT + "encoder.layers." + i + "."));
    }
    return new Tower(
        "square",
        v.imageSize(),
        patch,
        new Linear(
            embeddings + "patch_embedding",
            Role.PATCHES,
            width,
            3 * patch * patch,
            !clip,
            List.of(3, patch, patch)),
        clip ? new Table(embeddings + "class_embedding", 0, width) : null,
        scheme,
        new Table(embeddings + "position_embedding.weight", v.positions(), width),
        clip ? norm(v, ROOT + "pre_layrnorm") : null,
        v.heads(),
        layers,
        after,
        dropped,
        null);
  }

  private static Norm norm(VisionConfig v, String name) {
    return new Norm(name, NormKind.LAYER, v.hiddenSize(), v.layerNormEps());
  }

  private static Layer layer(VisionConfig v, String name) {
    int width = v.hiddenSize();
    String attention = name + "self_attn.";
    return new Layer(
        norm(v, name + "layer_norm1"),
        new Linear(attention + "q_proj", Role.QUERY, width, width, true),
        new Linear(attention + "k_proj", Role.KEY, width, width, true),
        new Linear(attention + "v_proj", Role.VALUE, width, width, true),
        null,
        null,
        new Linear(attention + "out_proj", Role.OUTPUT, width, width, true),
        norm(v, name + "layer_norm2"),
        List.of(new Linear(name + "mlp.fc1", Role.UP, v.intermediateSize(), width, true)),
        Activation.of(v.activation()),
        new Linear(name + "mlp.fc2", Role.DOWN, width, v.intermediateSize(), true));
  }
}
