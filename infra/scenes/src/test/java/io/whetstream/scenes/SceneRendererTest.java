package io.whetstream.scenes;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.image.RgbImage;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;

class SceneRendererTest {
  private static Scene one(Size size, Fill fill, Colour colour, Shape shape, Background ground) {
    return new Scene(ground, List.of(new SceneObject(size, fill, colour, shape, 4)), 5);
  }

  /** Mean absolute difference of levels over the middle cell. */
  private static double distance(RgbImage x, RgbImage y) {
    double sum = 0;
    for (int row = 16; row < 32; row++) {
      for (int k = (row * 48 + 16) * 3; k < (row * 48 + 32) * 3; k++) {
        sum += Math.abs((x.rgb()[k] & 255) - (y.rgb()[k] & 255));
      }
    }
    return sum / (16 * 16 * 3);
  }

  @Test
  void everyAttributeChangesThePictureByMoreThanNoiseDoes() {
    List<RgbImage> all = new ArrayList<>();
    for (Background ground : Background.values()) {
      for (Size size : Size.values()) {
        for (Fill fill : Fill.values()) {
          for (Colour colour : Colour.values()) {
            for (Shape shape : Shape.values()) {
              all.add(SceneRenderer.render(one(size, fill, colour, shape, ground)));
            }
          }
        }
      }
    }
    double closest = Double.MAX_VALUE;
    // Neighbours in this order differ in shape alone; the strides beyond in colour, fill, size.
    for (int stride : List.of(1, 5, 12, 36, 144, 288, 576)) {
      for (int i = 0; i + stride < all.size(); i++) {
        closest = Math.min(closest, distance(all.get(i), all.get(i + stride)));
      }
    }
    // The noise of each picture is the same here (same style), so any difference is drawing.
    assertTrue(closest > 0.5, "closest two: " + closest);
  }

  @Test
  void theBytesOfAPictureNeverChange() throws Exception {
    MessageDigest sha = MessageDigest.getInstance("SHA-256");
    for (SceneLook look : SceneLook.all()) {
      for (int i = 0; i < 50; i++) {
        sha.update(SceneRenderer.png(SceneRenderer.render(new SceneGenerator(42, look).scene(i))));
      }
    }
    // Recorded figures were measured on these pictures: a change here makes them incomparable.
    assertEquals(
        "c76d8f648a8834f9368f2e91c82787f77a36897968c75b7235c41b93b4b73db4",
        HexFormat.of().formatHex(sha.digest()));
  }

  @Test
  void pngFilesHoldThePicture() throws IOException {
    RgbImage image = SceneRenderer.render(new SceneGenerator(1, SceneLook.STANDARD).scene(0));
    BufferedImage read = ImageIO.read(new ByteArrayInputStream(SceneRenderer.png(image)));
    byte[] rgb = new byte[image.rgb().length];
    for (int i = 0; i < 48 * 48; i++) {
      int pixel = read.getRGB(i % 48, i / 48);
      rgb[3 * i] = (byte) (pixel >> 16);
      rgb[3 * i + 1] = (byte) (pixel >> 8);
      rgb[3 * i + 2] = (byte) pixel;
    }
    assertArrayEquals(image.rgb(), rgb);
  }

  @Test
  void pngFilesLargerThanOneStoredBlockAreReadable() throws IOException {
    RgbImage image = new RgbImage(300, 200, new byte[300 * 200 * 3]);
    assertEquals(200, ImageIO.read(new ByteArrayInputStream(SceneRenderer.png(image))).getHeight());
  }

  @Test
  void pixelsAreChannelsFirstFromMinusOneToOne() {
    byte[] rgb = new byte[48 * 48 * 3];
    rgb[0] = (byte) 255;
    rgb[3 + 1] = (byte) 51;
    float[] pixels = SceneRenderer.processed(new RgbImage(48, 48, rgb)).pixels();
    assertEquals(1f, pixels[0]);
    assertEquals(-0.6f, pixels[48 * 48 + 1], 1e-6f);
    assertEquals(-1f, pixels[2 * 48 * 48]);
  }
}
