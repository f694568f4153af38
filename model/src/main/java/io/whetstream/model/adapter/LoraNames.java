package io.whetstream.model.adapter;

import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Names of LoRA tensors: ours, and those that PEFT files have had. */
final class LoraNames {
  private static final String PREFIX = "base_model.model.";

  /** The decoder's canonical name, which is LLaVA's before transformers 4.52. */
  static final String OLDER_ROOT = "language_model.model";

  /** The decoder's name since then, of nearly all families. */
  static final String USUAL_ROOT = "model.language_model";

  private static final String IDEFICS3_ROOT = "model.text_model";

  /** Roots that PEFT files have had: of LLaVA kinds and Qwen-VL, of Idefics3, of older Qwen-VL. */
  private static final List<String> ROOTS = List.of(USUAL_ROOT, IDEFICS3_ROOT, OLDER_ROOT, "model");

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

  /** The name of a canonical module or tensor under another root. */
  static String under(String root, String canonical) {
    return canonical.startsWith(OLDER_ROOT)
        ? root + canonical.substring(OLDER_ROOT.length())
        : canonical;
  }

  static String toPeft(String canonical, String root) {
    return PREFIX + under(root, canonical);
  }

  /** The root of a tensor in a PEFT file, if it is one of those there have been. */
  static Optional<String> root(String key) {
    return ROOTS.stream().filter(root -> key.startsWith(PREFIX + root + ".")).findFirst();
  }

  /** Whether transformers still uses a root. */
  static boolean isNewest(String root) {
    return root.equals(USUAL_ROOT) || root.equals(IDEFICS3_ROOT);
  }

  /** The canonical name of a tensor in a PEFT file, if it is one of the layouts there have been. */
  static Optional<String> fromPeft(String key) {
    return root(key)
        .map(root -> OLDER_ROOT + key.substring(PREFIX.length() + root.length()))
        .filter(canonical -> parse(canonical).isPresent());
  }

  /** Every name that a canonical module or tensor has had in transformers. */
  static List<String> names(String canonical) {
    return canonical.startsWith(OLDER_ROOT)
        ? ROOTS.stream().map(root -> under(root, canonical)).toList()
        : List.of(canonical);
  }

  static String module(int layer, String suffix) {
    return OLDER_ROOT + ".layers." + layer + "." + suffix;
  }
}
