package io.whetstream.model.lvlm;

import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.PromptEncoding;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The prompts of both sides. {@code <image>} stands for the image tokens, {@code <text>} for the
 * caption; the words in square brackets are replaced by soft vectors that start from them (VladVA
 * 2412.04378, section 3), words outside the brackets stay words. Without soft vectors the bracketed
 * words are a hand-written prompt. BOS is put first by the tokenizer, not by the template.
 *
 * <p>Blanks and line breaks count. A letter or digit that follows {@code <text>} at once begins a
 * new word, so a blank is put before it. A backslash takes the next character as it is: {@code \[}
 * is a bracket, {@code <text>\s} the plural of the caption.
 *
 * @param image for example {@code "<image>[short summary of the image :]"}
 * @param text for example {@code "<text>[short summary of the text :]"}
 * @param encoding how they become token ids; {@link PromptEncoding#PIECES} knows no backslash and
 *     puts no blank
 */
public record PromptTemplates(String image, String text, PromptEncoding encoding) {
  private static final String IMAGE = "<image>";
  private static final String TEXT = "<text>";
  private static final Pattern PIECES =
      Pattern.compile("([^\\[\\]]*)(?:\\[([^\\[\\]]*)\\])?([^\\[\\]]*)");

  /**
   * What stands before the slot, between slot and soft words, the soft words, and behind them.
   *
   * @param newWord whether a letter or digit follows the slot at once and has no backslash
   */
  record Parts(String before, String between, String soft, String after, boolean newWord) {}

  public PromptTemplates {
    parse(image, IMAGE, encoding);
    parse(text, TEXT, encoding);
    requireNoVideo(image);
    requireNoVideo(text);
  }

  /** The placeholders of videos, in the tokens of the families. */
  private static void requireNoVideo(String template) {
    for (String token : List.of("<video>", "<|video_pad|>")) {
      if (template.contains(token)) {
        throw new BadInputException(
            "prompt template '"
                + template
                + "' holds "
                + token
                + ": videos are not supported, pictures are: <image>");
      }
    }
  }

  /** Templates that are encoded as a whole. */
  public PromptTemplates(String image, String text) {
    this(image, text, PromptEncoding.WHOLE);
  }

  /** The templates an adapter was trained with; it must have both. */
  public static PromptTemplates of(AdapterConfig adapter) {
    return new PromptTemplates(
        adapter.imageTemplate(), adapter.textTemplate(), adapter.promptEncoding());
  }

  /** Prompts that summarise, as the paper's do. */
  public static PromptTemplates defaults() {
    return new PromptTemplates(
        "<image>[short summary of the image :]", "<text>[short summary of the text :]");
  }

  Parts imageParts() {
    return parse(image, IMAGE, encoding);
  }

  Parts textParts() {
    return parse(text, TEXT, encoding);
  }

  private static Parts parse(String template, String slot, PromptEncoding encoding) {
    return encoding == PromptEncoding.PIECES ? pieces(template, slot) : whole(template, slot);
  }

  private static Parts pieces(String template, String slot) {
    Matcher matcher = PIECES.matcher(template);
    if (!matcher.matches()) {
      throw brackets(template);
    }
    int at = matcher.group(1).indexOf(slot);
    if (at < 0) {
      throw noSlot(template, slot);
    }
    String soft = matcher.group(2);
    return new Parts(
        matcher.group(1).substring(0, at),
        matcher.group(1).substring(at + slot.length()),
        soft == null ? "" : soft,
        matcher.group(3),
        false);
  }

  private static Parts whole(String template, String slot) {
    StringBuilder[] parts = new StringBuilder[4];
    for (int i = 0; i < parts.length; i++) {
      parts[i] = new StringBuilder();
    }
    int part = 0;
    boolean newWord = false;
    boolean behindSlot = false;
    for (int i = 0; i < template.length(); i++) {
      char c = template.charAt(i);
      if (c == '\\' && i + 1 < template.length()) {
        parts[part].append(template.charAt(++i));
        behindSlot = false;
      } else if (template.startsWith(slot, i)) {
        if (part == 1) {
          throw new BadInputException(
              "prompt template '" + template + "' must hold " + slot + " once");
        }
        if (part > 1) {
          throw noSlot(template, slot);
        }
        part = 1;
        i += slot.length() - 1;
        behindSlot = true;
      } else if (c == '[' || c == ']') {
        if (part == 0) {
          throw template.indexOf(slot) > i ? noSlot(template, slot) : brackets(template);
        }
        if (part != (c == '[' ? 1 : 2)) {
          throw brackets(template);
        }
        part++;
      } else {
        newWord |= behindSlot && Character.isLetterOrDigit(template.codePointAt(i));
        parts[part].append(c);
        behindSlot = false;
      }
    }
    if (part == 0) {
      throw noSlot(template, slot);
    }
    if (part == 2) {
      throw brackets(template);
    }
    return new Parts(
        parts[0].toString(),
        parts[1].toString(),
        parts[2].toString(),
        parts[3].toString(),
        newWord);
  }

  private static BadInputException noSlot(String template, String slot) {
    return new BadInputException(
        "prompt template '" + template + "' must hold " + slot + " before any [..]");
  }

  private static BadInputException brackets(String template) {
    return new BadInputException(
        "prompt template '"
            + template
            + "' may hold one [..] at most, and no other brackets but \\[ and \\]");
  }
}
