package io.whetstream.model.image;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.BadInputException;
import io.whetstream.model.Golden;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiConsumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;

/** Sizes, grids and token counts at the settings of published models, as Hugging Face has them. */
@Tag("golden")
class SizesGoldenTest {
  private static final int NEXT_SIDE = 336;
  private static final int ONEVISION_SIDE = 384;

  @TestFactory
  Stream<DynamicTest> qwenSizesAreThoseOfSmartResize() throws IOException {
    return Stream.of(
        test("qwen2vl_hub", new DynamicResolution(28, 3136, 12845056)),
        test("qwen2vl_class_default", new DynamicResolution(28, 3136, 1003520)),
        test("qwen3vl_hub", new DynamicResolution(32, 65536, 16777216)));
  }

  private static DynamicTest test(String key, DynamicResolution rule) throws IOException {
    return each(
        key,
        (picture, expected) -> {
          if (expected.isArray()) {
            assertEquals(size(expected), rule.target(picture), key + " of " + picture);
          } else {
            assertThrows(BadInputException.class, () -> rule.target(picture), picture.toString());
          }
        });
  }

  @TestFactory
  Stream<DynamicTest> splitsAreThoseOfSmolVlm() throws IOException {
    return Stream.of(
        test("smolvlm_2048_512", new Splitting(512, 2048, true)),
        test("smolvlm_1456_364", new Splitting(364, 1456, true)));
  }

  private static DynamicTest test(String key, Splitting rule) throws IOException {
    return each(
        key,
        (picture, expected) -> {
          Size first = rule.first(picture);
          assertEquals(size(expected), first, picture + " first");
          assertEquals(
              new Size(expected.get(2).asInt(), expected.get(3).asInt()),
              rule.multiples(first),
              picture + " second");
          assertEquals(
              new Size(expected.get(4).asInt(), expected.get(5).asInt()),
              rule.grid(picture),
              picture + " grid");
        });
  }

  @TestFactory
  Stream<DynamicTest> canvasesAndTokensAreThoseOfLlavaNext() throws IOException {
    AnyResolution rule =
        new AnyResolution(
            NEXT_SIDE,
            List.of(
                new Size(336, 672),
                new Size(672, 336),
                new Size(672, 672),
                new Size(1008, 336),
                new Size(336, 1008)));
    int patches = NEXT_SIDE / 14;
    return Stream.of(
        each(
            "llava_next_336",
            (picture, expected) -> {
              Size canvas = rule.canvas(picture);
              assertEquals(size(expected.get("best")), canvas, picture + " canvas");
              assertEquals(
                  size(expected.get("resized")), rule.inside(picture, canvas), picture + " inside");
              Size grid = AnyResolution.unpadded(rule.grid(canvas).times(patches), picture);
              assertEquals(
                  expected.get("image_tokens").asLong(),
                  (long) patches * patches + grid.area() + grid.height(),
                  picture + " tokens");
            }));
  }

  @TestFactory
  Stream<DynamicTest> canvasesAndTokensAreThoseOfOneVision() throws IOException {
    List<Size> canvases = new ArrayList<>();
    for (int height = 1; height <= 6; height++) {
      for (int width = 1; width <= 6; width++) {
        canvases.add(new Size(height, width).times(ONEVISION_SIDE));
      }
    }
    AnyResolution rule = new AnyResolution(ONEVISION_SIDE, canvases);
    int patches = ONEVISION_SIDE / 14;
    return Stream.of(
        each(
            "onevision_384_max9",
            (picture, expected) -> {
              Size canvas = rule.canvas(picture);
              assertEquals(size(expected.get("best")), canvas, picture + " canvas");
              assertEquals(
                  size(expected.get("resized")), rule.inside(picture, canvas), picture + " inside");
              Size grid =
                  AnyResolution.bounded(
                      AnyResolution.unpadded(rule.grid(canvas).times(patches), picture),
                      9,
                      patches);
              assertEquals(
                  expected.get("image_tokens").asLong(),
                  (long) patches * patches + grid.area() + grid.height(),
                  picture + " tokens");
            }));
  }

  private static Size size(JsonNode pair) {
    return new Size(pair.get(0).asInt(), pair.get(1).asInt());
  }

  private static DynamicTest each(String key, BiConsumer<Size, JsonNode> check) throws IOException {
    List<Path> found = Golden.directories(Golden.holding("sizes_families.json"));
    assertFalse(found.isEmpty(), "no sizes_families.json under " + Golden.root());
    List<JsonNode> rows = new ArrayList<>();
    for (Path directory : found) {
      new ObjectMapper()
          .readTree(directory.resolve("sizes_families.json").toFile())
          .get("sizes")
          .forEach(rows::add);
    }
    return dynamicTest(
        key,
        () -> {
          int compared = 0;
          for (JsonNode row : rows) {
            if (row.has(key)) {
              check.accept(new Size(row.get("h").asInt(), row.get("w").asInt()), row.get(key));
              compared++;
            }
          }
          assertTrue(compared > 100, "compared only " + compared);
        });
  }
}
