package io.whetstream.model.lvlm;

import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.image.ImageGeometry;

/**
 * What stands in a text for a picture, in the tokens of its model's family, as the processors of
 * transformers write it: the image token once for each input of the vision tower.
 */
final class ImageMarkup {
  private static final String FAKE = "<fake_token_around_image>";

  private ImageMarkup() {}

  /**
   * The text that stands for a picture.
   *
   * @param image the text of the image token
   */
  static String of(ModelConfig config, ImageGeometry picture, String image) {
    if (config.vision().dynamic() != null) {
      return "<|vision_start|>" + image + "<|vision_end|>";
    }
    return config.shuffle() > 0 ? split(picture, image) : image;
  }

  /** Idefics3: crop by crop with its place, a line end after each row, then the whole picture. */
  private static String split(ImageGeometry picture, String image) {
    StringBuilder text = new StringBuilder();
    for (int row = 1; row <= picture.rows(); row++) {
      for (int column = 1; column <= picture.columns(); column++) {
        text.append(FAKE).append("<row_" + row + "_col_" + column + ">").append(image);
      }
      text.append('\n');
    }
    if (picture.rows() > 0) {
      text.append('\n');
    }
    return text.append(FAKE + "<global-img>").append(image).append(FAKE).toString();
  }
}
