package io.whetstream.model.adapter;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import io.whetstream.model.BadInputException;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * What an adapter is made of. Part of the adapter's digest.
 *
 * @param rank LoRA rank r; 0 for an adapter of soft prompts alone
 * @param alpha LoRA alpha; see {@link #scaling()}
 * @param rsLora rank-stabilised scaling (rsLoRA, 2312.03732)
 * @param dropout LoRA dropout during training, in [0, 1)
 * @param targetModules the linear modules of the language model that carry LoRA: either names,
 *     matched as suffixes ({@code q_proj}, {@code mlp.up_proj}), or a single regular expression
 *     that is matched against the whole module name, as in Hugging Face PEFT
 * @param imageTemplate prompt template of the image side, null when the adapter's source does not
 *     say (a bare PEFT directory)
 * @param textTemplate prompt template of the text side, null likewise
 * @param softImage number of soft vectors on the image side, 0 for none
 * @param softText number of soft vectors on the text side, 0 for none
 * @param promptEncoding how the templates become token ids
 */
@JsonPropertyOrder({
  "rank",
  "alpha",
  "rsLora",
  "dropout",
  "targetModules",
  "imageTemplate",
  "textTemplate",
  "softImage",
  "softText",
  "promptEncoding"
})
@JsonIgnoreProperties(ignoreUnknown = true)
public record AdapterConfig(
    int rank,
    double alpha,
    boolean rsLora,
    double dropout,
    List<String> targetModules,
    String imageTemplate,
    String textTemplate,
    int softImage,
    int softText,
    @JsonInclude(value = JsonInclude.Include.CUSTOM, valueFilter = AdapterConfig.FirstRelease.class)
        PromptEncoding promptEncoding) {
  /** The decoder's linear modules, in the order of their use: what LoRA can stand beside. */
  public static final List<String> MODULES =
      List.of(
          "self_attn.q_proj",
          "self_attn.k_proj",
          "self_attn.v_proj",
          "self_attn.o_proj",
          "mlp.gate_proj",
          "mlp.up_proj",
          "mlp.down_proj");

  /** What Python writes otherwise than Java; escapes are matched so as to be left alone. */
  private static final Pattern PYTHON = Pattern.compile("\\\\.|\\(\\?P<\\w+>|\\(\\?P=\\w+\\)");

  private static final Pattern PLAIN_NAME = Pattern.compile("[A-Za-z0-9_.]+");

  /** Leaves out of a manifest what manifests of the first release do not say. */
  static final class FirstRelease {
    @Override
    public boolean equals(Object value) {
      return value == null || value == PromptEncoding.PIECES;
    }

    @Override
    public int hashCode() {
      return 0;
    }
  }

  /** An adapter whose prompts are encoded as a whole, as those of new adapters are. */
  public AdapterConfig(
      int rank,
      double alpha,
      boolean rsLora,
      double dropout,
      List<String> targetModules,
      String imageTemplate,
      String textTemplate,
      int softImage,
      int softText) {
    this(
        rank,
        alpha,
        rsLora,
        dropout,
        targetModules,
        imageTemplate,
        textTemplate,
        softImage,
        softText,
        PromptEncoding.WHOLE);
  }

  @JsonCreator
  public AdapterConfig {
    promptEncoding = promptEncoding == null ? PromptEncoding.PIECES : promptEncoding;
    targetModules = targetModules == null ? List.of() : List.copyOf(targetModules);
    if (rank < 0 || rank > 4096) {
      throw new BadInputException("adapter rank must be between 0 and 4096, not " + rank);
    }
    if (!Double.isFinite(alpha)) {
      throw new BadInputException("adapter alpha must be a finite number, not " + alpha);
    }
    if (!(dropout >= 0 && dropout < 1)) {
      throw new BadInputException("adapter dropout must be in [0, 1), not " + dropout);
    }
    if (softImage < 0 || softText < 0) {
      throw new BadInputException(
          "numbers of soft vectors must be 0 or more, not " + softImage + " and " + softText);
    }
    if (rank > 0 && targetModules.isEmpty()) {
      throw new BadInputException("an adapter of rank " + rank + " needs target modules");
    }
    if (isExpression(targetModules)) {
      try {
        pattern(targetModules);
      } catch (PatternSyntaxException e) {
        throw new BadInputException(
            "target_modules is not a regular expression that can be read here ("
                + e.getDescription()
                + "): "
                + targetModules.get(0)
                + "; name the modules instead, as in [\"q_proj\", \"v_proj\"]",
            e);
      }
    }
  }

  /** The same adapter with prompts encoded in another way. */
  public AdapterConfig withPromptEncoding(PromptEncoding other) {
    return new AdapterConfig(
        rank,
        alpha,
        rsLora,
        dropout,
        targetModules,
        imageTemplate,
        textTemplate,
        softImage,
        softText,
        other);
  }

  /** The same adapter with other templates, encoded as a whole. */
  public AdapterConfig withPrompts(String image, String text) {
    return new AdapterConfig(
        rank, alpha, rsLora, dropout, targetModules, image, text, softImage, softText);
  }

  /**
   * The factor of B·A in {@code y = W x + scaling · B A x}: alpha / r (LoRA, 2106.09685, section
   * 4.1), alpha / sqrt(r) with rsLoRA; 1 at rank 0, where there is nothing to scale.
   */
  public double scaling() {
    if (rank == 0) {
      return 1;
    }
    return rsLora ? alpha / Math.sqrt(rank) : alpha / rank;
  }

  /**
   * Whether this configuration adapts a linear module, by PEFT's rule: a list names suffixes, a
   * single regular expression must match the whole name. The expression may mean any of the names
   * the module has had in transformers.
   *
   * @param module canonical name, {@code language_model.model.layers.0.self_attn.q_proj}
   */
  public boolean targets(String module) {
    if (isExpression(targetModules)) {
      Pattern pattern = pattern(targetModules);
      return LoraNames.names(module).stream().anyMatch(name -> pattern.matcher(name).matches());
    }
    return targetModules.stream()
        .anyMatch(target -> module.equals(target) || module.endsWith("." + target));
  }

  /**
   * The text under which the trainer's state is kept, written by hand so that it outlives changes
   * of this record. Like {@link AdapterWeights#digest} it never changes for an adapter there is.
   */
  public String stateKey() {
    return "AdapterConfig[rank="
        + rank
        + ", alpha="
        + alpha
        + ", rsLora="
        + rsLora
        + ", dropout="
        + dropout
        + ", targetModules="
        + targetModules
        + ", imageTemplate="
        + imageTemplate
        + ", textTemplate="
        + textTemplate
        + ", softImage="
        + softImage
        + ", softText="
        + softText
        + (promptEncoding == PromptEncoding.PIECES ? "" : ", promptEncoding=" + promptEncoding)
        + "]";
  }

  /** The regular expression of Python as one of Java: named groups and the end of the text. */
  static Pattern pattern(List<String> expression) {
    String text = expression.get(0);
    StringBuilder java = new StringBuilder();
    Matcher matcher = PYTHON.matcher(text);
    while (matcher.find()) {
      String found = matcher.group();
      String name = "g" + Integer.toHexString(found.replaceAll("\\W|^.P", "").hashCode());
      String replacement =
          found.equals("\\Z")
              ? "\\z"
              : found.startsWith("(?P<")
                  ? "(?<" + name + ">"
                  : found.startsWith("(?P=") ? "\\k<" + name + ">" : found;
      matcher.appendReplacement(java, Matcher.quoteReplacement(replacement));
    }
    return Pattern.compile(matcher.appendTail(java).toString());
  }

  static boolean isExpression(List<String> targetModules) {
    return targetModules.size() == 1 && !PLAIN_NAME.matcher(targetModules.get(0)).matches();
  }
}
