package io.whetstream.model.image;

import com.luciad.imageio.webp.WebPImageReaderSpi;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import javax.imageio.ImageReader;
import javax.imageio.stream.ImageInputStream;

/**
 * A WebP file taken apart: its first frame without alpha, profile and annotations, which libwebp
 * decodes.
 *
 * @param width of the canvas
 * @param height of the canvas
 * @param left where the frame lies on the canvas
 * @param top where the frame lies on the canvas
 * @param frameWidth of the frame
 * @param frameHeight of the frame
 * @param frame a WebP file of one VP8 or VP8L chunk
 * @param exif content of the EXIF chunk, or null
 * @param xmp content of the XMP chunk, or null
 */
@SuppressWarnings("ArrayRecordComponent") // Never compared.
record WebpFile(
    int width,
    int height,
    int left,
    int top,
    int frameWidth,
    int frameHeight,
    byte[] frame,
    byte[] exif,
    byte[] xmp) {

  static WebpFile parse(byte[] bytes) {
    return new Parser(bytes).parse();
  }

  /**
   * Decodes the frame. The binding knows no size limit: the size is to be checked before.
   *
   * @throws BadImage if it is damaged or truncated
   */
  RgbImage decodeFrame() throws IOException {
    ImageReader reader = new WebPImageReaderSpi().createReaderInstance(null);
    BufferedImage image;
    try (ImageInputStream in = ImageDecoder.open(frame)) {
      reader.setInput(in, true, true);
      if (reader.getWidth(0) != frameWidth || reader.getHeight(0) != frameHeight) {
        throw new BadImage("the WebP file contradicts itself about its size");
      }
      image = reader.read(0);
    } finally {
      reader.dispose();
    }
    if (image.getWidth() != frameWidth || image.getHeight() != frameHeight) {
      throw new BadImage("the WebP file contradicts itself about its size");
    }
    return ImageDecoder.toRgb(image);
  }

  private static final class Parser {
    private static final int XMP_FEATURE = 0x04;
    private static final int EXIF_FEATURE = 0x08;

    private final ByteBuffer in;
    private int width;
    private int height;
    private int left;
    private int top;
    private int frameWidth;
    private int frameHeight;
    private byte[] frame;
    private byte[] exif;
    private byte[] xmp;
    private int features;

    Parser(byte[] bytes) {
      in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    WebpFile parse() {
      if ((in.getInt(4) & 0xffffffffL) > in.limit() - 8) {
        throw new BadImage("the picture is truncated");
      }
      chunks(12, in.limit());
      if (frame == null) {
        throw new BadImage("the WebP file holds no picture");
      }
      boolean simple = width == 0;
      return new WebpFile(
          simple ? frameWidth : width,
          simple ? frameHeight : height,
          left,
          top,
          frameWidth,
          frameHeight,
          frame,
          exif,
          xmp);
    }

    private void chunks(int from, int to) {
      int at = from;
      while (at + 8 <= to) {
        String type = new String(in.array(), at, 4, StandardCharsets.ISO_8859_1);
        int length = in.getInt(at + 4);
        int data = at + 8;
        if (length < 0 || length > to - data) {
          throw new BadImage("the picture is truncated");
        }
        switch (type) {
          case "VP8X" -> {
            require(length, 10);
            features = in.get(data);
            width = 1 + int24(data + 4);
            height = 1 + int24(data + 7);
          }
          case "ANMF" -> {
            require(length, 16);
            if (frame == null) {
              left = 2 * int24(data);
              top = 2 * int24(data + 3);
              chunks(data + 16, data + length);
            }
          }
          case "VP8 ", "VP8L" -> {
            if (frame == null) {
              bitstream(type.equals("VP8L"), at, data, length);
            }
          }
          case "EXIF" -> exif = annotation(EXIF_FEATURE, data, length);
          case "XMP " -> xmp = annotation(XMP_FEATURE, data, length);
          default -> {}
        }
        at = data + length + (length & 1);
      }
    }

    /** Content of a chunk that the file says it has; libwebp does not see others. */
    private byte[] annotation(int feature, int data, int length) {
      return (features & feature) == 0 ? null : Arrays.copyOfRange(in.array(), data, data + length);
    }

    private void bitstream(boolean lossless, int at, int data, int length) {
      require(length, 10);
      if (lossless) {
        int bits = in.getInt(data + 1);
        frameWidth = 1 + (bits & 0x3fff);
        frameHeight = 1 + ((bits >> 14) & 0x3fff);
      } else {
        frameWidth = in.getShort(data + 6) & 0x3fff;
        frameHeight = in.getShort(data + 8) & 0x3fff;
      }
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      int padded = length + (length & 1);
      out.writeBytes("RIFF".getBytes(StandardCharsets.ISO_8859_1));
      out.writeBytes(
          ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(12 + padded).array());
      out.writeBytes("WEBP".getBytes(StandardCharsets.ISO_8859_1));
      out.write(in.array(), at, 8 + length);
      if (padded > length) {
        out.write(0);
      }
      frame = out.toByteArray();
    }

    private static void require(int length, int least) {
      if (length < least) {
        throw new BadImage("the WebP file is damaged");
      }
    }

    private int int24(int at) {
      return (in.getShort(at) & 0xffff) | ((in.get(at + 2) & 0xff) << 16);
    }
  }
}
