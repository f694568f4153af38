package io.whetstream.jobs.finetune;

import io.whetstream.model.image.RgbImage;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * Seeded pictures of coloured rectangles and ellipses over a gradient. Their mean mining embedding
 * is what all pictures have in common; without it subtracted, every picture lies on the same side
 * of nearly every hyperplane. The same on every machine, so homes are too.
 */
final class ReferenceImages {
  private ReferenceImages() {}

  static List<RgbImage> draw(long seed, int count, int size) {
    List<RgbImage> images = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      images.add(draw(new Random(PairIds.mix(seed, i, 0)), size));
    }
    return images;
  }

  private static RgbImage draw(Random random, int size) {
    byte[] rgb = new byte[size * size * 3];
    int[] from = colour(random);
    int[] to = colour(random);
    for (int y = 0; y < size; y++) {
      for (int x = 0; x < size; x++) {
        for (int c = 0; c < 3; c++) {
          rgb[(y * size + x) * 3 + c] = (byte) (from[c] + (to[c] - from[c]) * y / size);
        }
      }
    }
    int shapes = 1 + random.nextInt(4);
    for (int s = 0; s < shapes; s++) {
      int[] colour = colour(random);
      boolean ellipse = random.nextBoolean();
      int width = size / 8 + random.nextInt(size / 3);
      int height = size / 8 + random.nextInt(size / 3);
      int left = random.nextInt(size - width);
      int top = random.nextInt(size - height);
      for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
          double dx = (2.0 * x - width) / width;
          double dy = (2.0 * y - height) / height;
          if (!ellipse || dx * dx + dy * dy <= 1) {
            for (int c = 0; c < 3; c++) {
              rgb[((top + y) * size + left + x) * 3 + c] = (byte) colour[c];
            }
          }
        }
      }
    }
    return new RgbImage(size, size, rgb);
  }

  private static int[] colour(Random random) {
    return new int[] {random.nextInt(256), random.nextInt(256), random.nextInt(256)};
  }
}
