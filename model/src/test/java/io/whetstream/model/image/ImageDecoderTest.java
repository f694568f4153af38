package io.whetstream.model.image;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/**
 * Pictures of all kinds against what Pillow makes of them; {@code make.py} beside them says how.
 */
class ImageDecoderTest {
  private static final Path PICTURES = Path.of("src", "test", "resources", "images");
  private static final ImageDecoder DECODER = new ImageDecoder(ImageDecoder.DEFAULT_MAX_PIXELS);

  private static List<Path> files(Path directory) throws IOException {
    try (Stream<Path> all = Files.list(directory)) {
      List<Path> found =
          all.filter(Files::isRegularFile).filter(f -> !f.toString().endsWith(".py")).toList();
      assertTrue(found.size() > 4);
      return found.stream().sorted().toList();
    }
  }

  private static RgbImage decode(Path file) throws IOException {
    return DECODER.decode(Files.readAllBytes(file), file.toString());
  }

  @TestFactory
  Stream<DynamicTest> decodesToWhatPillowDecodesTo() throws IOException {
    return files(PICTURES).stream()
        .map(
            file -> {
              String name = file.getFileName().toString();
              return dynamicTest(
                  name,
                  () ->
                      assertSame(
                          decode(PICTURES.resolve("expected/" + name + ".png")), decode(file)));
            });
  }

  /** Pictures that users could not read, each with its pixels beside it. */
  @TestFactory
  Stream<DynamicTest> decodesWhatWasReported() throws IOException {
    return files(PICTURES.resolve("reported")).stream()
        .filter(file -> !file.toString().endsWith(".ref.png"))
        .map(
            file -> {
              String name = file.getFileName().toString();
              Path reference = file.resolveSibling(name.replaceAll("\\.[a-z]+$", ".ref.png"));
              return dynamicTest(name, () -> assertSame(decode(reference), decode(file)));
            });
  }

  private static void assertSame(RgbImage expected, RgbImage actual) {
    assertEquals(expected.width(), actual.width());
    assertEquals(expected.height(), actual.height());
    assertEquals(0, Pixels.largestDifference(expected.rgb(), actual.rgb()), "largest difference");
  }

  @TestFactory
  Stream<DynamicTest> refusesWhatIsBrokenAndSaysWhere() throws IOException {
    return files(PICTURES.resolve("broken")).stream()
        .map(
            file ->
                dynamicTest(
                    file.getFileName().toString(),
                    () -> {
                      BadInputException e =
                          assertThrows(BadInputException.class, () -> decode(file));
                      assertTrue(e.getMessage().startsWith(file.toString()), e.getMessage());
                    }));
  }

  @Test
  void aPictureCutAnywhereIsRefusedOrWhole() throws IOException {
    // Never a picture with a grey half: what is decoded from a part equals what the whole gives.
    for (Path file : files(PICTURES)) {
      byte[] whole = Files.readAllBytes(file);
      byte[] expected = decode(file).rgb();
      for (int length = 0; length < whole.length; length += 1 + whole.length / 40) {
        byte[] part = java.util.Arrays.copyOf(whole, length);
        try {
          RgbImage decoded = DECODER.decode(part, "part");
          assertEquals(
              0,
              Pixels.largestDifference(expected, decoded.rgb()),
              file + " cut at " + length + " of " + whole.length);
        } catch (BadInputException e) {
          assertTrue(e.getMessage().startsWith("part: "), e.getMessage());
        }
      }
    }
  }

  @Test
  void damageNeverEscapesAsAnythingElse() throws IOException {
    java.util.Random draws = new java.util.Random(11);
    for (Path file : files(PICTURES)) {
      byte[] whole = Files.readAllBytes(file);
      for (int i = 0; i < 25; i++) {
        byte[] damaged = whole.clone();
        for (int k = 0; k < 3; k++) {
          damaged[draws.nextInt(damaged.length)] = (byte) draws.nextInt(256);
        }
        try {
          RgbImage decoded = new ImageDecoder(1 << 20).decode(damaged, "damaged");
          assertTrue(decoded.width() * (long) decoded.height() <= 1 << 20);
        } catch (BadInputException e) {
          assertTrue(e.getMessage().startsWith("damaged: "), e.getMessage());
        }
      }
    }
  }

  @Test
  void checksTheSizeBeforeDecoding() throws IOException {
    for (Path file : files(PICTURES)) {
      RgbImage image = decode(file);
      long pixels = (long) image.width() * image.height();
      byte[] encoded = Files.readAllBytes(file);
      assertEquals(pixels, new ImageDecoder(pixels).decode(encoded, "it").rgb().length / 3);
      if (pixels > 1) {
        BadInputException e =
            assertThrows(
                BadInputException.class, () -> new ImageDecoder(pixels - 1).decode(encoded, "it"));
        assertTrue(e.getMessage().contains("more than the limit"), file + ": " + e.getMessage());
        assertTrue(e.getMessage().contains("not decoded"), e.getMessage());
      }
    }
  }

  @Test
  void aVideoIsRefusedByName() {
    byte[][] heads = {
      {0, 0, 0, 32, 'f', 't', 'y', 'p', 'i', 's', 'o', 'm', 0, 0, 2, 0},
      {0x1a, 0x45, (byte) 0xdf, (byte) 0xa3, 1, 0, 0, 0, 0, 0, 0, 31},
      {'R', 'I', 'F', 'F', 1, 0, 0, 0, 'A', 'V', 'I', ' ', 'L', 'I', 'S', 'T'},
    };
    for (byte[] head : heads) {
      BadInputException e =
          assertThrows(
              BadInputException.class, () -> new ImageDecoder(100).decode(head, "item 'v'"));
      assertTrue(e.getMessage().contains("video"), e.getMessage());
      assertTrue(e.getMessage().contains("item 'v'"), e.getMessage());
    }
    byte[] picture = {0, 0, 0, 32, 'f', 't', 'y', 'p', 'a', 'v', 'i', 'f', 0, 0, 0, 0};
    BadInputException e =
        assertThrows(
            BadInputException.class, () -> new ImageDecoder(100).decode(picture, "item 'a'"));
    assertFalse(e.getMessage().contains("video"), e.getMessage());
  }

  @Test
  void aBombIsRefusedByItsHeaderAlone() throws IOException {
    // Each claims 65,500 x 65,500 pixels in a few bytes; decoding one would take 12 GB.
    byte[] png = Files.readAllBytes(PICTURES.resolve("rgb.png"));
    ByteBuffer.wrap(png).putInt(16, 65500).putInt(20, 65500);
    byte[] jpeg = Files.readAllBytes(PICTURES.resolve("baseline_420.jpg"));
    int frame = 2;
    while ((jpeg[frame + 1] & 0xff) != 0xc0) {
      frame += 2 + ByteBuffer.wrap(jpeg).getShort(frame + 2);
    }
    ByteBuffer.wrap(jpeg).putShort(frame + 5, (short) 65500).putShort(frame + 7, (short) 65500);
    byte[] gif = Files.readAllBytes(PICTURES.resolve("palette.gif"));
    ByteBuffer.wrap(gif).order(java.nio.ByteOrder.LITTLE_ENDIAN).putShort(6, (short) 65500);
    ByteBuffer.wrap(gif).order(java.nio.ByteOrder.LITTLE_ENDIAN).putShort(8, (short) 65500);
    for (byte[] bomb : List.of(png, jpeg, gif)) {
      BadInputException e =
          assertThrows(BadInputException.class, () -> DECODER.decode(bomb, "bomb"));
      assertTrue(e.getMessage().contains("65500x65500"), e.getMessage());
    }
  }
}
