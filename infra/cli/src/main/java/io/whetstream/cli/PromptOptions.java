package io.whetstream.cli;

import io.whetstream.model.lvlm.PromptTemplates;
import picocli.CommandLine.Option;

/** The prompts of both sides. Use: {@code @Mixin private PromptOptions prompts;} */
final class PromptOptions {
  @Option(
      names = "--image-prompt",
      paramLabel = "TEMPLATE",
      description =
          "Prompt of the image side: <image> and words; words in [..] are where soft vectors stand"
              + " and what they start from (default: <image>[short summary of the image :]).")
  private String image;

  @Option(
      names = "--text-prompt",
      paramLabel = "TEMPLATE",
      description =
          "Prompt of the text side, with <text> for the caption (default: <text>[short summary of"
              + " the text :]).")
  private String text;

  boolean given() {
    return image != null || text != null;
  }

  PromptTemplates templates() {
    PromptTemplates standard = PromptTemplates.defaults();
    return new PromptTemplates(
        image == null ? standard.image() : image, text == null ? standard.text() : text);
  }
}
