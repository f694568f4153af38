package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;

class ContentGroupTest {
  private static byte[] picture(int size, int red, int green, int blue, int left, int noise) {
    Random random = new Random(noise);
    byte[] rgb = new byte[size * size * 3];
    for (int y = 0; y < size; y++) {
      for (int x = 0; x < size; x++) {
        boolean inside =
            y > size / 4 && y < size / 2 && x >= left * size / 48 && x < (left + 14) * size / 48;
        int[] colour = inside ? new int[] {red, green, blue} : new int[] {120, 120, 120};
        for (int c = 0; c < 3; c++) {
          int value = colour[c] + (noise == 0 ? 0 : random.nextInt(9) - 4);
          rgb[(y * size + x) * 3 + c] = (byte) Math.min(255, Math.max(0, value));
        }
      }
    }
    return rgb;
  }

  @Test
  void aNoisyOrResizedCopyIsTheSameGroup() {
    ContentGroup original = ContentGroup.of(48, 48, picture(48, 220, 20, 20, 8, 0));
    assertTrue(original.isNear(ContentGroup.of(48, 48, picture(48, 220, 20, 20, 8, 7)), 6));
    assertTrue(original.isNear(ContentGroup.of(96, 96, picture(96, 220, 20, 20, 8, 3)), 6));
  }

  @Test
  void anotherColourOrPlaceIsAnotherGroup() {
    ContentGroup original = ContentGroup.of(48, 48, picture(48, 220, 20, 20, 8, 0));
    assertFalse(original.isNear(ContentGroup.of(48, 48, picture(48, 20, 220, 20, 8, 0)), 6));
    assertFalse(original.isNear(ContentGroup.of(48, 48, picture(48, 220, 20, 20, 30, 0)), 6));
  }

  @Test
  void textsAreEqualUpToCaseSignsAndWidth() {
    ContentGroup text = ContentGroup.of("Buy  NOW!! Ｃheap");
    assertTrue(text.isNear(ContentGroup.of("buy now cheap"), 6));
    assertFalse(text.isNear(ContentGroup.of("buy now cheaper"), 6));
    assertFalse(ContentGroup.of("!!!").isNear(ContentGroup.of("???"), 6));
  }
}
