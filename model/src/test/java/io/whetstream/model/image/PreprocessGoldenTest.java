package io.whetstream.model.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.Golden;
import io.whetstream.model.checkpoint.SafeTensors;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;

/**
 * What Hugging Face's image processors gave. Lossless pictures and pictures already decoded must
 * match exactly. JPEG may differ where decoders do; of the recorded ones none does (largest
 * difference of 8-bit values after resizing: 0).
 */
@Tag("golden")
class PreprocessGoldenTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int JPEG_TOLERANCE = 3;
  private static final ImageDecoder DECODER = new ImageDecoder(ImageDecoder.DEFAULT_MAX_PIXELS);

  /** One recorded tensor: NAME/SIZE[/siglip][/no_exif]/KIND in expected_SIZE.safetensors. */
  private record Expectation(Path directory, Path file, String tensor, JsonNode picture) {
    String name() {
      return directory.getFileName() + " " + tensor;
    }

    String kind() {
      return tensor.substring(tensor.lastIndexOf('/') + 1);
    }

    SquareImageProcessor processor() {
      String size = tensor.split("/")[1];
      String config = tensor.contains("/siglip/") ? "config_siglip_" + size : "config_" + size;
      return SquareImageProcessor.open(directory.resolve(config), 1);
    }

    boolean lossless() {
      return !picture.get("file").asText().endsWith(".jpg");
    }
  }

  private static Stream<Expectation> expectations() throws IOException {
    List<Expectation> found = new ArrayList<>();
    for (Path directory : Golden.directories(Golden.holding("images.json"))) {
      List<Path> files;
      try (Stream<Path> all = Files.list(directory)) {
        files = all.filter(f -> f.toString().endsWith(".safetensors")).sorted().toList();
      }
      for (Path file : files) {
        try (SafeTensors tensors = SafeTensors.open(file)) {
          for (String tensor : tensors.tensors().keySet()) {
            String name = tensor.substring(0, tensor.indexOf('/'));
            for (JsonNode picture : rows(directory, name)) {
              found.add(new Expectation(directory, file, tensor, picture));
            }
          }
        }
      }
    }
    assertFalse(found.isEmpty(), "no golden preprocessing under " + Golden.root());
    return found.stream();
  }

  /**
   * The rows of a name: those of a file called so, or else of a decoded one. Two files may have one
   * decoded picture, and then it names neither.
   */
  private static List<JsonNode> rows(Path directory, String name) throws IOException {
    JsonNode all = JSON.readTree(directory.resolve("images.json").toFile());
    for (String key : List.of("file", "decoded")) {
      List<JsonNode> rows = new ArrayList<>();
      for (JsonNode row : all) {
        String file = Path.of(row.get(key).asText()).getFileName().toString();
        if (file.substring(0, file.lastIndexOf('.')).equals(name)) {
          rows.add(row);
        }
      }
      if (!rows.isEmpty()) {
        return rows;
      }
    }
    throw new AssertionError(directory + ": no row of images.json is called " + name);
  }

  private static RgbImage decode(Path file) throws IOException {
    return DECODER.decode(Files.readAllBytes(file), file.toString());
  }

  @TestFactory
  Stream<DynamicTest> decodedPicturesComeOutExactly() throws IOException {
    return expectations()
        .filter(e -> !e.tensor().contains("/no_exif/"))
        .map(
            e ->
                dynamicTest(
                    e.name(),
                    () -> check(e, decode(e.directory().resolve(text(e, "decoded"))), 0)));
  }

  @TestFactory
  Stream<DynamicTest> filesComeOutAsTheyDoThere() throws IOException {
    return expectations()
        .filter(e -> !e.tensor().contains("/no_exif/"))
        .map(
            e ->
                dynamicTest(
                    e.name(),
                    () ->
                        check(
                            e,
                            decode(e.directory().resolve(text(e, "file"))),
                            e.lossless() ? 0 : JPEG_TOLERANCE)));
  }

  private static String text(Expectation e, String key) {
    return e.picture().get(key).asText();
  }

  private static void check(Expectation e, RgbImage picture, int tolerance) {
    SquareImageProcessor processor = e.processor();
    try (SafeTensors tensors = SafeTensors.open(e.file())) {
      if (e.kind().equals("pixel_values")) {
        float[] expected = tensors.floats(e.tensor());
        float[] actual = processor.process(picture).pixels();
        if (tolerance == 0) {
          assertArrayEquals(expected, actual);
        } else {
          // One step of 8 bits is less than 1 / (255 * 0.25) in these configurations.
          assertArrayEquals(expected, actual, tolerance / (255f * 0.25f));
        }
      } else {
        RgbImage actual =
            e.kind().equals("resized_u8") ? processor.resized(picture) : processor.cropped(picture);
        long[] shape = tensors.info(e.tensor()).shape();
        assertEquals(shape[1], actual.height());
        assertEquals(shape[2], actual.width());
        int difference =
            Pixels.largestDifference(Pixels.interleaved(tensors.bytes(e.tensor())), actual.rgb());
        assertTrue(difference <= tolerance, "differs by " + difference);
      }
    }
  }

  @TestFactory
  Stream<DynamicTest> aPictureLeftUnturnedIsAnother() throws IOException {
    return expectations()
        .filter(e -> e.tensor().contains("/no_exif/"))
        .map(
            e ->
                dynamicTest(
                    e.name(),
                    () -> {
                      RgbImage turned = decode(e.directory().resolve(text(e, "file")));
                      int orientation = e.picture().get("exif_orientation").asInt();
                      RgbImage stored = new Orientation(14 - orientation).apply(turned);
                      check(e, stored, JPEG_TOLERANCE);
                      try (SafeTensors tensors = SafeTensors.open(e.file())) {
                        assertTrue(
                            Pixels.largestDifference(
                                    Pixels.interleaved(tensors.bytes(e.tensor())),
                                    e.processor().cropped(turned).rgb())
                                > 50);
                      }
                    }));
  }
}
