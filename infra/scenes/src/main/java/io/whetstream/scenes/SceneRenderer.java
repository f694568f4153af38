package io.whetstream.scenes;

import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.image.RgbImage;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.zip.Adler32;
import java.util.zip.CRC32;

/**
 * Draws scenes: 48x48 RGB, anti-aliased by 4x4 samples a pixel. Plain arithmetic instead of a
 * graphics library, so that the same scene has the same bytes on every machine. Stateless.
 */
public final class SceneRenderer {
  /** Width and height of every picture, in pixels. */
  public static final int SIZE = 48;

  /** Side of the demo base's patches. */
  private static final int PATCH = 8;

  private static final int CELL = SIZE / 3;
  private static final int SAMPLES = 4;
  private static final double NOISE = 5;

  private SceneRenderer() {}

  /** The picture of a scene. */
  public static RgbImage render(Scene scene) {
    Draws draws = new Draws(scene.style(), 17);
    double[] canvas = new double[SIZE * SIZE * 3];
    double light = draws.around(8);
    for (int y = 0, k = 0; y < SIZE; y++) {
      for (int x = 0; x < SIZE; x++) {
        for (int c = 0; c < 3; c++, k++) {
          canvas[k] = scene.background().level(x, y, c) + light;
        }
      }
    }
    boolean nested = scene.nested();
    // Last first: what lies inside is drawn over what lies around it.
    for (int i = scene.objects().size() - 1; i >= 0; i--) {
      SceneObject o = scene.objects().get(i);
      double radius = (o.size() == Size.LARGE ? 7.4 : 5.0) * (1 + draws.around(0.05));
      double x = o.column() * CELL + CELL / 2.0 + draws.around(0.9);
      double y = o.row() * CELL + CELL / 2.0 + draws.around(0.9);
      if (nested) {
        radius = i == 1 ? 14 : o.size() == Size.LARGE ? 6.4 : 4.6;
        x = Math.min(Math.max(o.column() * CELL + CELL / 2.0, 14.5), SIZE - 14.5);
        y = Math.min(Math.max(o.row() * CELL + CELL / 2.0, 14.5), SIZE - 14.5);
      }
      draw(canvas, o, x, y, radius, draws);
    }
    byte[] rgb = new byte[canvas.length];
    for (int k = 0; k < rgb.length; k += 4) {
      long bits = draws.next();
      for (int i = 0; i < 4; i++) {
        // The sum of two bytes has a standard deviation of 104.5.
        double noise = ((bits & 255) + ((bits >>> 8) & 255) - 255) * (NOISE / 104.5);
        bits >>>= 16;
        rgb[k + i] = (byte) Math.max(0, Math.min(255, Math.round(canvas[k + i] + noise)));
      }
    }
    return new RgbImage(SIZE, SIZE, rgb);
  }

  private static void draw(
      double[] canvas, SceneObject o, double cx, double cy, double radius, Draws draws) {
    double angle = draws.around(0.12);
    double cos = StrictMath.cos(angle) / radius;
    double sin = StrictMath.sin(angle) / radius;
    double[] tint = new double[3];
    for (int c = 0; c < 3; c++) {
      tint[c] = o.colour().channel(c) + draws.around(9);
    }
    double stroke = (o.size() == Size.LARGE ? 1.9 : 1.1) / radius;
    double period = o.size() == Size.LARGE ? 4.6 : 3.4;
    double pitch = o.size() == Size.LARGE ? 3.7 : 2.9;
    // A third of white would be the grey of a background.
    double shade = o.colour() == Colour.WHITE ? 0.2 : 0.36;
    double reach = radius * 1.2;
    int x0 = (int) Math.max(0, Math.floor(cx - reach));
    int x1 = (int) Math.min(SIZE - 1, Math.floor(cx + reach));
    int y0 = (int) Math.max(0, Math.floor(cy - reach));
    int y1 = (int) Math.min(SIZE - 1, Math.floor(cy + reach));
    for (int py = y0; py <= y1; py++) {
      for (int px = x0; px <= x1; px++) {
        int full = 0;
        int shaded = 0;
        for (int s = 0; s < SAMPLES * SAMPLES; s++) {
          double dx = px + (s % SAMPLES + 0.5) / SAMPLES - cx;
          int row = s / SAMPLES;
          double dy = py + (row + 0.5) / SAMPLES - cy;
          double u = dx * cos + dy * sin;
          double v = dy * cos - dx * sin;
          if (!o.shape().contains(u, v)) {
            continue;
          }
          switch (o.fill()) {
            case SOLID -> full++;
            case STRIPED -> {
              double t = (dx + dy) / (period * 1.41421356) + 100.25;
              if (t - Math.floor(t) < 0.5) {
                full++;
              } else {
                shaded++;
              }
            }
            case HOLLOW -> {
              if (nearEdge(o.shape(), u, v, stroke)) {
                full++;
              }
            }
            case DOTTED -> {
              double a = dx / pitch + 100.5;
              double b = dy / pitch + 100.5;
              a -= Math.floor(a) + 0.5;
              b -= Math.floor(b) + 0.5;
              if (a * a + b * b < 0.1) {
                shaded++;
              } else {
                full++;
              }
            }
          }
        }
        if (full + shaded > 0) {
          double covered = (full + shaded) / (double) (SAMPLES * SAMPLES);
          double strength = (full + shade * shaded) / (SAMPLES * SAMPLES);
          int k = (py * SIZE + px) * 3;
          for (int c = 0; c < 3; c++) {
            canvas[k + c] = canvas[k + c] * (1 - covered) + tint[c] * strength;
          }
        }
      }
    }
  }

  private static boolean nearEdge(Shape shape, double u, double v, double stroke) {
    double d = stroke * 0.70710678;
    return !(shape.contains(u - stroke, v)
        && shape.contains(u + stroke, v)
        && shape.contains(u, v - stroke)
        && shape.contains(u, v + stroke)
        && shape.contains(u - d, v - d)
        && shape.contains(u + d, v - d)
        && shape.contains(u - d, v + d)
        && shape.contains(u + d, v + d));
  }

  /**
   * The picture as the demo base takes it: channel by channel, levels scaled from [0, 255] to [-1,
   * 1] (mean and standard deviation 0.5, as in the base's {@code preprocessor_config.json}).
   */
  public static ModelImage processed(RgbImage image) {
    int plane = image.width() * image.height();
    float[] out = new float[3 * plane];
    for (int i = 0; i < plane; i++) {
      for (int c = 0; c < 3; c++) {
        float level = (float) ((image.rgb()[3 * i + c] & 255) * (1 / 255.0));
        out[c * plane + i] = (level - 0.5f) / 0.5f;
      }
    }
    int tokens = (image.width() / PATCH) * (image.height() / PATCH);
    return new ModelImage(ImageGeometry.whole(image.height(), image.width(), tokens), out);
  }

  /**
   * The picture as a PNG file. Stored, not deflated: noise does not compress, and compressed bytes
   * would differ between versions of zlib, and with them every digest of an image.
   */
  public static byte[] png(RgbImage image) {
    int row = image.width() * 3 + 1;
    byte[] raw = new byte[row * image.height()];
    for (int y = 0; y < image.height(); y++) {
      System.arraycopy(image.rgb(), y * (row - 1), raw, y * row + 1, row - 1);
    }
    ByteArrayOutputStream bytes = new ByteArrayOutputStream(raw.length + 128);
    try (DataOutputStream out = new DataOutputStream(bytes)) {
      out.writeLong(0x89504E470D0A1A0AL);
      ByteArrayOutputStream header = new ByteArrayOutputStream();
      DataOutputStream h = new DataOutputStream(header);
      h.writeInt(image.width());
      h.writeInt(image.height());
      h.write(new byte[] {8, 2, 0, 0, 0});
      chunk(out, "IHDR", header.toByteArray());
      chunk(out, "IDAT", stored(raw));
      chunk(out, "IEND", new byte[0]);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }

  /** A zlib stream of stored blocks (RFC 1950, RFC 1951 section 3.2.4). */
  private static byte[] stored(byte[] raw) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream(raw.length + 32);
    DataOutputStream out = new DataOutputStream(bytes);
    out.writeShort(0x7801);
    for (int from = 0; from < raw.length; from += 0xFFFF) {
      int length = Math.min(0xFFFF, raw.length - from);
      out.write(from + length == raw.length ? 1 : 0);
      out.writeShort(Short.reverseBytes((short) length));
      out.writeShort(Short.reverseBytes((short) ~length));
      out.write(raw, from, length);
    }
    Adler32 sum = new Adler32();
    sum.update(raw);
    out.writeInt((int) sum.getValue());
    return bytes.toByteArray();
  }

  private static void chunk(DataOutputStream out, String type, byte[] data) throws IOException {
    byte[] name = type.getBytes(StandardCharsets.US_ASCII);
    out.writeInt(data.length);
    out.write(name);
    out.write(data);
    CRC32 crc = new CRC32();
    crc.update(name);
    crc.update(data);
    out.writeInt((int) crc.getValue());
  }
}
