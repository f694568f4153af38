package io.whetstream.model.image;

import java.awt.image.Raster;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import javax.imageio.ImageReader;
import javax.imageio.stream.ImageInputStream;

/**
 * A JPEG file: what its markers say, and its stored components turned into RGB by libjpeg's rules
 * and arithmetic (and, of four components, Pillow's). The JDK's decoder sees the picture without
 * its annotations, which it reads strictly and would apply (profiles) or fail on.
 */
final class JpegFile {
  private static final byte[] EXIF = "Exif\0\0".getBytes(StandardCharsets.ISO_8859_1);
  private static final byte[] XMP =
      "http://ns.adobe.com/xap/1.0/\0".getBytes(StandardCharsets.ISO_8859_1);
  private static final byte[] JFIF = "JFIF\0".getBytes(StandardCharsets.ISO_8859_1);
  private static final byte[] ADOBE = "Adobe".getBytes(StandardCharsets.ISO_8859_1);

  private final ByteArrayOutputStream bare = new ByteArrayOutputStream();
  private int width;
  private int height;
  private byte[] componentIds = {};
  private boolean jfif;
  private int adobeTransform = -1;
  private final ByteArrayOutputStream exif = new ByteArrayOutputStream();
  private byte[] xmp;

  private JpegFile() {}

  static JpegFile parse(byte[] bytes) {
    JpegFile file = new JpegFile();
    file.bare.write(bytes, 0, 2);
    int at = 2;
    while (at + 4 <= bytes.length) {
      int marker = bytes[at + 1] & 0xff;
      // What lies between segments is passed over, as libjpeg does, and so are markers that stand
      // alone.
      if ((bytes[at] & 0xff) != 0xff || marker == 0xff) {
        at++;
        continue;
      }
      if (marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
        at += 2;
        continue;
      }
      int length = ((bytes[at + 2] & 0xff) << 8) | (bytes[at + 3] & 0xff);
      int end = at + 2 + length;
      if (length < 2 || end > bytes.length) {
        throw new BadImage("the picture is truncated");
      }
      if (marker == 0xda) {
        if (file.width == 0) {
          throw new BadImage("the JPEG file has no size before its data");
        }
        file.bare.write(bytes, at, bytes.length - at);
        return file;
      }
      if (!file.annotation(marker, Arrays.copyOfRange(bytes, at + 4, end))) {
        file.bare.write(bytes, at, end - at);
      }
      at = end;
    }
    throw new BadImage("the picture is truncated");
  }

  /** Takes what is needed from a segment; true if the decoder is not to see it. */
  private boolean annotation(int marker, byte[] data) {
    boolean frame =
        marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
    if (frame) {
      if (width != 0 || data.length < 6 || data.length < 6 + 3 * (data[5] & 0xff)) {
        throw new BadImage("the JPEG file's frame header is damaged");
      }
      height = ((data[1] & 0xff) << 8) | (data[2] & 0xff);
      width = ((data[3] & 0xff) << 8) | (data[4] & 0xff);
      componentIds = new byte[data[5] & 0xff];
      for (int i = 0; i < componentIds.length; i++) {
        componentIds[i] = data[6 + 3 * i];
      }
      return false;
    }
    if (marker == 0xe0) {
      jfif |= startsWith(data, JFIF);
    } else if (marker == 0xe1 && startsWith(data, EXIF)) {
      // What is too long for one segment goes on in the next.
      exif.write(data, EXIF.length, data.length - EXIF.length);
    } else if (marker == 0xe1 && startsWith(data, XMP)) {
      xmp = Arrays.copyOfRange(data, XMP.length, data.length);
    } else if (marker == 0xee && startsWith(data, ADOBE) && data.length >= 12) {
      adobeTransform = data[11] & 0xff;
    }
    return (marker >= 0xe0 && marker <= 0xef) || marker == 0xfe;
  }

  private static boolean startsWith(byte[] data, byte[] prefix) {
    return data.length >= prefix.length
        && Arrays.equals(data, 0, prefix.length, prefix, 0, prefix.length);
  }

  int width() {
    return width;
  }

  int height() {
    return height;
  }

  Orientation orientation() {
    return Orientation.of(exif.toByteArray(), xmp);
  }

  /**
   * Whether three components are YCbCr, by the rules of libjpeg's {@code default_decompress_parms}.
   */
  private boolean isYcc() {
    if (jfif) {
      return true;
    }
    return adobeTransform >= 0
        ? adobeTransform != 0
        : !Arrays.equals(componentIds, new byte[] {'R', 'G', 'B'});
  }

  RgbImage toRgb() throws IOException {
    ImageReader reader = ImageDecoder.reader("jpeg");
    try (ImageInputStream in = ImageDecoder.open(bare.toByteArray())) {
      reader.setInput(in, true, true);
      ImageDecoder.refuseTruncated(reader);
      Raster raster = reader.readRaster(0, null);
      if (raster.getWidth() != width || raster.getHeight() != height) {
        throw new BadImage("the JPEG file contradicts itself about its size");
      }
      return convert(raster);
    } finally {
      reader.dispose();
    }
  }

  private RgbImage convert(Raster raster) {
    int bands = raster.getNumBands();
    if (bands != 1 && bands != 3 && bands != 4) {
      throw new BadImage("a JPEG picture of " + bands + " components is not supported");
    }
    boolean ycc = bands == 3 ? isYcc() : bands == 4 && adobeTransform == 2;
    byte[] rgb = new byte[3 * width * height];
    int[] row = new int[width * bands];
    int[] pixel = new int[3];
    int out = 0;
    for (int y = 0; y < height; y++) {
      raster.getPixels(0, y, width, 1, row);
      for (int x = 0; x < width; x++) {
        int in = x * bands;
        if (bands == 1) {
          Arrays.fill(pixel, row[in]);
        } else if (ycc) {
          toRgb(row[in], row[in + 1] - 128, row[in + 2] - 128, pixel);
        } else {
          System.arraycopy(row, in, pixel, 0, 3);
        }
        if (bands == 4) {
          // YCCK holds the complement of CMY, and Adobe stores ink inverted: one of the two is
          // left.
          int light = row[in + 3];
          for (int c = 0; c < 3; c++) {
            int ink = ycc ? pixel[c] : 255 - pixel[c];
            pixel[c] = clip(light - times(ink, light));
          }
        }
        for (int c = 0; c < 3; c++) {
          rgb[out++] = (byte) pixel[c];
        }
      }
    }
    return new RgbImage(width, height, rgb);
  }

  /** ITU-R BT.601 full range in libjpeg's 16-bit fixed point. */
  private static void toRgb(int y, int cb, int cr, int[] pixel) {
    pixel[0] = clip(y + ((91881 * cr + 32768) >> 16));
    pixel[1] = clip(y + ((-22554 * cb - 46802 * cr + 32768) >> 16));
    pixel[2] = clip(y + ((116130 * cb + 32768) >> 16));
  }

  /** a * b / 255, rounded as Pillow rounds it. */
  private static int times(int a, int b) {
    int t = a * b + 128;
    return ((t >> 8) + t) >> 8;
  }

  private static int clip(int value) {
    return Math.max(0, Math.min(255, value));
  }
}
