package io.whetstream.model.checkpoint;

import io.whetstream.model.checkpoint.Architecture.Connector;
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

/** The modules of the vision towers and mergers of Qwen-VL. */
final class DynamicTowerModules {
  private static final String ROOT = "visual.";

  private DynamicTowerModules() {}

  static Tower tower(VisionConfig v) {
    int width = v.hiddenSize();
    int patch = v.patchSize();
    int side = v.dynamic().positionSide();
    boolean learned = side > 0;
    List<Layer> layers = new ArrayList<>();
    for (int i = 0; i < v.layers(); i++) {
      layers.add(layer(v, ROOT + "blocks." + i + "."));
    }
    return new Tower(
        "dynamic",
        0,
        patch,
        new Linear(
            ROOT + "patch_embed.proj",
            Role.PATCHES,
            width,
            3 * 2 * patch * patch,
            learned,
            List.of(3, 2, patch, patch)),
        null,
        learned ? Positions.LEARNT_RESAMPLED : Positions.ROTARY,
        learned ? new Table(ROOT + "pos_embed.weight", side * side, width) : null,
        null,
        v.heads(),
        layers,
        null,
        0,
        v.dynamic());
  }

  /**
   * The merger, and those of deepstack.
   *
   * @param outputs width of the decoder
   */
  static Connector merger(VisionConfig v, int outputs) {
    int block = v.dynamic().merge() * v.dynamic().merge() * v.hiddenSize();
    List<Connector> deepstack = new ArrayList<>();
    for (int k = 0; k < v.dynamic().deepstackLayers().size(); k++) {
      String name = ROOT + "deepstack_merger_list." + k + ".";
      Norm norm = new Norm(name + "norm", NormKind.LAYER, block, v.layerNormEps());
      deepstack.add(merger(v, name, norm, block, outputs, List.of()));
    }
    String name = ROOT + "merger.";
    return merger(v, name, norm(v, name + "norm"), block, outputs, deepstack);
  }

  private static Connector merger(
      VisionConfig v, String name, Norm norm, int block, int outputs, List<Connector> deepstack) {
    return new Connector(
        "merger",
        List.of(
            new Linear(name + "fc1", Role.CONNECTOR, block, block, true),
            new Linear(name + "fc2", Role.CONNECTOR, outputs, block, true)),
        Activation.GELU,
        v.dynamic().merge(),
        0,
        null,
        norm,
        deepstack);
  }

  private static Norm norm(VisionConfig v, String name) {
    NormKind kind = v.dynamic().gated() ? NormKind.RMS : NormKind.LAYER;
    return new Norm(name, kind, v.hiddenSize(), v.layerNormEps());
  }

  private static Layer layer(VisionConfig v, String name) {
    int width = v.hiddenSize();
    int hidden = v.intermediateSize();
    Linear up = new Linear(name + "mlp.fc1", Role.UP, hidden, width, true);
    return new Layer(
        norm(v, name + "norm1"),
        new Linear(name + "attn.qkv", Role.ATTENTION, 3 * width, width, true),
        null,
        null,
        null,
        null,
        new Linear(name + "attn.proj", Role.OUTPUT, width, width, true),
        norm(v, name + "norm2"),
        v.dynamic().gated()
            ? List.of(new Linear(name + "mlp.gate", Role.GATE, hidden, width, true), up)
            : List.of(up),
        Activation.of(v.activation()),
        new Linear(name + "mlp.fc2", Role.DOWN, width, hidden, true));
  }
}
