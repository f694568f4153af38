package io.whetstream.model.lvlm;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.Golden;
import io.whetstream.model.checkpoint.DynamicVision;
import io.whetstream.model.checkpoint.SafeTensors;
import io.whetstream.model.image.ImageGeometry;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;

/** Orders, windows, weights and positions, all of integers or exact, as Hugging Face has them. */
@Tag("golden")
class FamilyGeometryGoldenTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  @TestFactory
  Stream<DynamicTest> patchesStandBlockByBlock() {
    return recorded("vision.position_ids", "image_grid_thw")
        .map(model -> dynamicTest(model.name(), () -> patches(model)));
  }

  private static void patches(Model model) throws IOException {
    long[] expected = model.expected().longs("vision.position_ids");
    int at = 0;
    for (int[] grid : model.grids()) {
      // Without windows: Hugging Face permutes only the table it makes of these.
      PatchPlan plan = PatchPlan.of(withoutWindows(model), grid[0], grid[1], model.patch());
      for (int p = 0; p < plan.size(); p++) {
        assertEquals(expected[at++], plan.rows()[p]);
        assertEquals(expected[at++], plan.columns()[p]);
      }
    }
    assertEquals(expected.length, at);
  }

  @TestFactory
  Stream<DynamicTest> windowsAreCutAsRecorded() {
    return recorded("vision.window_index", "image_grid_thw")
        .map(model -> dynamicTest(model.name(), () -> windows(model)));
  }

  private static void windows(Model model) throws IOException {
    List<Long> index = new ArrayList<>();
    List<Long> reverse = new ArrayList<>();
    List<Long> ends = new ArrayList<>(List.of(0L));
    for (int[] grid : model.grids()) {
      PatchPlan plan = PatchPlan.of(vision(model), grid[0], grid[1], model.patch());
      long first = index.size();
      Arrays.stream(plan.blocks()).forEach(block -> index.add(first + block));
      Arrays.stream(plan.reverse()).forEach(place -> reverse.add(first + place));
      for (int window : plan.windows()) {
        ends.add(ends.get(ends.size() - 1) + window);
      }
    }
    assertArrayEquals(model.expected().longs("vision.window_index"), longs(index));
    assertArrayEquals(model.expected().longs("vision.reverse_index"), longs(reverse));
    assertArrayEquals(model.expected().longs("vision.cu_window_seqlens"), longs(ends));
  }

  private static long[] longs(List<Long> list) {
    return list.stream().mapToLong(Long::longValue).toArray();
  }

  @TestFactory
  Stream<DynamicTest> learnedPositionsAreResampledAsRecorded() {
    return recorded("vision.interp_weights", "image_grid_thw")
        .map(model -> dynamicTest(model.name(), () -> interpolation(model)));
  }

  private static void interpolation(Model model) throws IOException {
    long[] indices = model.expected().longs("vision.interp_indices");
    float[] weights = model.expected().floats("vision.interp_weights");
    int side = vision(model).positionSide();
    int at = 0;
    for (int[] grid : model.grids()) {
      PatchPlan plan = PatchPlan.of(vision(model), grid[0], grid[1], model.patch());
      Gathering gathering = plan.positions(side, grid[0], grid[1]);
      for (int p = 0; p < gathering.size(); p++) {
        // The four taps may stand in any order: what counts is each table row's weight.
        float[] want = new float[side * side];
        float[] got = new float[side * side];
        for (int tap = 0; tap < 4; tap++) {
          want[(int) indices[at]] += weights[at++];
          got[gathering.indices()[4 * p + tap]] += gathering.weights()[4 * p + tap];
        }
        assertArrayEquals(want, got, 1e-6f);
      }
    }
    assertEquals(indices.length, at);
  }

  @TestFactory
  Stream<DynamicTest> tokensStandWhereRopeIndexPutsThem() {
    return recorded("image_features", "image_grid_thw")
        .map(model -> dynamicTest(model.name(), () -> positions(model)));
  }

  private static void positions(Model model) throws IOException {
    try (SafeTensors inputs = SafeTensors.open(model.directory().resolve("inputs.safetensors"))) {
      long[] ids = inputs.longs("input_ids");
      long[] mask = inputs.longs("attention_mask");
      long[] expected = inputs.longs("position_ids");
      int length = (int) inputs.tensors().get("input_ids").shape()[1];
      int rows = ids.length / length;
      long imageToken = model.config().get("image_token_id").asLong();
      int pixels = model.patch() * vision(model).merge();
      int image = 0;
      for (int r = 0; r < rows; r++) {
        int real = (int) Arrays.stream(mask, r * length, (r + 1) * length).sum();
        long[] row = Arrays.copyOfRange(ids, r * length, r * length + real);
        long left = Arrays.stream(row).filter(id -> id == imageToken).count();
        List<ImageGeometry> images = new ArrayList<>();
        while (left > 0) {
          int[] grid = model.grids().get(image++);
          int height = grid[0] * model.patch();
          int width = grid[1] * model.patch();
          int tokens = height / pixels * (width / pixels);
          images.add(ImageGeometry.whole(height, width, tokens));
          left -= tokens;
        }
        long[][] got = TokenPositions.of(row, imageToken, images, pixels);
        for (int axis = 0; axis < 3; axis++) {
          int from = (axis * rows + r) * length;
          assertArrayEquals(Arrays.copyOfRange(expected, from, from + real), got[axis], "row " + r);
        }
      }
      assertEquals(model.grids().size(), image);
    }
  }

  @TestFactory
  Stream<DynamicTest> squaresFallIntoTheBucketsOfTorch() {
    return Golden.directories(Golden.holding("patch_position_buckets.json")).stream()
        .map(
            directory ->
                dynamicTest(
                    directory.getFileName().toString(),
                    () -> {
                      int compared = 0;
                      for (var side :
                          JSON.readTree(directory.resolve("patch_position_buckets.json").toFile())
                              .get("table")
                              .properties()) {
                        for (var row : side.getValue().properties()) {
                          int[] want =
                              IntStream.range(0, row.getValue().size())
                                  .map(i -> row.getValue().get(i).asInt())
                                  .toArray();
                          assertArrayEquals(
                              want,
                              SquarePositions.buckets(Integer.parseInt(side.getKey()), want.length),
                              side.getKey() + " " + row.getKey());
                          compared++;
                        }
                      }
                      assertTrue(compared > 50, "compared only " + compared);
                    }));
  }

  private record Model(Path directory, JsonNode config, SafeTensors expected, List<int[]> grids) {
    String name() {
      return directory.getFileName().toString();
    }

    int patch() {
      return config.get("vision_config").get("patch_size").asInt();
    }
  }

  private static DynamicVision withoutWindows(Model model) {
    DynamicVision vision = vision(model);
    return new DynamicVision(vision.merge(), 0, List.of(), List.of(), 0);
  }

  private static DynamicVision vision(Model model) {
    JsonNode vision = model.config().get("vision_config");
    return new DynamicVision(
        vision.path("spatial_merge_size").asInt(2),
        vision.path("window_size").asInt(0),
        List.of(),
        List.of(),
        (int) Math.sqrt(vision.path("num_position_embeddings").asInt(0)));
  }

  /** The models for which a tensor is recorded, and the grids of their batch in patches. */
  private static Stream<Model> recorded(String tensor, String grid) {
    return Golden.directories(Golden.holding("expected.safetensors")).stream()
        .flatMap(
            directory -> {
              try (SafeTensors inputs = SafeTensors.open(directory.resolve("inputs.safetensors"))) {
                if (!inputs.tensors().containsKey(grid)) {
                  return Stream.empty();
                }
                SafeTensors expected = SafeTensors.open(directory.resolve("expected.safetensors"));
                if (!expected.tensors().containsKey(tensor)) {
                  expected.close();
                  return Stream.empty();
                }
                long[] thw = inputs.longs(grid);
                List<int[]> grids = new ArrayList<>();
                for (int i = 0; i < thw.length; i += 3) {
                  grids.add(new int[] {(int) thw[i + 1], (int) thw[i + 2]});
                }
                return Stream.of(
                    new Model(
                        directory,
                        JSON.readTree(directory.resolve("config.json").toFile()),
                        expected,
                        grids));
              } catch (IOException e) {
                throw new java.io.UncheckedIOException(e);
              }
            });
  }
}
