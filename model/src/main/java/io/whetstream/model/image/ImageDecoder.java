package io.whetstream.model.image;

import io.whetstream.model.BadInputException;
import java.awt.image.BufferedImage;
import java.awt.image.IndexColorModel;
import java.awt.image.Raster;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.Iterator;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import javax.imageio.event.IIOReadWarningListener;
import javax.imageio.stream.ImageInputStream;
import javax.imageio.stream.MemoryCacheImageInputStream;

/**
 * Decodes JPEG, PNG, WebP, GIF (first frame) and BMP to 8-bit RGB as Hugging Face's {@code
 * load_image} does with Pillow: the orientation in EXIF or XMP is applied, colour profiles are
 * ignored, and alpha is dropped, not composited. Pixels count: what is wrong with a picture's
 * annotations does not make it a bad one. Samples of 16 bits keep their high byte (Pillow does so
 * for colour; its greyscale of 16 bits saturates instead, which is not imitated).
 *
 * <p>The size is taken from the header and checked before anything is decoded. Safe for use by
 * several threads.
 */
public final class ImageDecoder {
  /** Pillow's own limit: about a quarter of a gigabyte of RGB. */
  public static final long DEFAULT_MAX_PIXELS = 89_478_485;

  private final long maxPixels;

  /** A decoder that refuses pictures of more than this many pixels. */
  public ImageDecoder(long maxPixels) {
    if (maxPixels <= 0) {
      throw new IllegalArgumentException("maxPixels must be above zero, not " + maxPixels);
    }
    // Three bytes a pixel must fit one array.
    this.maxPixels = Math.min(maxPixels, (Integer.MAX_VALUE - 8) / 3);
  }

  /** Whether bytes begin as a picture of a known format does. */
  public static boolean isPicture(byte[] bytes) {
    return Format.of(bytes) != Format.UNKNOWN;
  }

  /**
   * Decodes a picture.
   *
   * @param encoded the file's bytes
   * @param where what to call it in an error, such as its path
   * @throws BadInputException if it is too large, damaged, truncated or of another format
   */
  public RgbImage decode(byte[] encoded, String where) {
    try {
      return switch (Format.of(encoded)) {
        case JPEG -> jpeg(encoded);
        case PNG -> png(encoded);
        case WEBP -> webp(encoded);
        case GIF -> gif(encoded);
        case BMP -> bmp(encoded);
        case VIDEO ->
            throw new BadImage(
                "a video; videos are not supported: send one of its frames, as JPEG, PNG or WebP");
        case UNKNOWN ->
            throw new BadImage("not a picture of a known format (JPEG, PNG, WebP, GIF, BMP)");
      };
    } catch (BadImage e) {
      throw new BadInputException(where + ": " + e.getMessage(), e);
    } catch (IOException | RuntimeException e) {
      // Decoders meet damaged files with exceptions of all kinds; all of them mean the same.
      String reason = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
      throw new BadInputException(where + ": the picture is damaged: " + reason, e);
    }
  }

  private void check(long width, long height) {
    if (width <= 0 || height <= 0) {
      throw new BadImage("the picture has no pixels (" + width + "x" + height + ")");
    }
    if (width > maxPixels || width * height > maxPixels) {
      throw new BadImage(
          "the picture has "
              + width
              + "x"
              + height
              + " pixels, more than the limit of "
              + maxPixels
              + "; it was not decoded");
    }
  }

  private RgbImage jpeg(byte[] encoded) throws IOException {
    JpegFile file = JpegFile.parse(encoded);
    check(file.width(), file.height());
    return file.orientation().apply(file.toRgb());
  }

  private RgbImage png(byte[] encoded) throws IOException {
    PngFile file = PngFile.parse(encoded);
    check(file.width(), file.height());
    return file.orientation().apply(toRgb(read(reader("png"), file.bare())));
  }

  private RgbImage webp(byte[] encoded) throws IOException {
    WebpFile file = WebpFile.parse(encoded);
    check(file.width(), file.height());
    check(file.frameWidth(), file.frameHeight());
    RgbImage whole =
        place(file.decodeFrame(), file.left(), file.top(), file.width(), file.height(), 0);
    return Orientation.of(file.exif(), file.xmp()).apply(whole);
  }

  private RgbImage gif(byte[] encoded) throws IOException {
    ImageReader reader = reader("gif");
    try (ImageInputStream in = open(encoded)) {
      reader.setInput(in, true, false);
      check(reader.getWidth(0), reader.getHeight(0));
      GifFrame frame = GifFrame.of(encoded, reader.getImageMetadata(0));
      int width = Math.max(frame.screenWidth(), frame.left() + reader.getWidth(0));
      int height = Math.max(frame.screenHeight(), frame.top() + reader.getHeight(0));
      check(width, height);
      BufferedImage image = readChecked(reader);
      int fill = 0;
      if (image.getColorModel() instanceof IndexColorModel palette) {
        fill = palette.getRGB(Math.max(0, frame.transparentIndex()));
      }
      return place(toRgb(image), frame.left(), frame.top(), width, height, fill);
    } finally {
      reader.dispose();
    }
  }

  private RgbImage bmp(byte[] encoded) throws IOException {
    ImageReader reader = reader("bmp");
    try (ImageInputStream in = open(BmpFile.repaired(encoded))) {
      reader.setInput(in, true, true);
      check(reader.getWidth(0), reader.getHeight(0));
      return toRgb(readChecked(reader));
    } finally {
      reader.dispose();
    }
  }

  /** The JDK's own reader: other libraries may register more for the same format. */
  static ImageReader reader(String format) {
    Iterator<ImageReader> readers = ImageIO.getImageReadersByFormatName(format);
    while (readers.hasNext()) {
      ImageReader reader = readers.next();
      if (reader.getClass().getName().startsWith("com.sun.imageio.")) {
        return reader;
      }
    }
    throw new IllegalStateException("this Java has no " + format + " reader (java.desktop)");
  }

  static ImageInputStream open(byte[] encoded) {
    return new MemoryCacheImageInputStream(new ByteArrayInputStream(encoded));
  }

  private static BufferedImage read(ImageReader reader, byte[] encoded) throws IOException {
    try (ImageInputStream in = open(encoded)) {
      reader.setInput(in, true, true);
      return readChecked(reader);
    } finally {
      reader.dispose();
    }
  }

  private static BufferedImage readChecked(ImageReader reader) throws IOException {
    refuseTruncated(reader);
    return reader.read(0);
  }

  /** Makes a reader fail that would only warn, and fill in grey, where data ends too early. */
  static void refuseTruncated(ImageReader reader) {
    reader.addIIOReadWarningListener(
        (IIOReadWarningListener)
            (source, warning) -> {
              String text = warning.toLowerCase(java.util.Locale.ROOT);
              if (text.contains("truncated") || text.contains("premature end")) {
                throw new BadImage("the picture is truncated");
              }
            });
  }

  static RgbImage toRgb(BufferedImage image) {
    int width = image.getWidth();
    int height = image.getHeight();
    byte[] rgb = new byte[3 * width * height];
    Raster raster = image.getRaster();
    int bands = raster.getNumBands();
    int[] row = new int[width * bands];
    int[] depth = raster.getSampleModel().getSampleSize();
    int out = 0;
    for (int y = 0; y < height; y++) {
      raster.getPixels(raster.getMinX(), raster.getMinY() + y, width, 1, row);
      for (int x = 0; x < width; x++) {
        if (image.getColorModel() instanceof IndexColorModel palette) {
          int colour = palette.getRGB(row[x]);
          rgb[out++] = (byte) (colour >> 16);
          rgb[out++] = (byte) (colour >> 8);
          rgb[out++] = (byte) colour;
        } else {
          for (int c = 0; c < 3; c++) {
            int band = bands >= 3 ? c : 0;
            rgb[out++] = to8(row[x * bands + band], depth[band]);
          }
        }
      }
    }
    return new RgbImage(width, height, rgb);
  }

  private static byte to8(int sample, int bits) {
    return (byte) (bits >= 8 ? sample >> (bits - 8) : sample * 255 / ((1 << bits) - 1));
  }

  /** Puts a frame on a canvas of one colour (0xRRGGBB). */
  private static RgbImage place(
      RgbImage frame, int left, int top, int width, int height, int colour) {
    if (left == 0 && top == 0 && width == frame.width() && height == frame.height()) {
      return frame;
    }
    byte[] rgb = new byte[3 * width * height];
    for (int i = 0; i < rgb.length; i += 3) {
      rgb[i] = (byte) (colour >> 16);
      rgb[i + 1] = (byte) (colour >> 8);
      rgb[i + 2] = (byte) colour;
    }
    int columns = Math.min(frame.width(), width - left);
    for (int y = 0; y < Math.min(frame.height(), height - top); y++) {
      System.arraycopy(
          frame.rgb(), 3 * y * frame.width(), rgb, 3 * ((top + y) * width + left), 3 * columns);
    }
    return new RgbImage(width, height, rgb);
  }
}
