package io.whetstream.model.checkpoint;

import java.util.Locale;

/**
 * What stands in a text for a picture, in the tokens of a family, as the processors of transformers
 * write it: the image token once for each input of the vision tower that has a text of its own.
 *
 * @param crop before the image token of each crop, with {@code %d} twice for its row and column,
 *     counted from 1; null where crops have no text of their own
 * @param rowEnd after a row of crops
 * @param gridEnd after all rows
 * @param whole before the image token of the whole picture
 * @param end after it
 */
public record ImageMarkup(String crop, String rowEnd, String gridEnd, String whole, String end) {
  /** The image token alone. */
  public static final ImageMarkup PLAIN = between("", "");

  /** The image token between two others. */
  public static ImageMarkup between(String begin, String end) {
    return new ImageMarkup(null, "", "", begin, end);
  }

  /**
   * The text that stands for a picture.
   *
   * @param rows of crops; 0 where the picture was not cut
   * @param columns of crops
   * @param image the text of the image token
   */
  public String of(int rows, int columns, String image) {
    StringBuilder text = new StringBuilder();
    if (crop != null && rows > 0) {
      for (int row = 1; row <= rows; row++) {
        for (int column = 1; column <= columns; column++) {
          text.append(String.format(Locale.ROOT, crop, row, column)).append(image);
        }
        text.append(rowEnd);
      }
      text.append(gridEnd);
    }
    return text.append(whole).append(image).append(end).toString();
  }
}
