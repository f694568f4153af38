package io.whetstream.jobs.table;

import io.whetstream.jobs.score.Embedder;
import io.whetstream.model.BadInputException;
import io.whetstream.model.image.ModelImage;

/**
 * A row's image, decoded and prepared, and its text.
 *
 * @param image what the embedder takes, or null
 * @param text or null
 * @param error why it cannot be embedded, or null
 * @param isEmpty whether there was neither image nor text
 */
record PreparedContent(ModelImage image, String text, String error, boolean isEmpty) {

  /** Decodes; never throws {@link BadInputException}. */
  static PreparedContent of(Embedder embedder, byte[] image, String text) {
    if (image == null && text == null) {
      return new PreparedContent(null, null, "there is nothing to embed: the input is NULL", true);
    }
    try {
      return new PreparedContent(
          image == null ? null : embedder.image(image, "column image"), text, null, false);
    } catch (BadInputException e) {
      return new PreparedContent(null, null, e.getMessage(), false);
    }
  }

  boolean hasImage() {
    return image != null;
  }
}
