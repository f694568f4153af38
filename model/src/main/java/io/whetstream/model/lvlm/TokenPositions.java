package io.whetstream.model.lvlm;

import io.whetstream.model.image.ImageGeometry;
import java.util.List;

/**
 * Positions of tokens for rotary embeddings of three axes (Qwen2-VL, 2409.12191, section 2.1): a
 * word stands at the same place on all three; a picture's features share one time and differ in row
 * and column; what follows a picture goes on after the largest of them.
 */
public final class TokenPositions {
  private TokenPositions() {}

  /**
   * The positions of a row.
   *
   * @param ids token ids; the image token stands once per image feature
   * @param images geometry of the row's images, in order
   * @param pixels side in pixels of what one feature stands for
   * @return [3][L]: time, height, width
   */
  public static long[][] of(long[] ids, long imageToken, List<ImageGeometry> images, int pixels) {
    long[][] positions = new long[3][ids.length];
    long next = 0;
    int image = 0;
    for (int i = 0; i < ids.length; ) {
      if (ids[i] != imageToken || image == images.size()) {
        positions[0][i] = next;
        positions[1][i] = next;
        positions[2][i] = next++;
        i++;
        continue;
      }
      ImageGeometry picture = images.get(image++);
      int wide = picture.width() / pixels;
      for (int feature = 0; feature < picture.tokens(); feature++) {
        positions[0][i] = next;
        positions[1][i] = next + feature / wide;
        positions[2][i] = next + feature % wide;
        i++;
      }
      next += Math.max(picture.height() / pixels, wide);
    }
    return positions;
  }
}
