package io.whetstream.model.checkpoint;

/**
 * The names of tensors, which differ between releases of transformers. Canonical are the older
 * (before 4.52): the decoder is a whole causal language model below {@code language_model.}.
 */
final class TensorNames {
  private static final String TOWER = "vision_tower.";

  private TensorNames() {}

  /** The canonical name of a tensor of either layout. */
  static String canonical(String name) {
    if (name.equals("lm_head.weight")) {
      return "language_model.lm_head.weight";
    }
    boolean newer = name.startsWith("model.");
    String inner = newer ? name.substring("model.".length()) : name;
    if (newer && inner.startsWith("language_model.")) {
      return "language_model.model." + inner.substring("language_model.".length());
    }
    if (inner.startsWith(TOWER) && !inner.startsWith(TOWER + "vision_model.")) {
      return TOWER + "vision_model." + inner.substring(TOWER.length());
    }
    return inner;
  }
}
