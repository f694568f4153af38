package io.whetstream.model.image;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * A WebP file taken apart: its first frame without alpha, profile and annotations.
 *
 * @param width of the canvas
 * @param height of the canvas
 * @param left where the frame lies on the canvas
 * @param top where the frame lies on the canvas
 * @param frameWidth of the frame
 * @param frameHeight of the frame
 * @param lossless whether the frame is VP8L, else VP8
 * @param frame the content of a VP8 chunk, or a WebP file of one VP8L chunk
 * @param exif content of the EXIF chunk, or null
 */
@SuppressWarnings("ArrayRecordComponent") // Never compared.
record WebpFile(
    int width,
    int height,
    int left,
    int top,
    int frameWidth,
    int frameHeight,
    boolean lossless,
    byte[] frame,
    byte[] exif) {

  static WebpFile parse(byte[] bytes) {
    return new Parser(bytes).parse();
  }

  private static final class Parser {
    private final ByteBuffer in;
    private int width;
    private int height;
    private int left;
    private int top;
    private int frameWidth;
    private int frameHeight;
    private boolean lossless;
    private byte[] frame;
    private byte[] exif;

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
          lossless,
          frame,
          exif);
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
              lossless = type.equals("VP8L");
              bitstream(at, data, length);
            }
          }
          case "EXIF" -> {
            exif = Arrays.copyOfRange(in.array(), data, data + length);
            if (length > 6 && exif[0] == 'E' && exif[1] == 'x') {
              exif = Arrays.copyOfRange(exif, 6, length);
            }
          }
          default -> {}
        }
        at = data + length + (length & 1);
      }
    }

    private void bitstream(int at, int data, int length) {
      require(length, 10);
      if (lossless) {
        int bits = in.getInt(data + 1);
        frameWidth = 1 + (bits & 0x3fff);
        frameHeight = 1 + ((bits >> 14) & 0x3fff);
      } else {
        frameWidth = in.getShort(data + 6) & 0x3fff;
        frameHeight = in.getShort(data + 8) & 0x3fff;
        frame = Arrays.copyOfRange(in.array(), data, data + length);
        return;
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
