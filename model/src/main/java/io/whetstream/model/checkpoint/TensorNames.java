package io.whetstream.model.checkpoint;

import java.util.List;

/**
 * The names of tensors, which differ between families and between releases of transformers.
 * Canonical for the decoder are those of LLaVA before 4.52: it is a whole causal language model
 * below {@code language_model.}. What a vision tower's are, each family says.
 */
final class TensorNames {
  private static final String TOWER = "vision_tower.";

  private TensorNames() {}

  /** The canonical name of a tensor of any layout of the LLaVA families. */
  static String llava(String name) {
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

  /**
   * A name with another beginning.
   *
   * @param beginnings old and new, in turns; the first old one that fits counts
   */
  static String renamed(String name, List<String> beginnings) {
    for (int i = 0; i < beginnings.size(); i += 2) {
      if (name.startsWith(beginnings.get(i))) {
        return beginnings.get(i + 1) + name.substring(beginnings.get(i).length());
      }
    }
    return name;
  }
}
