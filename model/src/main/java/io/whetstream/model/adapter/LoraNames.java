package io.whetstream.model.adapter;

import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Names of LoRA tensors: ours, and those that PEFT files have had. */
final class LoraNames {
  private static final String PREFIX = "base_model.model.";
  private static final String OLDER_ROOT = "language_model.model.";
  private static final String NEWER_ROOT = "model.language_model.";

  /** Roots that PEFT files have had: of LLaVA kinds and Qwen-VL, of Idefics3, of older Qwen-VL. */
  private static final List<String> ROOTS =
      List.of(NEWER_ROOT, "model.text_model.", OLDER_ROOT, "model.");

  private static final Pattern CANONICAL =
      Pattern.compile(
          "(language_model\\.model\\.layers\\.(0|[1-9]\\d{0,5})"
              + "\\.(self_attn\\.[qkvo]_proj|mlp\\.(?:gate|up|down)_proj))\\.lora_(A|B)\\.weight");

  /** The parts of a canonical tensor name. */
  record Parsed(String module, int layer, String suffix, boolean isA) {
    String partner() {
      return module + (isA ? ".lora_B.weight" : ".lora_A.weight");
    }
  }

  private LoraNames() {}

  static Optional<Parsed> parse(String canonical) {
    Matcher m = CANONICAL.matcher(canonical);
    return m.matches()
        ? Optional.of(
            new Parsed(
                m.group(1), Integer.parseInt(m.group(2)), m.group(3), m.group(4).equals("A")))
        : Optional.empty();
  }

  /** The name since transformers 4.52 of a canonical module or tensor name. */
  static String newer(String canonical) {
    return canonical.startsWith(OLDER_ROOT)
        ? NEWER_ROOT + canonical.substring(OLDER_ROOT.length())
        : canonical;
  }

  static String toPeft(String canonical, boolean older) {
    return PREFIX + (older ? canonical : newer(canonical));
  }

  /** The canonical name of a tensor in a PEFT file, if it is one of the layouts there have been. */
  static Optional<String> fromPeft(String key) {
    if (!key.startsWith(PREFIX)) {
      return Optional.empty();
    }
    String name = key.substring(PREFIX.length());
    return ROOTS.stream()
        .filter(name::startsWith)
        .findFirst()
        .map(root -> OLDER_ROOT + name.substring(root.length()))
        .filter(canonical -> parse(canonical).isPresent());
  }

  /** Every name that a canonical module or tensor has had in transformers. */
  static List<String> names(String canonical) {
    return canonical.startsWith(OLDER_ROOT)
        ? ROOTS.stream().map(root -> root + canonical.substring(OLDER_ROOT.length())).toList()
        : List.of(canonical);
  }

  static String module(int layer, String suffix) {
    return OLDER_ROOT + "layers." + layer + "." + suffix;
  }
}
