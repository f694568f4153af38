package io.whetstream.model.lvlm;

import io.whetstream.model.BadInputException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The prompts of both sides. {@code <image>} stands for the image tokens, {@code <text>} for the
 * caption; the words in square brackets are replaced by soft vectors that start from them (VladVA
 * 2412.04378, section 3), words outside the brackets stay words. Without soft vectors the bracketed
 * words are a hand-written prompt. BOS is put first by the model, not by the template.
 *
 * @param image for example {@code "<image>[short summary of the image :]"}
 * @param text for example {@code "<text>[short summary of the text :]"}
 */
public record PromptTemplates(String image, String text) {
  private static final Pattern FORM =
      Pattern.compile("([^\\[\\]]*)(?:\\[([^\\[\\]]*)\\])?([^\\[\\]]*)");

  /** The parts of one template: words before and after the soft vectors, and those they replace. */
  record Parts(String before, String soft, String after) {}

  public PromptTemplates {
    parse(image, "<image>");
    parse(text, "<text>");
  }

  /** Prompts that summarise, as the paper's do. */
  public static PromptTemplates defaults() {
    return new PromptTemplates(
        "<image>[short summary of the image :]", "<text>[short summary of the text :]");
  }

  Parts imageParts() {
    return parse(image, "<image>");
  }

  Parts textParts() {
    return parse(text, "<text>");
  }

  private static Parts parse(String template, String slot) {
    Matcher matcher = FORM.matcher(template);
    if (!matcher.matches()) {
      throw new BadInputException(
          "prompt template '" + template + "' may hold one [..] at most, and no other brackets");
    }
    if (!matcher.group(1).contains(slot)) {
      throw new BadInputException(
          "prompt template '" + template + "' must hold " + slot + " before any [..]");
    }
    String soft = matcher.group(2);
    return new Parts(matcher.group(1), soft == null ? "" : soft, matcher.group(3));
  }
}
