package io.whetstream.scenes;

import io.whetstream.model.image.RgbImage;

/**
 * One line of pretraining: {@code [image] prompt text}.
 *
 * @param image the picture, or null for a line of text alone
 * @param prompt what stands between image and text; may be empty. Given, not to be predicted
 * @param text what is to be predicted, followed by the end of the sequence
 */
public record PretrainingExample(Kind kind, RgbImage image, String prompt, String text) {
  /** What the base learns from it. */
  public enum Kind {
    /** A long caption of a scene. */
    LONG,
    /** Nine objects in reading order: what makes it tell shapes apart early. */
    GRID,
    /** One word that fits, asked for with a prompt. */
    WORD,
    /** A question about one shape or two, and its answer. */
    QUESTION,
    /** No image: captions, definitions and spelling, with every word there is. */
    TEXT
  }
}
