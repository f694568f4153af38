package io.whetstream.model.checkpoint;

import java.util.List;

/**
 * What the three Qwen-VL families share: pictures of any size, blocks of patches merged into one
 * feature, a decoder with positions of three axes.
 */
abstract class QwenVlFamily implements ModelFamily {
  @Override
  public String supports() {
    return "pictures (no video)";
  }

  /** The vision tower. */
  abstract VisionConfig vision(ConfigKeys keys);

  @Override
  public ModelConfig config(ConfigKeys root) {
    // Older releases write the decoder's keys at the top.
    boolean nested = root.has("text_config");
    ConfigKeys textKeys = nested ? root.object("text_config") : root;
    String type = modelType() + "_text";
    String written = textKeys.string("model_type", type);
    if (nested && !written.equals(type)) {
      throw textKeys.unsupported("model_type", written, type);
    }
    VisionConfig vision = vision(root.object("vision_config"));
    TextConfig text = DecoderKeys.read(textKeys, type);
    List<Integer> deepstack = vision.dynamic().deepstackLayers();
    if (deepstack.size() >= text.layers()) {
      throw root.bad(
          "vision_config.deepstack_visual_indexes",
          deepstack + " are not fewer than the decoder's " + text.layers() + " layers");
    }
    return new ModelConfig(
        modelType(),
        vision,
        text,
        LlavaFamily.imageToken(root, text, 151655),
        0,
        LlavaFamily.padding(root, text),
        -1,
        "full",
        "gelu",
        true,
        tied(root, false),
        0,
        null);
  }

  @Override
  public Architecture network(ModelConfig config) {
    return new Architecture(
        DynamicTowerModules.tower(config.vision()),
        DynamicTowerModules.merger(config.vision(), config.text().hiddenSize()),
        DecoderModules.of(config.text(), config.tiedEmbeddings()));
  }

  @Override
  public ImageMarkup markup() {
    return ImageMarkup.between("<|vision_start|>", "<|vision_end|>");
  }

  @Override
  public String canonical(String name) {
    String outer =
        TensorNames.renamed(
            name,
            List.of(
                "model.language_model.", "language_model.model.",
                "model.visual.", "visual.",
                "model.", "language_model.model.",
                "lm_head.", "language_model.lm_head."));
    return outer.startsWith("visual.") ? vision(outer) : outer;
  }

  /** What the generations call differently: the layers of MLPs and mergers, and mergers' norms. */
  private static String vision(String name) {
    return name.replace(".linear_fc", ".fc")
        .replace(".mlp.gate_proj.", ".mlp.gate.")
        .replace(".mlp.up_proj.", ".mlp.fc1.")
        .replace(".mlp.down_proj.", ".mlp.fc2.")
        .replace(".merger.ln_q.", ".merger.norm.")
        .replace(".merger.mlp.0.", ".merger.fc1.")
        .replace(".merger.mlp.2.", ".merger.fc2.");
  }
}
