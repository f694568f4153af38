package io.whetstream.model.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.BadInputException;
import io.whetstream.model.Golden;
import io.whetstream.model.checkpoint.ModelConfig;
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
import org.junit.jupiter.api.io.TempDir;

/**
 * The pixels, sizes and token counts that each family's processor gives, from image files: equal to
 * those of Hugging Face on Pillow.
 */
@Tag("golden")
class FamilyPixelsGoldenTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final ImageDecoder DECODER = new ImageDecoder(ImageDecoder.DEFAULT_MAX_PIXELS);

  @TempDir Path scratch;

  @TestFactory
  Stream<DynamicTest> filesBecomeTheRecordedPixels() {
    return Golden.directories(Golden.holding("e2e.json").and(Golden.holding("batch.json"))).stream()
        .map(directory -> dynamicTest(directory.getFileName().toString(), () -> check(directory)));
  }

  private void check(Path directory) throws IOException {
    JsonNode cases = JSON.readTree(directory.resolve("e2e.json").toFile());
    ModelConfig config = ModelConfig.read(directory.resolve("config.json"));
    int compared = 0;
    try (SafeTensors expected = SafeTensors.open(directory.resolve("e2e_expected.safetensors"))) {
      for (JsonNode one : cases) {
        ImageProcessor processor =
            ImageProcessor.open(
                one.path("do_image_splitting").asBoolean(true) ? directory : whole(directory));
        List<RgbImage> pictures = new ArrayList<>();
        for (JsonNode image : one.get("images")) {
          Path file = directory.resolve(image.asText());
          pictures.add(DECODER.decode(Files.readAllBytes(file), file.toString()));
        }
        String key = one.get("key").asText();
        if (one.has("refused")) {
          assertThrows(BadInputException.class, () -> processor.process(pictures), key);
          continue;
        }
        List<ModelImage> images = processor.process(pictures);
        long tokens = 0;
        for (JsonNode id : one.get("ids")) {
          tokens += id.asLong() == config.imageTokenId() ? 1 : 0;
        }
        assertEquals(tokens, images.stream().mapToLong(ModelImage::tokens).sum(), key + " tokens");
        if (pictures.size() == 1) {
          RgbImage picture = pictures.get(0);
          assertEquals(
              images.get(0).geometry(), processor.geometry(picture.width(), picture.height()), key);
        }
        compared += compare(directory, expected, key, images, config.vision().patchSize());
      }
    }
    assertTrue(compared > 10, "compared only " + compared);
  }

  private Path whole(Path directory) throws IOException {
    Path copy = Files.createDirectories(scratch.resolve(directory.getFileName()));
    for (String file : List.of("config.json", "preprocessor_config.json")) {
      ObjectNode json = (ObjectNode) JSON.readTree(directory.resolve(file).toFile());
      json.put("do_image_splitting", false);
      JSON.writeValue(copy.resolve(file).toFile(), json);
    }
    return copy;
  }

  private static int compare(
      Path directory, SafeTensors expected, String key, List<ModelImage> images, int patch) {
    float[][] values =
        ProcessorConfig.open(directory).values(ProcessorConfig.HALF, ProcessorConfig.HALF);
    int compared = 0;
    int smolCrop = 0;
    for (int i = 0; i < images.size(); i++) {
      ModelImage image = images.get(i);
      for (String kind : List.of("/resized_u8", "/crops_u8")) {
        String suffix = expected.tensors().containsKey(key + kind + "." + i) ? "." + i : "";
        String name = key + kind + suffix;
        if (!expected.tensors().containsKey(name)) {
          continue;
        }
        byte[] bytes = expected.bytes(name);
        int plane = image.geometry().height() * image.geometry().width();
        // Without a number the crops of all images stand one after another.
        int from = suffix.isEmpty() ? smolCrop : 0;
        float[] want = new float[image.pixels().length];
        for (int p = 0; p < want.length; p++) {
          want[p] = values[p / plane % 3][bytes[from + p] & 0xff];
        }
        assertArrayEquals(want, image.pixels(), name);
        smolCrop += want.length;
        compared++;
      }
      String name = key + "/pixel_values";
      if (expected.tensors().containsKey(name)) {
        float[] want = expected.floats(name);
        float[] got =
            expected.tensors().get(name).shape().length == 2
                ? patches(image, patch)
                : image.pixels();
        assertArrayEquals(want, got, name);
        compared++;
      }
    }
    return compared;
  }

  /**
   * Hugging Face's order for Qwen: blocks of 2 x 2 patches; channel, frame (twice), row, column.
   */
  private static float[] patches(ModelImage image, int side) {
    int width = image.geometry().width();
    int plane = image.geometry().height() * width;
    float[] out = new float[2 * image.pixels().length];
    int at = 0;
    for (int block = 0; block < image.tokens(); block++) {
      int wide = width / side / 2;
      for (int i = 0; i < 4; i++) {
        int top = (block / wide * 2 + i / 2) * side;
        int left = (block % wide * 2 + i % 2) * side;
        for (int c = 0; c < 6; c++) {
          for (int y = 0; y < side; y++) {
            for (int x = 0; x < side; x++) {
              out[at++] = image.pixels()[c / 2 * plane + (top + y) * width + left + x];
            }
          }
        }
      }
    }
    return out;
  }
}
