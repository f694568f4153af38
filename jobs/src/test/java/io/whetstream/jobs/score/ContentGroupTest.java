package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.image.PdqHash;
import io.whetstream.model.image.RgbImage;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.geom.AffineTransform;
import java.awt.image.BufferedImage;
import java.awt.image.ConvolveOp;
import java.awt.image.Kernel;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.UnaryOperator;
import javax.imageio.IIOImage;
import javax.imageio.ImageIO;
import javax.imageio.ImageWriteParam;
import javax.imageio.ImageWriter;
import org.junit.jupiter.api.Test;

class ContentGroupTest {
  private static final int SIZE = 256;
  private static final String CUT = "cut by 2 %";

  /** A picture with many edges in many places: overlapping shapes and lines before a gradient. */
  private static BufferedImage picture(int seed) {
    Random random = new Random(seed);
    BufferedImage image = new BufferedImage(SIZE, SIZE, BufferedImage.TYPE_INT_RGB);
    Graphics2D draw = image.createGraphics();
    draw.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
    draw.setPaint(
        new java.awt.GradientPaint(
            0, 0, colour(random), SIZE, random.nextInt(SIZE), colour(random)));
    draw.fillRect(0, 0, SIZE, SIZE);
    for (int i = 0; i < 45; i++) {
      draw.setColor(colour(random));
      int x = random.nextInt(SIZE) - 20;
      int y = random.nextInt(SIZE) - 20;
      int width = 12 + random.nextInt(70);
      int height = 12 + random.nextInt(70);
      switch (random.nextInt(3)) {
        case 0 -> draw.fillOval(x, y, width, height);
        case 1 -> draw.fillRect(x, y, width, height);
        default -> draw.fillArc(x, y, width, height, random.nextInt(360), 200);
      }
    }
    draw.dispose();
    return image;
  }

  private static Color colour(Random random) {
    return new Color(random.nextInt(256), random.nextInt(256), random.nextInt(256));
  }

  private static RgbImage rgb(BufferedImage image) {
    byte[] rgb = new byte[3 * image.getWidth() * image.getHeight()];
    int at = 0;
    for (int y = 0; y < image.getHeight(); y++) {
      for (int x = 0; x < image.getWidth(); x++) {
        int pixel = image.getRGB(x, y);
        rgb[at++] = (byte) (pixel >> 16);
        rgb[at++] = (byte) (pixel >> 8);
        rgb[at++] = (byte) pixel;
      }
    }
    return new RgbImage(image.getWidth(), image.getHeight(), rgb);
  }

  private static ContentGroup group(BufferedImage image) {
    return ContentGroup.of(rgb(image));
  }

  private static boolean near(ContentGroup one, ContentGroup other) {
    return one.isNear(other, PdqHash.SAME_PICTURE);
  }

  private static BufferedImage scaled(BufferedImage image, int width, int height) {
    BufferedImage out = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
    Graphics2D draw = out.createGraphics();
    draw.setRenderingHint(
        RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BICUBIC);
    draw.drawImage(image, 0, 0, width, height, null);
    draw.dispose();
    return out;
  }

  private static BufferedImage jpeg(BufferedImage image, float quality) {
    ImageWriter writer = ImageIO.getImageWritersByFormatName("jpeg").next();
    ImageWriteParam how = writer.getDefaultWriteParam();
    how.setCompressionMode(ImageWriteParam.MODE_EXPLICIT);
    how.setCompressionQuality(quality);
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (var out = ImageIO.createImageOutputStream(bytes)) {
      writer.setOutput(out);
      writer.write(null, new IIOImage(image, null, null), how);
      out.flush();
      return ImageIO.read(new ByteArrayInputStream(bytes.toByteArray()));
    } catch (IOException e) {
      throw new IllegalStateException(e);
    } finally {
      writer.dispose();
    }
  }

  private interface Levels {
    double of(double value);
  }

  private static BufferedImage levels(BufferedImage image, Levels levels) {
    BufferedImage out = new BufferedImage(SIZE, SIZE, BufferedImage.TYPE_INT_RGB);
    for (int y = 0; y < SIZE; y++) {
      for (int x = 0; x < SIZE; x++) {
        int pixel = image.getRGB(x, y);
        int changed = 0;
        for (int shift = 16; shift >= 0; shift -= 8) {
          double value = levels.of(pixel >> shift & 0xFF);
          changed |= (int) Math.max(0, Math.min(255, Math.round(value))) << shift;
        }
        out.setRGB(x, y, changed);
      }
    }
    return out;
  }

  private static BufferedImage drawnOn(
      BufferedImage image, java.util.function.Consumer<Graphics2D> what) {
    BufferedImage out = scaled(image, SIZE, SIZE);
    Graphics2D draw = out.createGraphics();
    what.accept(draw);
    draw.dispose();
    return out;
  }

  private static BufferedImage turned(BufferedImage image, double degrees) {
    return drawnOn(
        image,
        draw -> {
          draw.setRenderingHint(
              RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BILINEAR);
          draw.drawImage(
              image,
              AffineTransform.getRotateInstance(Math.toRadians(degrees), SIZE / 2.0, SIZE / 2.0),
              null);
        });
  }

  private static BufferedImage blurred(BufferedImage image) {
    float[] kernel = new float[25];
    Arrays.fill(kernel, 1f / 25);
    return new ConvolveOp(new Kernel(5, 5, kernel), ConvolveOp.EDGE_NO_OP, null)
        .filter(image, null);
  }

  private static Map<String, UnaryOperator<BufferedImage>> edits() {
    Map<String, UnaryOperator<BufferedImage>> edits = new LinkedHashMap<>();
    edits.put("half the size", image -> scaled(image, SIZE / 2, SIZE / 2));
    edits.put("twice the size", image -> scaled(image, SIZE * 2, SIZE * 2));
    edits.put("another aspect", image -> scaled(image, SIZE, SIZE * 3 / 4));
    edits.put("a JPEG of quality 75", image -> jpeg(image, 0.75f));
    edits.put("a JPEG of quality 20", image -> jpeg(image, 0.2f));
    edits.put("brighter", image -> levels(image, v -> v + 30));
    edits.put("less contrast", image -> levels(image, v -> 128 + 0.7 * (v - 128)));
    edits.put("gamma 1.4", image -> levels(image, v -> 255 * Math.pow(v / 255, 1.4)));
    edits.put("blurred", ContentGroupTest::blurred);
    edits.put(
        "noisy",
        image -> {
          Random random = new Random(1);
          return levels(image, v -> v + 12 * random.nextGaussian());
        });
    edits.put(
        "with words on it",
        image ->
            drawnOn(
                image,
                draw -> {
                  draw.setColor(Color.WHITE);
                  draw.drawString("do not share", 20, SIZE - 12);
                }));
    edits.put(
        CUT,
        image -> {
          int cut = SIZE / 50;
          return image.getSubimage(cut / 2, cut / 2, SIZE - cut, SIZE - cut);
        });
    return edits;
  }

  @Test
  void elevenUsualEditsLeaveAPictureInItsGroupAndACutMostlyDoes() {
    Map<String, Integer> kept = new LinkedHashMap<>();
    int pictures = 50;
    for (int seed = 0; seed < pictures; seed++) {
      BufferedImage image = picture(seed);
      ContentGroup original = group(image);
      assertTrue(original.isComparable());
      edits()
          .forEach(
              (name, edit) ->
                  kept.merge(name, near(original, group(edit.apply(image))) ? 1 : 0, Integer::sum));
    }
    assertEquals(12, kept.size());
    // A cut moves everything, which PDQ at its recommended bound does not always forgive: 45 of
    // these 50 pictures stay. The other edits move nothing.
    kept.forEach(
        (name, count) ->
            assertTrue(count >= (name.equals(CUT) ? 0.85 : 0.95) * pictures, name + " of " + kept));
  }

  @Test
  void ofTwoThousandUnlikePicturesNoTwoAreOneGroup() {
    List<ContentGroup> groups = new ArrayList<>();
    for (int seed = 0; seed < 1900; seed++) {
      groups.add(group(picture(seed)));
    }
    // And plain ones: of one colour each, and gradients.
    for (int i = 0; i < 50; i++) {
      int level = 5 * i;
      groups.add(group(plain(new Color(level, 255 - level, 128))));
      groups.add(group(gradient(level)));
    }
    int together = 0;
    for (int i = 0; i < groups.size(); i++) {
      for (int j = 0; j < i; j++) {
        together += near(groups.get(i), groups.get(j)) ? 1 : 0;
      }
    }
    assertEquals(2000, groups.size());
    assertEquals(0, together);
  }

  private static BufferedImage plain(Color colour) {
    BufferedImage image = new BufferedImage(SIZE, SIZE, BufferedImage.TYPE_INT_RGB);
    Graphics2D draw = image.createGraphics();
    draw.setColor(colour);
    draw.fillRect(0, 0, SIZE, SIZE);
    draw.dispose();
    return image;
  }

  private static BufferedImage gradient(int from) {
    BufferedImage image = new BufferedImage(SIZE, SIZE, BufferedImage.TYPE_INT_RGB);
    for (int x = 0; x < SIZE; x++) {
      for (int y = 0; y < SIZE; y++) {
        image.setRGB(x, y, new Color(from, x, x).getRGB());
      }
    }
    return image;
  }

  @Test
  void blankPicturesTwoFlagsAndAWordAreDifferentAndEachIsItsOwnCopy() {
    BufferedImage tricolore =
        drawnOn(
            plain(Color.WHITE),
            draw -> {
              draw.setColor(Color.BLUE);
              draw.fillRect(0, 0, SIZE / 3, SIZE);
              draw.setColor(Color.RED);
              draw.fillRect(2 * SIZE / 3, 0, SIZE / 3, SIZE);
            });
    BufferedImage italian =
        drawnOn(
            tricolore,
            draw -> {
              draw.setColor(Color.GREEN);
              draw.fillRect(0, 0, SIZE / 3, SIZE);
            });
    BufferedImage word =
        drawnOn(
            plain(Color.BLACK),
            draw -> {
              draw.setColor(Color.WHITE);
              draw.drawString("word", 100, 128);
            });
    List<BufferedImage> pictures =
        List.of(
            plain(Color.WHITE),
            plain(Color.BLACK),
            plain(Color.RED),
            plain(Color.BLUE),
            word,
            gradient(0),
            tricolore,
            italian);
    for (int i = 0; i < pictures.size(); i++) {
      for (int j = 0; j < pictures.size(); j++) {
        assertEquals(i == j, near(group(pictures.get(i)), group(pictures.get(j))), i + " and " + j);
      }
    }
  }

  @Test
  void theSamePictureInOtherColoursIsAnotherGroup() {
    BufferedImage image = picture(3);
    BufferedImage swapped = new BufferedImage(SIZE, SIZE, BufferedImage.TYPE_INT_RGB);
    for (int y = 0; y < SIZE; y++) {
      for (int x = 0; x < SIZE; x++) {
        // Red and blue changed: about the same luminance.
        int pixel = image.getRGB(x, y);
        swapped.setRGB(x, y, pixel & 0xFF00 | pixel >> 16 & 0xFF | (pixel & 0xFF) << 16);
      }
    }
    assertFalse(near(group(image), group(swapped)));
    assertTrue(near(group(image), group(turned(image, 0.5))));
  }

  @Test
  void textsAreEqualUpToCaseSignsAndWidth() {
    ContentGroup text = ContentGroup.of("Buy  NOW!! Ｃheap");
    assertTrue(text.isNear(ContentGroup.of("buy now cheap"), 6));
    assertFalse(text.isNear(ContentGroup.of("buy now cheaper"), 6));
    assertFalse(ContentGroup.of("!!!").isNear(ContentGroup.of("???"), 6));
  }
}
