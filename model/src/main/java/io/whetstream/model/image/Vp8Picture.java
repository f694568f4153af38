package io.whetstream.model.image;

import com.twelvemonkeys.imageio.plugins.webp.vp8.VP8Frame;
import java.awt.image.BufferedImage;
import java.awt.image.Raster;
import java.io.IOException;
import java.nio.ByteOrder;
import javax.imageio.ImageReadParam;
import javax.imageio.stream.ImageInputStream;

/**
 * Lossy WebP pictures: luminance and colour planes turned into RGB by libwebp's interpolation and
 * arithmetic.
 *
 * <p>The library's own way to RGB copies each macroblock before its neighbours' loop filters have
 * reached into it, and repeats colour samples; the planes it shows for inspection are the finished
 * ones.
 */
final class Vp8Picture {
  private final int width;
  private final int height;
  private final int[] luminance;
  private final int[] blue;
  private final int[] red;

  private Vp8Picture(VP8Frame frame) {
    width = frame.getWidth();
    height = frame.getHeight();
    luminance = plane(frame.getDebugImageYBuffer(), 1);
    blue = plane(frame.getDebugImageUBuffer(), 2);
    red = plane(frame.getDebugImageVBuffer(), 2);
  }

  /** Decodes the content of a VP8 chunk. */
  static RgbImage decode(byte[] chunk, int width, int height) throws IOException {
    try (ImageInputStream in = ImageDecoder.open(chunk)) {
      in.setByteOrder(ByteOrder.LITTLE_ENDIAN);
      VP8Frame frame = new VP8Frame(in, false);
      BufferedImage unused = new BufferedImage(width, height, BufferedImage.TYPE_3BYTE_BGR);
      boolean decoded = frame.decode(unused.getRaster(), new ImageReadParam());
      if (!decoded || frame.getWidth() != width || frame.getHeight() != height) {
        throw new BadImage("the WebP file is damaged");
      }
      return new Vp8Picture(frame).toRgb();
    }
  }

  /** Every step-th sample of every step-th row. */
  private static int[] plane(BufferedImage image, int step) {
    Raster raster = image.getRaster();
    int columns = (image.getWidth() + step - 1) / step;
    int rows = (image.getHeight() + step - 1) / step;
    int[] plane = new int[columns * rows];
    int[] line = new int[image.getWidth()];
    for (int y = 0; y < rows; y++) {
      raster.getSamples(0, y * step, line.length, 1, 0, line);
      for (int x = 0; x < columns; x++) {
        plane[y * columns + x] = line[x * step];
      }
    }
    return plane;
  }

  private RgbImage toRgb() {
    byte[] rgb = new byte[3 * width * height];
    int columns = (width + 1) / 2;
    int rows = (height + 1) / 2;
    int out = 0;
    for (int y = 0; y < height; y++) {
      int near = y / 2;
      int far = Math.max(0, Math.min(rows - 1, near + (y % 2 == 0 ? -1 : 1)));
      for (int x = 0; x < width; x++) {
        int l = (luminance[y * width + x] * 19077) >> 8;
        int u = colour(blue, columns, near * columns, far * columns, x);
        int v = colour(red, columns, near * columns, far * columns, x);
        rgb[out++] = clip(l + ((v * 26149) >> 8) - 14234);
        rgb[out++] = clip(l - ((u * 6419) >> 8) - ((v * 13320) >> 8) + 8708);
        rgb[out++] = clip(l + ((u * 33050) >> 8) - 17685);
      }
    }
    return new RgbImage(width, height, rgb);
  }

  /**
   * A colour sample between four others, weighted 9:3:3:1 and rounded as libwebp rounds.
   *
   * @param near index of the first sample of the nearer row
   * @param far index of the first sample of the farther row
   */
  private static int colour(int[] plane, int columns, int near, int far, int x) {
    int right = (x + 1) / 2;
    if (right == 0 || right == columns) {
      int i = Math.min(right, columns - 1);
      return (3 * plane[near + i] + plane[far + i] + 2) >> 2;
    }
    int nearLeft = plane[near + right - 1];
    int nearRight = plane[near + right];
    int farLeft = plane[far + right - 1];
    int farRight = plane[far + right];
    int sum = nearLeft + nearRight + farLeft + farRight + 8;
    return x % 2 == 1
        ? (((sum + 2 * (nearRight + farLeft)) >> 3) + nearLeft) >> 1
        : (((sum + 2 * (nearLeft + farRight)) >> 3) + nearRight) >> 1;
  }

  private static byte clip(int value) {
    return (byte) Math.max(0, Math.min(255, value >> 6));
  }
}
